//! Workers over a real server: order, repetition, parking, deaths.

use crate::support::{Server, World, eventually};
use bus_schema::bus::Begin;
use futures::future::BoxFuture;
use projectors::platform::board::Board;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;
use workers::{
    Worker,
    runtime::{self, Failure, Handler, Item, Job, Patience, RuntimeParts},
};
use writers::{
    Meta,
    platform::parked_item::{ParkedItem, ParkedItemCommand},
};

const JOB: Job = Job {
    name: "recorder",
    aggregates: &[("crm", "contact")],
    concurrency: 4,
    begin: Begin::First,
    patience: Patience {
        attempts: 3,
        deliveries: 6,
        rests: &[Duration::from_millis(50)],
        silence: Duration::from_secs(2),
    },
};

/// What was handled, and what is to fail.
#[derive(Clone, Default)]
struct Recorder(Arc<Book>);

#[derive(Default)]
struct Book {
    /// Position and attempt of everything that was begun, in that order.
    begun: Mutex<Vec<(u64, u64)>>,
    /// Effects that are done, with how often.
    done: Mutex<BTreeMap<String, u32>>,
    /// Positions that fail, as long as they are in here.
    failing: Mutex<BTreeSet<u64>>,
    /// Positions whose handling never ends, or panics.
    hanging: Mutex<BTreeSet<u64>>,
    panicking: Mutex<BTreeSet<u64>>,
}

impl Handler for Recorder {
    fn handle<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.0.begun.lock().unwrap().push((item.event.seq, item.attempt));
            if self.0.hanging.lock().unwrap().contains(&item.event.seq) {
                std::future::pending::<()>().await;
            }
            if self.0.panicking.lock().unwrap().contains(&item.event.seq) {
                // A panic that is not printed.
                std::panic::resume_unwind(Box::new("it is to panic"));
            }
            if self.0.failing.lock().unwrap().contains(&item.event.seq) {
                return Err(Failure::Later("it is to fail".into()));
            }
            *self.0.done.lock().unwrap().entry(item.effect().to_string()).or_default() += 1;
            Ok(())
        })
    }
}

impl Recorder {
    fn begun(&self) -> Vec<(u64, u64)> {
        self.0.begun.lock().unwrap().clone()
    }

    fn done(&self) -> usize {
        self.0.done.lock().unwrap().len()
    }
}

/// `places` outlives the worker as its data directory would.
async fn parts(world: &World) -> RuntimeParts {
    let board = Board::start(world.bus.clone());
    assert!(board.caught_up(Duration::from_secs(20)).await);
    let places = world.folder("places");
    RuntimeParts { bus: world.bus.clone(), writer: world.writer.clone(), board, places }
}

fn start(parts: &RuntimeParts, recorder: &Recorder) -> Worker {
    runtime::start(parts.clone(), JOB, recorder.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_key_keep_their_order_through_failures() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let (one, first) = world.create("one@x.example").await;
    let (other, _) = world.create("other@x.example").await;
    recorder.0.failing.lock().unwrap().insert(first);
    let mut of_one = vec![first];
    for tag in ["a", "b", "c"] {
        of_one.push(world.tag(one, tag).await);
        world.tag(other, tag).await;
    }
    let worker = start(&parts, &recorder);
    eventually("the other contact's events are done", 30, async || recorder.done() == 4).await;
    recorder.0.failing.lock().unwrap().clear();
    eventually("everything is done", 30, async || recorder.done() == 8).await;
    let begun = recorder.begun();
    let mut order: Vec<u64> = begun.iter().map(|(seq, _)| *seq).filter(|seq| of_one.contains(seq)).collect();
    order.dedup();
    assert_eq!(order, of_one, "{begun:?}");
    let attempts: Vec<u64> = begun.iter().filter(|(seq, _)| *seq == first).map(|(_, attempt)| *attempt).collect();
    assert_eq!(attempts, (1..=attempts.len() as u64).collect::<Vec<_>>(), "they are counted");
    eventually("nothing waits", 20, async || worker.status().glance().lag == Some(0)).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_too_often_is_parked_and_tried_again_on_demand() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let (contact, position) = world.create("park@x.example").await;
    recorder.0.failing.lock().unwrap().insert(position);
    let worker = start(&parts, &recorder);
    eventually("it is parked", 30, async || parts.board.parked(Some(JOB.name)).len() == 1).await;
    let entry = parts.board.parked(None).remove(0);
    assert_eq!((entry.item.position, entry.item.attempts), (position, 3));
    assert_eq!((entry.item.cause.as_str(), entry.item.kind.as_str()), ("it is to fail", "contact.created"));
    assert_eq!(entry.tenant, world.tenant);
    world.tag(contact, "later").await;
    eventually("what comes behind it is handled", 30, async || recorder.done() == 1).await;
    let tell = async |command| {
        let meta = Meta::system("test", bus_schema::CommandId::random());
        world.writer.execute::<ParkedItem>(&world.tenant, entry.id, &meta, &command).await.expect("accepted")
    };
    tell(ParkedItemCommand::Retry).await;
    let again = async || parts.board.parked_item(entry.id).is_some_and(|entry| entry.times == 2 && !entry.retrying);
    eventually("it is parked again", 30, again).await;
    recorder.0.failing.lock().unwrap().clear();
    tell(ParkedItemCommand::Retry).await;
    eventually("it is done", 30, async || parts.board.parked(None).is_empty()).await;
    assert_eq!(recorder.done(), 2);
    worker.stop().await;
    // Nothing of it comes again.
    let begun = recorder.begun().len();
    let worker = start(&parts, &recorder);
    let next = world.tag(contact, "last").await;
    eventually("the next is done", 30, async || recorder.begun().iter().any(|(seq, _)| *seq == next)).await;
    assert_eq!(recorder.begun().len(), begun + 1);
    worker.stop().await;
}

/// What was in flight beside it was delivered as often, and is not parked with it, not even what failed.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_every_process_is_found_and_parked() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let (_, before) = world.create("before@x.example").await;
    let (_, poison) = world.create("poison@x.example").await;
    let (_, behind) = world.create("behind@x.example").await;
    recorder.0.hanging.lock().unwrap().extend([before, poison, behind]);
    for death in 1..=JOB.patience.deliveries as usize {
        let worker = start(&parts, &recorder);
        eventually("they are begun once more", 30, async || recorder.begun().len() == 3 * death).await;
        worker.kill();
    }
    recorder.0.hanging.lock().unwrap().retain(|position| *position == poison);
    recorder.0.failing.lock().unwrap().insert(before);
    let ends = async || {
        recorder.0.begun.lock().unwrap().clear();
        let worker = start(&parts, &recorder);
        eventually("it is begun", 30, async || recorder.begun().iter().any(|(seq, _)| *seq == poison)).await;
        let begun = recorder.begun().len();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(recorder.begun().len(), begun, "nothing is begun beside it");
        worker.kill();
    };
    ends().await;
    recorder.0.failing.lock().unwrap().clear();
    recorder.0.begun.lock().unwrap().clear();
    let worker = start(&parts, &recorder);
    let parked = async || parts.board.parked(None).iter().any(|entry| !entry.retrying);
    eventually("it is parked without another attempt", 30, parked).await;
    eventually("the others are done", 30, async || recorder.done() == 2).await;
    assert!(recorder.begun().iter().all(|(seq, _)| *seq != poison), "{:?}", recorder.begun());
    let [entry] = &parts.board.parked(None)[..] else { panic!("one is parked") };
    assert_eq!((entry.item.position, entry.item.attempts), (poison, 0));
    assert!(entry.item.cause.starts_with("it was delivered 7 times"), "{}", entry.item.cause);
    let meta = Meta::system("test", bus_schema::CommandId::random());
    let retry = ParkedItemCommand::Retry;
    world.writer.execute::<ParkedItem>(&world.tenant, entry.id, &meta, &retry).await.expect("accepted");
    eventually("it is tried again", 30, async || recorder.begun().iter().any(|(seq, _)| *seq == poison)).await;
    worker.kill();
    let worker = start(&parts, &recorder);
    let again = async || parts.board.parked_item(entry.id).is_some_and(|entry| entry.times == 2 && !entry.retrying);
    eventually("it is parked again, and ends no third process", 30, again).await;
    let tried = recorder.begun().iter().filter(|(seq, _)| *seq == poison).count();
    assert_eq!(tried, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_too_often_is_parked_and_nothing_else_suffers() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let (_, position) = world.create("panics@x.example").await;
    world.create("fine@x.example").await;
    recorder.0.panicking.lock().unwrap().insert(position);
    let worker = start(&parts, &recorder);
    eventually("it is parked", 30, async || parts.board.parked(Some(JOB.name)).len() == 1).await;
    let entry = parts.board.parked(None).remove(0);
    assert_eq!((entry.item.position, entry.item.attempts), (position, 3));
    assert!(entry.item.cause.contains("panicked"), "{}", entry.item.cause);
    eventually("the other is done", 30, async || recorder.done() == 1).await;
    let meta = Meta::system("test", bus_schema::CommandId::random());
    let retry = ParkedItemCommand::Retry;
    world.writer.execute::<ParkedItem>(&world.tenant, entry.id, &meta, &retry).await.expect("accepted");
    let again = async || parts.board.parked_item(entry.id).is_some_and(|entry| entry.times == 2 && !entry.retrying);
    eventually("it panics once more and is parked again", 30, again).await;
    assert_eq!(recorder.begun().iter().filter(|(seq, _)| *seq == position).count(), 4);
    worker.stop().await;
}

/// Deliveries that a connection took with it, or that went to a process that died before it began, are no attempts.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_often_and_never_tried_is_tried() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let (recorder, lost) = (Recorder::default(), Recorder::default());
    let (_, position) = world.create("lost@x.example").await;
    lost.0.hanging.lock().unwrap().insert(position);
    for death in 1..=JOB.patience.attempts {
        let worker = start(&parts, &lost);
        eventually("it is taken", 30, async || lost.begun().len() as u64 == death).await;
        worker.kill();
    }
    recorder.0.failing.lock().unwrap().insert(position);
    let worker = start(&parts, &recorder);
    eventually("it is parked", 30, async || parts.board.parked(Some(JOB.name)).len() == 1).await;
    let entry = parts.board.parked(None).remove(0);
    assert_eq!((entry.item.cause.as_str(), entry.item.attempts), ("it is to fail", 3), "{:?}", recorder.begun());
    assert_eq!(recorder.begun(), [(position, 1), (position, 2), (position, 3)]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_begins_nothing() {
    let world = World::shared().await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let worker = start(&parts, &recorder);
    world.create("before@x.example").await;
    eventually("it runs", 30, async || recorder.done() == 1).await;
    worker.status().set_paused(true);
    world.create("while@x.example").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(recorder.begun().len(), 1);
    worker.status().set_paused(false);
    eventually("it goes on", 30, async || recorder.done() == 2).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_handled_through_deaths_of_the_worker_and_the_server() {
    let server = Server::own();
    let world = World::on(&server).await;
    let parts = parts(&world).await;
    let recorder = Recorder::default();
    let mut wanted: BTreeSet<u64> = BTreeSet::new();
    let mut contacts: Vec<Uuid> = Vec::new();
    for round in 0..3 {
        let worker = start(&parts, &recorder);
        for number in 0..20 {
            let (contact, position) = world.create(&format!("{round}-{number}@x.example")).await;
            contacts.push(contact);
            wanted.insert(position);
            if round == 1 && number == 10 {
                server.kill();
                server.start();
            }
        }
        worker.kill();
    }
    let worker = start(&parts, &recorder);
    let all = async || {
        let begun: BTreeSet<u64> = recorder.begun().into_iter().map(|(seq, _)| seq).collect();
        begun == wanted && recorder.done() == wanted.len()
    };
    eventually("every event is handled", 60, all).await;
    eventually("nothing waits", 30, async || worker.status().glance().lag == Some(0)).await;
    assert!(parts.board.parked(None).is_empty());
    worker.stop().await;
}
