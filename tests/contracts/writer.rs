//! The writer over a real log: races, retries, a server that dies.

use crate::support::{Server, World, eventually, named, skip_slow};
use bus_schema::{CommandId, subject::Family};
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use writers::{
    Meta, WriteError,
    crm::contact::{self, Contact, ContactCommand},
};

/// Creations in the log by the subject they stand on.
async fn creations(world: &World) -> BTreeMap<String, usize> {
    let filter = Family::Events.filter(world.cell(), Some(&world.tenant));
    let (mut from, mut found) = (1, BTreeMap::new());
    loop {
        let piece = world.bus.read_filtered(Family::Events, &filter, from, 500).await.expect("readable");
        from = piece.next;
        for event in piece.events.iter().filter(|event| event.envelope.kind == "contact.created") {
            *found.entry(event.subject.to_string()).or_insert(0) += 1;
        }
        if !piece.more {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_creations_of_a_hundred_addresses_make_a_hundred_contacts() {
    let world = World::shared().await;
    // Two processes, so that nothing but the log keeps them apart.
    let other = world.writer_elsewhere().await;
    let jobs = (0..200).map(|n| {
        let (writer, email) = (if n % 2 == 0 { &world.writer } else { &other }, format!("c{}@x.org", n / 2));
        let tenant = &world.tenant;
        async move {
            let meta = Meta::system("test", CommandId::random());
            contact::create(writer, tenant, &meta, &named(&email), &email).await.map(|(id, _)| id)
        }
    });
    let outcomes = futures::future::join_all(jobs).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 100);
    for outcome in outcomes {
        if let Err(error) = outcome {
            assert!(matches!(&error, WriteError::Rejected(rejected) if rejected.code == "email_taken"), "{error}");
        }
    }
    let made = creations(&world).await;
    assert_eq!(made.len(), 100);
    assert!(made.values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_as_the_first_time() {
    let world = World::shared().await;
    let command = CommandId::random();
    let (id, first) = world.create_as(command, "a@x.org").await.expect("created");
    assert!(!first.replayed);
    world.tag(id, "later").await;
    let before = world.bus.last_seq(Family::Events).await.expect("readable");
    let other = world.writer_elsewhere().await;
    let meta = Meta { content: Some("a@x.org".into()), ..Meta::system("test", command) };
    for writer in [&world.writer, &other] {
        let (again, receipt) =
            contact::create(writer, &world.tenant, &meta, &named("a@x.org"), "a@x.org").await.expect("answered again");
        assert!(receipt.replayed && again == id);
        assert_eq!(receipt.value.revision, first.value.revision, "the revision it led to, not today's");
    }
    assert_eq!(world.bus.last_seq(Family::Events).await.expect("readable"), before, "nothing new is stored");
    let meta = Meta { content: Some("b@x.org".into()), ..meta };
    let reused = contact::create(&world.writer, &world.tenant, &meta, &named("b@x.org"), "b@x.org").await;
    assert!(matches!(reused, Err(WriteError::KeyReused)), "{:?}", reused.map(|(id, _)| id));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_processes_lose_no_update() {
    let world = World::shared().await;
    let (id, _) = world.create("a@x.org").await;
    let other = world.writer_elsewhere().await;
    let jobs = (0..40).map(|n| {
        let (writer, tenant) = (if n % 2 == 0 { &world.writer } else { &other }, &world.tenant);
        async move {
            let meta = Meta::system("test", CommandId::random());
            writer.execute::<Contact>(tenant, id, &meta, &ContactCommand::Tag { tag: format!("t{n}") }).await
        }
    });
    for outcome in futures::future::join_all(jobs).await {
        outcome.expect("conflicts are settled by deciding again");
    }
    let subject = world.writer.subject::<Contact>(&world.tenant, id).to_string();
    let events = world.bus.read_subject(Family::Events, &subject, 0).await.expect("readable");
    let tags = events.iter().filter(|event| event.envelope.kind == "contact.tagged").count();
    assert_eq!(tags, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_is_decided_by_the_log() {
    let world = World::shared().await;
    let (id, position) = world.create("a@x.org").await;
    let other = world.writer_elsewhere().await;
    let tag = |tag: &str| ContactCommand::Tag { tag: tag.into() };
    let meta = |revision| Meta { if_match: Some(revision), ..Meta::system("test", CommandId::random()) };
    other.execute::<Contact>(&world.tenant, id, &meta(position), &tag("other")).await.expect("the present revision");
    // This process still has the contact in its cache as it was made.
    let stale = world.writer.execute::<Contact>(&world.tenant, id, &meta(position), &tag("mine")).await;
    let now = world.bus.last_seq(Family::Events).await.expect("readable");
    assert!(matches!(stale, Err(WriteError::Stale { current }) if current == now), "{:?}", stale.map(|r| r.position));
    world.writer.execute::<Contact>(&world.tenant, id, &meta(now), &tag("mine")).await.expect("the present revision");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_killed_server_and_nothing_is_made_twice() {
    if skip_slow() {
        return;
    }
    let server = Server::own();
    let world = World::on(&server).await;
    // Keys are at hand already, so that the log itself is what the commands meet.
    world.create("warm@x.org").await;
    let commands: HashMap<usize, CommandId> = (0..300).map(|n| (n, CommandId::random())).collect();
    let done = AtomicUsize::new(0);
    let run = async |n: usize| {
        let outcome = world.create_as(commands[&n], &format!("k{n}@x.org")).await.map(|(id, _)| id);
        done.fetch_add(1, Ordering::Relaxed);
        outcome
    };
    let all = stream::iter(0..300).map(run).buffered(40).collect::<Vec<_>>();
    let chaos = async {
        for enough in [30, 150] {
            eventually("commands are answered", 30, async || done.load(Ordering::Relaxed) >= enough).await;
            server.kill();
            println!("killed after {} answers", done.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.start();
        }
    };
    let (outcomes, ()) = futures::future::join(all, chaos).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    println!("{} acknowledged, {failed} not", 300 - failed);
    eventually("the client is back", 10, async || world.bus.is_connected()).await;
    let made = creations(&world).await;
    assert!(made.values().all(|count| *count == 1), "no subject was created twice");
    for id in outcomes.iter().flatten() {
        let subject = world.writer.subject::<Contact>(&world.tenant, *id).to_string();
        assert_eq!(made.get(&subject), Some(&1), "an acknowledged contact is in the log");
    }
    // A client that got no answer asks again with the same command; all of them do here, to another process.
    let other = world.writer_elsewhere().await;
    for n in 0..300 {
        let email = format!("k{n}@x.org");
        let meta = Meta { content: Some(email.clone().into()), ..Meta::system("test", commands[&n]) };
        let (id, _) = contact::create(&other, &world.tenant, &meta, &named(&email), &email).await.expect("settled");
        if let Ok(before) = &outcomes[n] {
            assert_eq!(*before, id);
        }
    }
    let made = creations(&world).await;
    assert_eq!(made.len(), 301);
    assert!(made.values().all(|count| *count == 1));
}

/// The log is away for longer than one request waits: the writer finds out by itself, also when it cannot read.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_a_short_outage() {
    if skip_slow() {
        return;
    }
    let server = Server::own();
    let world = World::on(&server).await;
    let (id, _) = world.create("a@x.org").await;
    server.kill();
    let (position, ()) = futures::future::join(world.tag(id, "patient"), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        server.start();
    })
    .await;
    assert_eq!(position, world.bus.last_seq(Family::Events).await.expect("readable"));
}

/// Handlers and tasks need futures that can move between threads.
#[tokio::test]
async fn commands_can_be_spawned() {
    fn movable<T>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
        future
    }
    let world = World::shared().await;
    let meta = Meta::system("test", CommandId::random());
    let (writer, tenant) = (&world.writer, &world.tenant);
    let command = named("a@x.org");
    let create = movable(contact::create(writer, tenant, &meta, &command, "a@x.org"));
    let (id, _) = create.await.expect("created");
    let meta = Meta::system("test", CommandId::random());
    let tag = ContactCommand::Tag { tag: "x".into() };
    movable(writer.execute::<Contact>(tenant, id, &meta, &tag)).await.expect("tagged");
    let meta = Meta::system("test", CommandId::random());
    movable(contact::change(writer, tenant, id, &meta, None, |details| details)).await.expect("changed");
    movable(contact::erase(writer, tenant, id, &meta)).await.expect("erased");
}
