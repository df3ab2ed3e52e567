//! K6: the host is gone, and the worker's journal with it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn k6_a_lost_journal_leaves_open_windows_unknown_and_sends_nothing_twice() {
    let (recipients, kills) = (recipients(400), kills(1));
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(dir.path(), "sink", slow(seed)).await;
    let mut environment = mailing::outlet(sink.address(), CONNECTIONS);
    environment.push(("MILLRACE_MAIL_LEASE", SHORT_LEASE.to_string()));
    let mut platform = Platform::open_with(dir.path(), &environment);
    let mut client = platform.client();
    let audience = mailing::audience(&client, "k6", recipients).await;
    let campaign = mailing::launch(&client, "k6", HTML).await;
    let mut recovery = Duration::ZERO;
    for kill in 0..kills {
        let wanted = (recipients * (kill + 1) / (kills + 2)) as u64;
        eventually("mails go out", patience(recipients), async || sink.counts().taken >= wanted).await;
        tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
        let killed = Instant::now();
        let (data, next, settings) = (dir.path().to_owned(), platform, environment.clone());
        let start = move || {
            next.kill();
            std::fs::remove_dir_all(next.data_dir.join("mail")).expect("the journal is lost");
            drop(next);
            Platform::open_with(&data, &settings)
        };
        platform = tokio::task::spawn_blocking(start).await.expect("the platform starts again");
        client = client.at(&platform.ready.url);
        let left = sink.counts().taken;
        // Nobody knows the old worker: its lease has to end first.
        eventually("sending goes on", 120, async || sink.counts().taken > left || left + 100 >= recipients as u64)
            .await;
        recovery = recovery.max(killed.elapsed());
    }
    mailing::finished(&client, campaign, patience(recipients)).await;
    let tally = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    report("K6", seed, &tally, Some(recovery));
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    assert!(tally.unknown <= kills * LANES * WINDOW, "{tally:?}: no more than the open windows");
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
