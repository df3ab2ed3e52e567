//! Campaigns and kills: spec/EMAIL.md 5.4. The provider is our own sink in this process, which writes down what it took before
//! it says so, and so knows the truth.
//!
//! `MILLRACE_KILL_SEED` repeats a run.

use super::dice::Dice;
use crate::support::{Platform, eventually, mailing, skip_slow};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions, Taken};

const CONNECTIONS: usize = 8;

/// What a campaign came to, against what its provider took.
#[derive(Debug, PartialEq)]
struct Tally {
    sent: usize,
    unique: usize,
    duplicate: usize,
    unknown: usize,
    silent_missing: usize,
}

/// Judges every recipient. Panics when the platform says something that is not so.
fn tally(audience: &BTreeMap<Uuid, String>, states: &BTreeMap<Uuid, (String, String)>, taken: &[Taken]) -> Tally {
    let recipients: BTreeSet<&str> = taken.iter().map(|mail| mail.recipient.as_str()).collect();
    let ids: BTreeSet<&str> = taken.iter().map(|mail| mail.message_id.as_str()).collect();
    assert_eq!(recipients.len(), ids.len(), "each recipient has its own Message-ID, always the same");
    assert_eq!(states.keys().collect::<Vec<_>>(), audience.keys().collect::<Vec<_>>(), "everybody is listed, once");
    let state = |state: &str| states.iter().filter(|(_, (found, _))| found == state).count();
    let mut silent_missing = 0;
    for (contact, email) in audience {
        let (state, cause) = &states[contact];
        match (state.as_str(), recipients.contains(email.as_str())) {
            ("accepted", true) | ("unknown", _) => {}
            ("accepted", false) => panic!("{email} is said to have it, and has not"),
            (_, true) => panic!("{email} has it, and is said to be {state}: {cause}"),
            (_, false) => silent_missing += 1,
        }
    }
    let duplicate = taken.len() - recipients.len();
    Tally { sent: taken.len(), unique: recipients.len(), duplicate, unknown: state("unknown"), silent_missing }
}

async fn restarted(dir: &Path, killed: Platform, environment: Vec<(&'static str, String)>) -> Platform {
    let dir = dir.to_owned();
    let start = move || {
        killed.kill();
        drop(killed);
        Platform::open_with(&dir, &environment)
    };
    tokio::task::spawn_blocking(start).await.expect("the platform starts again")
}

/// K1, short: kill -9 of the platform while it sends.
#[tokio::test(flavor = "multi_thread")]
async fn k1_a_killed_campaign_sends_nothing_twice_and_loses_nobody_silently() {
    let (recipients, kills) = if skip_slow() { (600, 1) } else { (2_000, 3) };
    let (mut dice, seed) = Dice::of_this_run();
    println!("MILLRACE_KILL_SEED={seed}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Slow enough that a kill meets mails under way, before they are taken and after.
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(12)) };
    let faults = Faults::new(seed, vec![wait(Point::Dot), wait(Point::Taken)]);
    let options = SinkOptions { faults, ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let environment = mailing::outlet(sink.address(), CONNECTIONS);
    let mut platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "k1", recipients).await;
    // Somebody with the tag and without consent gets nothing, and is nobody's recipient.
    client.make("/v1/contacts", &serde_json::json!({"email": "no@x.example", "tags": ["k1"]})).await;
    let began = Instant::now();
    let campaign = mailing::launch(&client, "k1", "<p>Hello {{ first_name | default('you') }}</p>").await;
    println!("kill  after ms  taken then  recovered ms");
    for kill in 1..=kills {
        let before = sink.counts().taken;
        let share = (recipients / (kills + 2)) as u64;
        eventually("mails go out", 120, async || sink.counts().taken >= before + share / 2).await;
        let after = dice.below(400);
        tokio::time::sleep(Duration::from_millis(after)).await;
        let (killed, taken) = (Instant::now(), sink.counts().taken);
        platform = restarted(dir.path(), platform, environment.clone()).await;
        let left = sink.counts().taken;
        eventually("sending goes on", 120, async || sink.counts().taken > left || left as usize >= recipients - 100)
            .await;
        println!("{kill:>4}  {after:>8}  {taken:>10}  {:>12}", killed.elapsed().as_millis());
    }
    let client = client.at(&platform.ready.url);
    let done = mailing::finished(&client, campaign, 180).await;
    let states = mailing::states(&client, campaign).await;
    let taken = sink.taken().expect("the ledger");
    let tally = tally(&audience, &states, &taken);
    println!("{tally:?} after {kills} kills, {} ms in all", began.elapsed().as_millis());
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    assert!(tally.unknown <= kills * CONNECTIONS, "{tally:?}");
    let counts = &done["journey"]["counts"];
    assert_eq!(counts["unknown"], tally.unknown, "a finished campaign says what is unknown");
    assert_eq!(counts["accepted"], recipients - tally.unknown);
    let progress = client.read(&format!("/v1/campaigns/{campaign}/progress")).await.expect(200).json();
    assert_eq!(progress["counts"]["accepted"], counts["accepted"]);
    assert_eq!((&progress["counts"]["planned"], &progress["counts"]["attempting"]), (&0.into(), &0.into()));
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

/// K4: the provider takes mails and goes away without a word.
#[tokio::test(flavor = "multi_thread")]
async fn k4_a_mail_without_an_answer_is_unknown_and_never_sent_again() {
    let recipients = 400;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, seed) = Dice::of_this_run();
    println!("MILLRACE_KILL_SEED={seed}");
    let drop = Fault { at: Point::Taken, percent: 5.0, act: Act::Drop };
    let options = SinkOptions { faults: Faults::new(seed, vec![drop]), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), CONNECTIONS));
    let client = platform.client();
    let audience = mailing::audience(&client, "k4", recipients).await;
    let campaign = mailing::launch(&client, "k4", "<p>Hello {{ first_name | default('you') }}</p>").await;
    mailing::finished(&client, campaign, 120).await;
    let states = mailing::states(&client, campaign).await;
    let tally = tally(&audience, &states, &sink.taken().expect("the ledger"));
    let faults = sink.counts().faults;
    println!("{tally:?}, {faults} mails without an answer");
    assert!(faults > 0, "nothing was tried");
    let expected =
        Tally { sent: recipients, unique: recipients, duplicate: 0, unknown: faults as usize, silent_missing: 0 };
    assert_eq!(tally, expected);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
