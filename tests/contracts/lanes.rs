//! Views over fjall that follow a real log.

use crate::support::{World, eventually, named};
use bus_schema::{
    Actor, Address, AnyEvent, CommandId, Envelope, Micros, Recorded, Subject,
    bus::{Bus, BusOptions, Outgoing},
    ids::random_uuid,
};
use projectors::{
    Projection, ProjectionError, Record, RowName, Rows, ViewError, Views,
    backend::fjall::{FjallStore, Options},
    catalog::projections,
    crm::contacts::{ContactRow, Contacts},
    generation::Generation,
    read_store::{ReadStore, ReadStoreError, ReadStorePort},
};
use std::{path::Path, sync::Arc, time::Duration};
use uuid::Uuid;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A projector process: it has a runtime of its own, so it can be killed between any two of its steps.
pub(super) struct Projector {
    runtime: tokio::runtime::Runtime,
    pub(super) views: Views,
}

impl Projector {
    pub(super) async fn start(dir: &Path, options: &BusOptions, projections: Vec<Arc<dyn Projection>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
        let (dir, options) = (dir.to_owned(), options.clone());
        let opened = runtime.spawn(async move {
            let end = tokio::time::Instant::now() + PATIENCE;
            let store = loop {
                match FjallStore::open(&dir, Options::default()).await {
                    // The blocking threads of the one before may need a moment.
                    Err(ReadStoreError::Locked { .. }) if tokio::time::Instant::now() < end => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    opened => break opened.expect("the store opens"),
                }
            };
            let bus = Bus::connect(options.clone()).await.expect("the server answers");
            let views = Views::open(options.cell, ReadStore::Fjall(store), projections).await.expect("views");
            views.start(bus);
            views
        });
        let views = opened.await.expect("started");
        Self { runtime, views }
    }

    pub(super) fn kill(self) {
        self.runtime.shutdown_background();
    }

    /// Its lane belongs to this process, so it ends with its runtime.
    async fn build(&self, view: &'static str) -> Result<Generation, ViewError> {
        let views = self.views.clone();
        self.runtime.spawn(async move { views.build(view).await }).await.expect("no panic")
    }

    async fn reach(&self, position: u64) {
        self.views.wait("contacts", position, PATIENCE).await.expect("the view gets there");
    }

    /// All contacts, newest first, over pages of `limit`.
    async fn newest(&self, world: &World, limit: usize) -> Vec<(Uuid, Record<ContactRow>)> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.views.newest::<Contacts>(&world.tenant, after.as_deref(), limit).await.expect("a page");
            assert!(page.records.len() <= limit);
            all.extend(page.records);
            match page.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn start(world: &World, dir: &tempfile::TempDir) -> Projector {
    Projector::start(dir.path(), &world.options, projections()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_by_its_position_in_pages() {
    let (world, dir) = (World::shared().await, temporary());
    let projector = start(&world, &dir).await;
    let mut ids = Vec::new();
    for n in 0..23 {
        let (id, position) = world.create(&format!("c{n}@x.org")).await;
        if n % 5 == 0 {
            projector.reach(position).await;
            let record = projector.views.record::<Contacts>(&world.tenant, id).await.expect("readable").expect("there");
            assert_eq!(record.revision, position, "read your writes");
        }
        ids.push(id);
    }
    let changed = world.rename(ids[3], "Ada").await;
    let erased = world.erase(ids[4]).await;
    projector.reach(erased.max(changed)).await;
    ids.reverse();
    for limit in [1, 5, 22, 23, 24, 100] {
        let listed = projector.newest(&world, limit).await;
        assert_eq!(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "pages of {limit}");
    }
    let record =
        projector.views.record::<Contacts>(&world.tenant, ids[22 - 3]).await.expect("readable").expect("there");
    assert_eq!(record.revision, changed);
    let keys = Contacts::keys_of(&record);
    let ring = world.keys.load(&world.tenant, &keys).await.expect("loaded");
    assert_eq!(record.row.reveal(&ring).expect("known").first_name.as_deref(), Some("Ada"));
    let gone =
        projector.views.record::<Contacts>(&world.tenant, ids[22 - 4]).await.expect("readable").expect("a trace");
    assert!(gone.row.details.is_none(), "nothing personal is left of an erased contact");
    projector.kill();
}

trait KeysOf {
    fn keys_of(record: &Record<ContactRow>) -> Vec<bus_schema::KeyId>;
}

impl KeysOf for Contacts {
    fn keys_of(record: &Record<ContactRow>) -> Vec<bus_schema::KeyId> {
        <Self as projectors::RecordView>::keys(&record.row)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_built_switched_and_retired_while_writes_go_on() {
    let (world, dir) = (Arc::new(World::shared().await), temporary());
    let projector = start(&world, &dir).await;
    for n in 0..50 {
        world.create(&format!("before{n}@x.org")).await;
    }
    let writing = tokio::spawn({
        let world = world.clone();
        async move {
            let mut last = 0;
            for n in 0..150 {
                last = world.create(&format!("during{n}@x.org")).await.1;
            }
            last
        }
    });
    let views = &projector.views;
    let first = views.serving("contacts").expect("one").generation().to_string();
    let built = projector.build("contacts").await.expect("a build begins");
    assert!(projector.build("contacts").await.is_err(), "one build at a time");
    assert!(views.retire(&first).await.is_err(), "what serves is not retired");
    eventually("the new generation has caught up", 20, async || views.switch("contacts").await.is_ok()).await;
    assert_eq!(views.serving("contacts").expect("one").generation(), &built);
    views.retire(&first).await.expect("retired");
    let last = writing.await.expect("written");
    projector.reach(last).await;
    assert_eq!(projector.newest(&world, 60).await.len(), 200);
    assert!(views.retire(&first).await.is_err(), "it is gone");
    // A build that is given up, then another one: it must not be mistaken for the first.
    let given_up = projector.build("contacts").await.expect("a build begins");
    views.retire(&given_up.to_string()).await.expect("given up");
    let left = views
        .store()
        .tables()
        .await
        .expect("readable")
        .into_iter()
        .filter(|table| table.generation() == given_up.to_string());
    assert_eq!(left.count(), 0, "a batch under way does not bring its tables back");
    let held = async || {
        let digests = views.digests().await.expect("digests");
        digests.into_iter().find(|view| view.generation.starts_with("contacts_")).expect("one serves")
    };
    let before = held().await;
    let second = projector.build("contacts").await.expect("a build begins");
    eventually("the new generation has caught up", 20, async || views.switch("contacts").await.is_ok()).await;
    let after = held().await;
    assert_ne!(before.generation, after.generation);
    assert_eq!((before.position, &before.digest), (after.position, &after.digest), "a rebuild holds the same");
    views.retire(&built.to_string()).await.expect("retired");
    projector.kill();
    let projector = start(&world, &dir).await;
    assert_eq!(projector.views.serving("contacts").expect("one").generation(), &second, "remembered over a restart");
    projector.reach(last).await;
    assert_eq!(projector.newest(&world, 60).await.len(), 200);
    let generations = projector.views.status().into_iter().filter(|status| status.view == "contacts").count();
    assert_eq!(generations, 1, "{:?}", projector.views.status());
    projector.kill();
}

/// Notes every claim; its own kind of trouble is a claim by `bad`.
struct Claims;

impl Projection for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }
    fn version(&self) -> u32 {
        1
    }
    fn follows(&self, address: &Address) -> bool {
        address.context == "claim"
    }
    fn reads(&self, _: &Recorded<AnyEvent>) -> Vec<RowName> {
        Vec::new()
    }
    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        if event.subject.address.aggregate == "bad" {
            return Err(ProjectionError::Event("a claim by bad".into()));
        }
        rows.put(RowName::new("seen", "all", event.seq.to_be_bytes()), vec![1]);
        Ok(())
    }
}

/// An event of a kind everybody knows, with a body nobody can read.
async fn garbage(world: &World) -> u64 {
    let address = Address::new("crm", "contact", random_uuid());
    let command = CommandId::random();
    let envelope = Envelope {
        event_id: command.event(0),
        kind: "contact.created".into(),
        schema: 1,
        at: Micros(1),
        actor: Actor::Visitor,
        correlation: command.0,
        cause: command,
        fingerprint: None,
        key: None,
        trace: None,
    };
    let subject = Subject::event(world.cell(), &world.tenant, address).to_string();
    let body = vec![0xc1, 0xff, 0x00].into();
    world
        .bus
        .publish(Outgoing { subject, envelope: Some(envelope), body, expect: Some(0) })
        .await
        .expect("stored")
        .last_seq
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_pauses_its_view_and_no_other() {
    let (world, dir) = (World::shared().await, temporary());
    let mut all = projections();
    all.push(Arc::new(Claims));
    let projector = Projector::start(dir.path(), &world.options, all.clone()).await;
    let (before, position) = world.create("before@x.org").await;
    projector.reach(position).await;
    let bad = garbage(&world).await;
    let (after, created) = world.create("after@x.org").await;
    let claim = super::bus::message(&super::bus::subject(&world, "good"), Some(0));
    let claimed = world.bus.publish(claim).await.expect("stored").last_seq;
    projector.views.wait("claims", claimed, PATIENCE).await.expect("the other view goes on");
    let status = |projector: &Projector, view: &str| {
        projector.views.status().into_iter().find(|status| status.view == view).expect("it has a status")
    };
    eventually("the view says that it is paused", 10, async || status(&projector, "contacts").paused.is_some()).await;
    let paused = status(&projector, "contacts");
    assert_eq!(paused.position, bad - 1, "it stands before the event");
    let pause = paused.paused.expect("just seen");
    assert_eq!((pause.seq, pause.kind.as_deref()), (bad, Some("contact.created")));
    assert!(pause.error.contains("MessagePack") && pause.event_id.is_some(), "{pause:?}");
    assert!(status(&projector, "claims").paused.is_none());
    let behind = projector.views.wait("contacts", created, Duration::from_millis(50)).await;
    assert!(behind.is_err(), "a paused view does not pretend");
    assert!(projector.views.record::<Contacts>(&world.tenant, before).await.expect("readable").is_some());
    // Trying again without skipping pauses again; so does a restart.
    projector.views.resume("contacts", None).await.expect("it exists");
    tokio::time::sleep(Duration::from_millis(50)).await;
    eventually("it is paused again", 10, async || status(&projector, "contacts").paused.is_some()).await;
    projector.kill();
    let projector = Projector::start(dir.path(), &world.options, all).await;
    eventually("it is paused after a restart", 10, async || status(&projector, "contacts").paused.is_some()).await;
    projector.views.resume("contacts", Some(skip(bad + 1))).await.expect_err("it is paused before another event");
    projector.views.resume("contacts", Some(skip(bad))).await.expect("it exists");
    projector.reach(created).await;
    assert!(projector.views.record::<Contacts>(&world.tenant, after).await.expect("readable").is_some());
    // The same for an event that a view itself refuses.
    let claim = super::bus::message(&super::bus::subject(&world, "bad"), Some(0));
    let refused = world.bus.publish(claim).await.expect("stored").last_seq;
    let (_, last) = world.create("last@x.org").await;
    projector.reach(last).await;
    eventually("the other view is paused", 10, async || status(&projector, "claims").paused.is_some()).await;
    projector.views.resume("claims", Some(skip(refused))).await.expect("it exists");
    projector.views.wait("claims", last, PATIENCE).await.expect("it goes on");
    projector.kill();
}

/// Some life: creations, tags, changes of address, erasures.
async fn live(world: &World, round: usize) -> u64 {
    let mut last = 0;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(world.create(&format!("r{round}n{n}@x.org")).await.0);
    }
    for (n, id) in ids.iter().enumerate() {
        last = match n % 4 {
            0 => world.tag(*id, "vip").await,
            1 => world.rename(*id, "Ada").await,
            2 => world.erase(*id).await,
            _ => last,
        };
    }
    // Somebody new at an erased person's address.
    let (_, receipt) = world.create_as(CommandId::random(), &format!("r{round}n2@x.org")).await.expect("free again");
    last.max(receipt.position)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_projectors_and_fresh_ones_end_with_the_same_rows() {
    let world = World::shared().await;
    let (killed, fresh) = (temporary(), temporary());
    let mut last = 0;
    for round in 0..4 {
        let projector = start(&world, &killed).await;
        last = live(&world, round).await;
        // Killed at an arbitrary place of its work, without waiting for it.
        tokio::time::sleep(Duration::from_millis(13 * round as u64)).await;
        projector.kill();
    }
    let (one, two) = (start(&world, &killed).await, start(&world, &fresh).await);
    for projector in [&one, &two] {
        projector.reach(last).await;
    }
    let (rows, again) = (one.newest(&world, 17).await, two.newest(&world, 50).await);
    assert_eq!(rows.len(), 4 * 41);
    assert_eq!(rows, again, "two stores fed from one log are equal");
    let position = |projector: &Projector| projector.views.status()[0].position;
    assert_eq!((position(&one), position(&two)), (last, last));
    one.kill();
    two.kill();
}

/// More records in one batch of the lane than one page of the read store could ever hold is not the case; this is the
/// largest batch there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_is_taken_at_once() {
    let (world, dir) = (World::shared().await, temporary());
    let made = futures::future::join_all((0..2_100).map(|n| {
        let world = &world;
        async move {
            let email = format!("b{n}@x.org");
            let meta = writers::Meta::system("test", CommandId::random());
            let made = writers::crm::contact::create(&world.writer, &world.tenant, &meta, &named(&email), &email).await;
            made.expect("created").1.position
        }
    }))
    .await;
    let last = made.into_iter().max().expect("some");
    let projector = start(&world, &dir).await;
    projector.reach(last).await;
    assert_eq!(projector.newest(&world, 500).await.len(), 2_100);
    projector.kill();
}

/// An operator's order to pass over an event.
fn skip(seq: u64) -> projectors::skips::SkipOrder {
    projectors::skips::SkipOrder { seq, by: "account:test".into(), at: bus_schema::Micros(1) }
}
