//! K5: a worker stands still for longer than it has its recipients, and then goes on.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_worker_that_wakes_after_its_lease_is_refused() {
    let recipients = recipients(600);
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(dir.path(), "sink", slow(seed)).await;
    let mut environment = mailing::outlet(sink.address(), CONNECTIONS);
    environment.push(("MILLRACE_MAIL_LEASE", SHORT_LEASE.to_string()));
    environment.push(("MILLRACE_LOG", "warn,workers=info".into()));
    let mut crew = Crew::start(dir.path(), 1, &environment).await;
    let client = crew.client();
    let audience = mailing::audience(&client, "k5", recipients).await;
    let campaign = mailing::launch(&client, "k5", HTML).await;
    eventually("mails go out", patience(recipients), async || sink.counts().taken >= recipients as u64 / 5).await;
    tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
    crew.senders[0].stop();
    let stopped = Instant::now();
    let (join, beside) = (crew.platform.data_dir.clone(), dir.path().join("sender-1"));
    let other = move || Sender::start(&join, &beside, &environment);
    crew.senders.push(tokio::task::spawn_blocking(other).await.expect("another sender"));
    let (sleeper, other) = (&crew.senders[0], &crew.senders[1]);
    // The other one takes over what the sleeper had, once its lease and what clocks may differ by are over.
    eventually("the other worker takes over", 90, async || {
        other.log().contains("a window that was left open is closed")
    })
    .await;
    let recovery = stopped.elapsed();
    let asleep = Duration::from_secs(2 * SHORT_LEASE).saturating_sub(recovery);
    tokio::time::sleep(asleep).await;
    sleeper.go_on();
    mailing::finished(&client, campaign, patience(recipients)).await;
    // Time for everything the sleeper could still do.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tally = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    report("K5", seed, &tally, Some(recovery));
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    assert!(tally.unknown <= LANES * WINDOW, "{tally:?}");
    assert!(tally.unknown > 0, "the sleeper had nothing: nothing was tried");
    eventually("what the sleeper wrote is refused", 30, async || sleeper.log().contains("a window was taken over"))
        .await;
    crew.is_sound();
}
