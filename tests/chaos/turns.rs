//! Two processes that send mail to one person: one at a time, the other when it stands still or dies.

use super::messages::ends;
use crate::support::{Platform, Sender, eventually, mailing, posting, skip_slow};
use futures::{StreamExt, stream};
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions};

const CONNECTIONS: usize = 4;
const TURN: &str = "it is this process's turn";

fn turns(sender: &Sender) -> usize {
    sender.log().matches(TURN).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_sends_and_the_other_takes_over() {
    let messages = if skip_slow() { 200 } else { 500 };
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Slow enough that most still wait when the first one stands still.
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(60)) };
    let options = SinkOptions { faults: Faults::new(7, vec![wait(Point::Dot)]), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    // It has no provider: the senders have.
    let platform = Platform::open(dir.path());
    let client = platform.client();
    let contacts: Vec<Uuid> = mailing::audience(&client, "turns", 10).await.into_keys().collect();
    let one = async |number: usize| {
        posting::send(&client, contacts[number % contacts.len()], &format!("Number {number}")).await
    };
    let requested: Vec<Uuid> = stream::iter(0..messages).map(one).buffer_unordered(16).collect().await;
    let mut environment = posting::outlet(sink.address(), CONNECTIONS);
    environment.push(("MILLRACE_LOG", "info".to_owned()));
    let start = |name: &str| {
        let (join, own, environment) = (platform.data_dir.clone(), dir.path().join(name), environment.clone());
        tokio::task::spawn_blocking(move || Sender::start(&join, &own, &environment))
    };
    let first = start("first").await.expect("it starts");
    eventually("the first one sends", 60, async || sink.counts().taken > 5).await;
    let second = start("second").await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((turns(&first), turns(&second)), (1, 0), "only one sends");

    // It stands still for longer than its turn lasts, wakes up, and finds out.
    first.stop();
    let taken = sink.counts().taken;
    eventually("the second one sends", 60, async || sink.counts().taken > taken + 5).await;
    assert_eq!(turns(&second), 1);
    first.go_on();
    eventually("the first one knows", 60, async || first.log().contains("turn is over")).await;
    // The second one dies, and the first takes over again.
    let taken = sink.counts().taken;
    assert!((taken as usize) < messages - 20, "too few are left: {taken} of {messages}");
    drop(second);
    eventually("the first one sends again", 60, async || sink.counts().taken > taken + 5).await;
    assert_eq!(turns(&first), 2);

    let ids = ends(&client, &requested).await;
    let taken = sink.taken().expect("the ledger");
    let unique: BTreeSet<&str> = taken.iter().map(|mail| mail.message_id.trim_matches(['<', '>'])).collect();
    let missing = ids.values().filter(|id| !unique.contains(id.as_str())).count();
    let duplicate = taken.len() - unique.len();
    println!("{messages} messages, {} taken, {duplicate} twice, {missing} missing", taken.len());
    assert_eq!((missing, unique.len()), (0, messages));
    // What was under way when the one stood still and when the other died.
    assert!(duplicate <= 2 * CONNECTIONS, "{duplicate} duplicates");
}
