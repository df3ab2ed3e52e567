//! K1, K2, K7: processes are killed.

use super::*;
use serde_json::json;

/// K1: kill -9 of one of three workers, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn k1_killed_workers_send_nothing_twice_and_lose_nobody_silently() {
    let (recipients, kills) = (recipients(1_200), kills(3));
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(dir.path(), "sink", slow(seed)).await;
    let environment = mailing::outlet(sink.address(), CONNECTIONS);
    let mut crew = Crew::start(dir.path(), 3, &environment).await;
    let client = crew.client();
    let audience = mailing::audience(&client, "k1", recipients).await;
    // Somebody with the tag and without consent gets nothing, and is nobody's recipient.
    client.make("/v1/contacts", &json!({"email": "no@x.example", "tags": ["k1"]})).await;
    let campaign = mailing::launch(&client, "k1", HTML).await;
    let mut recovery = Duration::ZERO;
    for kill in 0..kills {
        let share = (recipients / (kills + 2)) as u64;
        let wanted = (share * (kill as u64 + 1)).min(recipients as u64 - 50);
        eventually("mails go out", patience(recipients), async || sink.counts().taken >= wanted).await;
        tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
        let victim = dice.below(crew.senders.len() as u64) as usize;
        let began = Instant::now();
        let sender = crew.senders.swap_remove(victim);
        crew.senders.push(tokio::task::spawn_blocking(move || sender.killed_and_started()).await.expect("a sender"));
        let left = sink.counts().taken;
        let goes_on = async || sink.counts().taken > left || left + 100 >= recipients as u64;
        eventually("sending goes on", 120, goes_on).await;
        recovery = recovery.max(began.elapsed());
    }
    mailing::finished(&client, campaign, patience(recipients)).await;
    let tally = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    report("K1", seed, &tally, Some(recovery));
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    assert!(tally.unknown <= kills * CONNECTIONS, "{tally:?} after {kills} kills");
    crew.is_sound();
}

/// K1 of the platform in one process, and K7: its nats-server is killed, then the whole of it with its views.
#[tokio::test(flavor = "multi_thread")]
async fn k7_a_killed_log_and_a_killed_platform_go_on_where_they_were() {
    let recipients = recipients(600);
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(dir.path(), "sink", slow(seed)).await;
    let environment = mailing::outlet(sink.address(), CONNECTIONS);
    let mut platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "k7", recipients).await;
    let campaign = mailing::launch(&client, "k7", HTML).await;
    let part = |share: f64| (recipients as f64 * share) as u64;
    eventually("mails go out", patience(recipients), async || sink.counts().taken >= part(0.2)).await;
    tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
    let old = platform.kill_log_server().expect("a server runs");
    eventually("nats-server is back", 30, async || platform.log_server().is_some_and(|pid| pid != old)).await;
    let (back, left) = (Instant::now(), sink.counts().taken);
    // What was on its way when the log went is no progress.
    let goes_on = async || sink.counts().taken > left + (WINDOW * LANES) as u64 || sink.counts().taken >= part(0.95);
    eventually("sending goes on after the log is back", 60, goes_on).await;
    let of_log = back.elapsed();
    eventually("more mails go out", patience(recipients), async || sink.counts().taken >= part(0.6)).await;
    tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
    platform = restarted(dir.path(), platform, &environment).await;
    let (back, left) = (Instant::now(), sink.counts().taken);
    eventually("sending goes on", 60, async || sink.counts().taken > left || left >= part(0.9)).await;
    let recovery = of_log.max(back.elapsed());
    let client = client.at(&platform.ready.url);
    mailing::finished(&client, campaign, patience(recipients)).await;
    let tally = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    report("K7", seed, &tally, Some(recovery));
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    assert!(tally.unknown <= 2 * CONNECTIONS, "{tally:?}");
    // A debug build beside others is slow to start; what is promised is measured by ops/campaign-chaos.
    assert!(recovery < Duration::from_secs(if skip_slow() { 40 } else { 10 }), "{recovery:?}");
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

/// K2: as K1, then the provider's own record says what became of those nobody could tell.
#[tokio::test(flavor = "multi_thread")]
async fn k2_what_is_unknown_is_settled_by_the_providers_record_and_sent_to_who_lacks_it() {
    let recipients = recipients(400);
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Some are taken without a word, some are not taken without a word: from here both look the same.
    let silent = |at| Fault { at, percent: 2.0, act: Act::Drop };
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(8)) };
    let list = vec![silent(Point::Dot), silent(Point::Taken), wait(Point::Dot), wait(Point::Taken)];
    let options = SinkOptions { faults: Faults::new(seed, list), ..SinkOptions::default() };
    let sink = sink(dir.path(), "sink", options).await;
    let environment = mailing::outlet(sink.address(), CONNECTIONS);
    let mut platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "k2", recipients).await;
    let campaign = mailing::launch(&client, "k2", HTML).await;
    eventually("mails go out", 120, async || sink.counts().taken >= recipients as u64 / 3).await;
    tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
    let killed = Instant::now();
    platform = restarted(dir.path(), platform, &environment).await;
    let recovery = killed.elapsed();
    let client = client.at(&platform.ready.url);
    mailing::finished(&client, campaign, patience(recipients)).await;
    let before = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    assert!(before.unknown > 0 && before.duplicate == 0, "{before:?}: nothing was tried");
    // Until nothing is unknown: the provider may be silent again.
    let path = format!("/v1/campaigns/{campaign}");
    for round in 0..8 {
        let states = mailing::states(&client, campaign).await;
        let taken: BTreeSet<String> =
            sink.taken().expect("the ledger").into_iter().map(|mail| mail.recipient).collect();
        let unknown = states.iter().filter(|(_, (state, _))| state == "unknown").map(|(contact, _)| contact);
        let entry = |contact: &Uuid| json!({"contact": contact, "accepted": taken.contains(&audience[contact]), "proof": "provider_log"});
        let entries: Vec<_> = unknown.map(entry).collect();
        if entries.is_empty() {
            assert!(round > 0);
            break;
        }
        for some in entries.chunks(500) {
            let body = json!({"entries": some});
            let answer = client.post(&format!("{path}/recipients/reconcile"), &body).send().await.expect(200).json();
            let verdicts = answer["items"].as_array().expect("items");
            assert!(verdicts.iter().all(|item| item["verdict"] == "reconciled"), "{answer}");
            let again = client.post(&format!("{path}/recipients/reconcile"), &body).send().await.expect(200).json();
            assert!(again["items"].as_array().expect("items").iter().all(|item| item["verdict"] != "reconciled"));
        }
        client.post(&format!("{path}/retry"), &json!({})).send().await.expect(200);
        mailing::finished(&client, campaign, patience(recipients)).await;
    }
    let tally = judged(&client, campaign, &audience, &sink.taken().expect("the ledger")).await;
    report("K2", seed, &tally, Some(recovery));
    let all = Tally { sent: recipients, unique: recipients, duplicate: 0, unknown: 0, silent_missing: 0 };
    assert_eq!(tally, all);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
