//! Appending and reading over a real server.

use crate::support::{Server, World, eventually, skip_slow};
use bus_schema::{
    Actor, Address, CommandId, Envelope, EventId, Micros, Subject,
    bus::{AppendError, Outgoing, ReadError},
    claim::{ClaimEvent, ClaimTaken},
    events::EventSet,
    ids::random_uuid,
    subject::Family,
};
use std::time::Duration;

pub(super) fn subject(world: &World, what: &str) -> String {
    Subject::event(world.cell(), &world.tenant, Address::new("claim", what, random_uuid())).to_string()
}

pub(super) fn message_as(event: EventId, subject: &str, expect: Option<u64>, owner: &str) -> Outgoing {
    let body = ClaimEvent::from(ClaimTaken { owner: owner.into() });
    let envelope = Envelope {
        event_id: event,
        kind: body.kind().into(),
        schema: body.schema(),
        at: Micros(1),
        actor: Actor::Visitor,
        correlation: event.0,
        cause: CommandId(event.0),
        fingerprint: None,
        key: None,
        trace: None,
    };
    let body = body.encode().expect("encodes").into();
    Outgoing { subject: subject.into(), envelope: Some(envelope), body, expect }
}

pub(super) fn message(subject: &str, expect: Option<u64>) -> Outgoing {
    message_as(CommandId::random().event(0), subject, expect, "x")
}

/// `count` events on one subject, in batches.
pub(super) async fn fill(world: &World, subject: &str, count: usize, owner: &str) -> u64 {
    let (mut last, mut left) = (0, count);
    while left > 0 {
        let size = left.min(500);
        let mut batch = vec![message_as(CommandId::random().event(0), subject, Some(last), owner)];
        batch.extend((1..size).map(|_| message_as(CommandId::random().event(0), subject, None, owner)));
        last = world.bus.publish_batch(batch).await.expect("stored").last_seq;
        left -= size;
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_subject_is_read_whole_across_batches() {
    let world = World::shared().await;
    for count in [511, 512, 513, 1_024, 1_300] {
        let (at, other) = (subject(&world, "long"), subject(&world, "other"));
        fill(&world, &other, 3, "x").await;
        let last = fill(&world, &at, count, "x").await;
        let read = world.bus.read_subject(Family::Events, &at, 0).await.expect("readable");
        assert_eq!(read.len(), count);
        assert!(read.windows(2).all(|pair| pair[0].seq < pair[1].seq), "oldest first");
        assert!(read.iter().all(|event| event.subject.to_string() == at));
        let tail = world.bus.read_subject(Family::Events, &at, last - 2).await.expect("readable");
        assert_eq!(tail.iter().map(|event| event.seq).collect::<Vec<_>>(), [last - 1, last]);
        assert!(world.bus.read_subject(Family::Events, &at, last).await.expect("readable").is_empty());
    }
}

/// The server also cuts an answer by its bytes, which must not look like the end of the subject.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_large_events_is_read_whole() {
    let world = World::shared().await;
    let at = subject(&world, "large");
    let owner = "o".repeat(900_000);
    let mut last = 0;
    for _ in 0..90 {
        let event = message_as(CommandId::random().event(0), &at, Some(last), &owner);
        last = world.bus.publish(event).await.expect("stored").last_seq;
    }
    // Several at once on one connection: the server must not be made to give up on a client that is slow to take it all.
    let reads = (0..4).map(|_| world.bus.read_subject(Family::Events, &at, 0));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.expect("readable").len(), 90);
    }
    // Following them is no different; a lane that writes what it reads is slower still.
    let follows = (0..4).map(|_| async {
        let mut follow = world.bus.follow(Family::Events, 1, vec![]).await.expect("follows");
        let mut seen = Vec::new();
        while seen.len() < 90 {
            let batch = follow.next_batch(10, Duration::from_secs(5)).await.expect("readable");
            assert!(!batch.is_empty(), "nothing more came after {} events", seen.len());
            seen.extend(batch.into_iter().map(|event| event.expect("an event").seq));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(seen, (1..=90).collect::<Vec<_>>());
    });
    futures::future::join_all(follows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_large_subjects_are_all_found() {
    let world = World::shared().await;
    let owner = "o".repeat(900_000);
    let subjects: Vec<String> = (0..90).map(|_| subject(&world, "large")).collect();
    for at in &subjects {
        let event = message_as(CommandId::random().event(0), at, Some(0), &owner);
        world.bus.publish(event).await.expect("stored");
    }
    assert_eq!(world.bus.last_events(Family::Events, &subjects).await.expect("readable").len(), 90);
    assert_eq!(world.bus.last_positions(Family::Events, &subjects).await.expect("readable").len(), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_subjects_than_one_request_takes_are_found() {
    let world = World::shared().await;
    let subjects: Vec<String> = (0..1_100).map(|_| subject(&world, "many")).collect();
    for chunk in subjects.chunks(500) {
        world.bus.publish_batch(chunk.iter().map(|at| message(at, Some(0))).collect()).await.expect("stored");
    }
    assert_eq!(world.bus.last_positions(Family::Events, &subjects).await.expect("readable").len(), 1_100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let world = World::shared().await;
    let (one, two, taken) = (subject(&world, "a"), subject(&world, "b"), subject(&world, "c"));
    world.bus.publish(message(&taken, Some(0))).await.expect("the obstacle");
    let batch = vec![message(&one, Some(0)), message(&two, Some(0)), message(&taken, Some(0))];
    assert!(matches!(world.bus.publish_batch(batch).await, Err(AppendError::Conflict)));
    let positions = world.bus.last_positions(Family::Events, &[one.clone(), two.clone()]).await.expect("readable");
    assert!(positions.is_empty(), "a conflict on the last message stores nothing");
    let stored = world.bus.publish_batch(vec![message(&one, Some(0)), message(&two, Some(0))]).await.expect("stored");
    let positions = world.bus.last_positions(Family::Events, &[one.clone(), two.clone()]).await.expect("readable");
    assert_eq!((positions[&one], positions[&two]), (stored.last_seq - 1, stored.last_seq), "contiguous, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_is_stored_once() {
    let world = World::shared().await;
    let (at, event) = (subject(&world, "dup"), CommandId::random().event(0));
    let first = world.bus.publish(message_as(event, &at, Some(0), "x")).await.expect("stored");
    let again = world.bus.publish(message_as(event, &at, Some(0), "x")).await;
    let known = matches!(&again, Ok(append) if append.duplicate && append.last_seq == first.last_seq)
        || matches!(again, Err(AppendError::Conflict | AppendError::Duplicate));
    assert!(known, "{again:?}");
    let elsewhere = subject(&world, "dup");
    let batch = vec![message(&elsewhere, Some(0)), message_as(event, &subject(&world, "dup"), Some(0), "x")];
    let again = world.bus.publish_batch(batch).await;
    assert!(matches!(again, Err(AppendError::Duplicate)), "{again:?}");
    assert!(world.bus.read_subject(Family::Events, &elsewhere, 0).await.expect("readable").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_refuses_to_forget() {
    let world = World::shared().await;
    world.bus.ensure_streams().await.expect("a second time is the same");
    let at = subject(&world, "kept");
    let seq = world.bus.publish(message(&at, Some(0))).await.expect("stored").last_seq;
    assert_eq!(world.bus.last_seq(Family::Events).await.expect("readable"), seq);
    // `erase_latest` is for keys; on the log's own stream the server itself says no.
    assert!(world.bus.erase_latest("ev", seq).await.is_err());
    assert_eq!(world.bus.read_subject(Family::Events, &at, 0).await.expect("readable").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_during_an_outage_is_in_doubt_and_then_resolved() {
    if skip_slow() {
        return;
    }
    let server = Server::own();
    let world = World::on(&server).await;
    let at = subject(&world, "outage");
    let first = world.bus.publish(message(&at, Some(0))).await.expect("stored").last_seq;
    server.kill();
    let event = CommandId::random().event(0);
    let outcome = world.bus.publish(message_as(event, &at, Some(first), "x")).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_) | AppendError::Unreachable(_))), "{outcome:?}");
    let batch = world.bus.publish_batch(vec![message(&at, Some(first)), message(&at, None)]).await;
    assert!(matches!(batch, Err(AppendError::Unknown(_) | AppendError::Unreachable(_))), "{batch:?}");
    let read = world.bus.read_subject(Family::Events, &at, 0).await;
    assert!(matches!(read, Err(ReadError::Unreachable(_))), "{read:?}");
    server.start();
    eventually("the client is back", 10, async || world.bus.is_connected()).await;
    // What the client held back may be stored now, after its caller gave up. Whatever happened, the same event with the
    // same expectation settles it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let settled = world.bus.publish(message_as(event, &at, Some(first), "x")).await;
    let stored = world.bus.read_subject(Family::Events, &at, first).await.expect("readable");
    match settled {
        Ok(_) => assert_eq!(stored.iter().filter(|stored| stored.envelope.event_id == event).count(), 1),
        // The batch came first.
        Err(AppendError::Conflict) => assert!(!stored.is_empty()),
        other => panic!("{other:?}"),
    }
    let ids: std::collections::HashSet<_> = stored.iter().map(|stored| stored.envelope.event_id).collect();
    assert_eq!(ids.len(), stored.len(), "nothing twice");
    assert!(stored.len() == 1 || stored.len() == 2, "one of the two appends won: {}", stored.len());
}
