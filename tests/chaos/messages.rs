//! Messages and kills: K3 of spec/EMAIL.md 5.4. The provider is our own sink in this process, which writes down what it took
//! before it says so, and so knows the truth.
//!
//! `MILLRACE_KILL_SEED` repeats a run.

use super::dice::Dice;
use crate::support::{Client, Platform, eventually, mailing, posting, skip_slow};
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions};

const CONNECTIONS: usize = 8;

/// What messages came to, against what their provider took.
#[derive(Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) sent: usize,
    pub(super) unique: usize,
    pub(super) duplicate: usize,
    pub(super) missing: usize,
    /// From each kill until mails go out again, the longest, in milliseconds.
    pub(super) recovery_ms: u128,
}

/// Sends `messages`, kills the platform `kills` times while it does, and counts.
pub(super) async fn k3(messages: usize, kills: usize, seed: u64, dice: &mut Dice) -> Tally {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Slow enough that a kill meets mails under way, before they are taken and after.
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(12)) };
    let faults = Faults::new(seed, vec![wait(Point::Dot), wait(Point::Taken)]);
    let options = SinkOptions { faults, ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    // Without a provider all of them wait.
    let platform = Platform::open(dir.path());
    let client = platform.client();
    let contacts: Vec<Uuid> = mailing::audience(&client, "k3", 20).await.into_keys().collect();
    let one = async |number: usize| {
        posting::send(&client, contacts[number % contacts.len()], &format!("Number {number}")).await
    };
    let requested: Vec<Uuid> = stream::iter(0..messages).map(one).buffer_unordered(16).collect().await;
    let environment = posting::outlet(sink.address(), CONNECTIONS);
    let mut platform = restarted(dir.path(), platform, environment.clone()).await;
    let mut recovery_ms = 0;
    for kill in 1..=kills {
        let before = sink.counts().taken as usize;
        let share = messages / (kills + 2);
        eventually("mails go out", 120, async || sink.counts().taken as usize >= before + share / 2).await;
        tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        let (killed, taken) = (Instant::now(), sink.counts().taken);
        platform = restarted(dir.path(), platform, environment.clone()).await;
        let left = sink.counts().taken;
        eventually("sending goes on", 120, async || sink.counts().taken > left || left as usize >= messages - 100)
            .await;
        recovery_ms = recovery_ms.max(killed.elapsed().as_millis());
        println!("kill {kill} at {taken} of {messages}, recovered after {} ms", killed.elapsed().as_millis());
    }
    let client = client.at(&platform.ready.url);
    let ids = ends(&client, &requested).await;
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
    let taken = sink.taken().expect("the ledger");
    let unique: BTreeSet<&str> = taken.iter().map(|mail| mail.message_id.trim_matches(['<', '>'])).collect();
    let missing = ids.values().filter(|id| !unique.contains(id.as_str())).count();
    assert_eq!(unique.len() + missing, ids.len(), "every attempt of a message has the same Message-ID");
    Tally { sent: taken.len(), unique: unique.len(), duplicate: taken.len() - unique.len(), missing, recovery_ms }
}

/// Waits until all are taken; gives the one Message-ID each has.
pub(super) async fn ends(client: &Client, requested: &[Uuid]) -> BTreeMap<Uuid, String> {
    let open = async || {
        let states = ["queued", "deferred"].map(|state| format!("/v1/messages?filter[state]={state}&limit=1"));
        let mut open = 0;
        for list in states {
            open += client.read(&list).await.expect(200).json()["items"].as_array().map_or(1, Vec::len);
        }
        open
    };
    eventually("no message waits", 180, async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        open().await == 0
    })
    .await;
    let mut ids = BTreeMap::new();
    for message in client.all("/v1/messages").await {
        assert_eq!(message["state"], "accepted", "{message}");
        let [id] = &message["message_ids"].as_array().expect("ids")[..] else { panic!("one Message-ID: {message}") };
        let message = message["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        ids.insert(message, id.as_str().expect("a text").to_owned());
    }
    assert!(requested.iter().all(|message| ids.contains_key(message)) && ids.len() == requested.len());
    ids
}

async fn restarted(dir: &Path, ended: Platform, environment: Vec<(&'static str, String)>) -> Platform {
    let dir = dir.to_owned();
    let start = move || {
        ended.kill();
        drop(ended);
        Platform::open_with(&dir, &environment)
    };
    tokio::task::spawn_blocking(start).await.expect("the platform starts again")
}

/// K3, short: kill -9 of the platform while it sends mail to one person.
#[tokio::test(flavor = "multi_thread")]
async fn k3_a_killed_message_is_sent_again_with_the_same_message_id() {
    let (messages, kills) = if skip_slow() { (300, 1) } else { (1_200, 3) };
    let (mut dice, seed) = Dice::of_this_run();
    println!("MILLRACE_KILL_SEED={seed}");
    let tally = k3(messages, kills, seed, &mut dice).await;
    let Tally { sent, unique, duplicate, missing, recovery_ms } = tally;
    println!(
        "campaign-chaos K3 seed={seed} sent={sent} unique={unique} duplicate={duplicate} (bound {}) unknown=0 \
         silent_missing={missing} recovery_s={:.1}",
        kills * CONNECTIONS,
        recovery_ms as f64 / 1e3
    );
    assert_eq!((tally.missing, tally.unique), (0, messages), "{tally:?}");
    assert!(tally.duplicate <= kills * CONNECTIONS, "{tally:?}");
}
