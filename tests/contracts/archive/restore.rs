//! A log made from one provider alone: same positions, same bytes, same persons erased.

use super::{Empty, Protected, caught_up, events, fact, now};
use crate::support::{S3Server, World, eventually};
use bus_schema::{
    AnyEvent, KeyId, Revealed,
    bus::{Bus, StoredMessage},
    crm::contact::ContactEvent,
    subject::Family,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::archive::{
    Archiver, ObjectStore, ObjectStorePort,
    archiver::CutRule,
    backend::memory::MemoryObjects,
    restore::{RestoreError, Target, restore},
};

fn memory() -> ObjectStore {
    ObjectStore::memory(MemoryObjects::new("north"))
}

async fn stored(bus: &Bus, family: Family) -> Vec<Arc<StoredMessage>> {
    let last = bus.last_seq(family).await.expect("readable");
    let mut follow = bus.follow(family, 1, Vec::new()).await.expect("follows");
    let mut all = Vec::new();
    while (all.len() as u64) < last {
        all.extend(follow.next_stored(1_000, Duration::from_secs(5)).await.expect("read").messages);
    }
    all
}

/// Messages without what a copy has anew: store time and transport headers.
fn essence(messages: &[Arc<StoredMessage>]) -> Vec<StoredMessage> {
    let own = |message: &Arc<StoredMessage>| {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let headers = message.own_headers().map(pair).collect();
        StoredMessage { headers, stored: bus_schema::Micros(0), ..StoredMessage::clone(message) }
    };
    messages.iter().map(own).collect()
}

/// The key of a contact and the address, as far as it can still be read.
async fn contact(world: &World, bus: &Bus, id: Uuid) -> (KeyId, Option<String>) {
    let subject = format!("ev.{}.{}.crm.contact.{id}", world.cell(), world.tenant);
    let events = bus.read_subject(Family::Events, &subject, 0).await.expect("readable");
    let Ok(Some(AnyEvent::Contact(ContactEvent::Created(created)))) = events[0].decode() else {
        panic!("a contact begins with its creation")
    };
    let key = created.details.key();
    let ring = world.keys_on(bus).load(&world.tenant, &[key]).await.expect("readable");
    match created.details.open(&ring).expect("opens or is erased") {
        Revealed::Known(details) => (key, Some(details.email)),
        Revealed::Erased => (key, None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_bytes_are_the_same_and_sealed_data_opens() {
    let world = World::shared().await;
    let protected = Protected::new(&world, S3Server::south().bucket().await);
    let archiver = protected.start(Family::Events);
    let (kept, _) = world.create("kept@example.org").await;
    let (gone, _) = world.create("gone@example.org").await;
    for index in 0..30 {
        world.tag(kept, &format!("tag{index}")).await;
        fact(&world, index).await;
    }
    events(&world, 700).await;
    world.rename(kept, "Ada").await;
    world.erase(gone).await;
    caught_up(&world, &archiver, Family::Events).await;
    archiver.stop().await;
    protected.archive_all().await;
    let target = Empty::like(&world).await;
    let restored = target.fill(&protected.source(), Target::End).await;
    for family in [Family::Events, Family::Facts] {
        let (before, after) = (stored(&world.bus, family).await, stored(&target.bus, family).await);
        assert_eq!(essence(&before), essence(&after), "{family:?}");
    }
    assert_eq!(restored.events.digest, protected.digest(Family::Events).await);
    assert_eq!(restored.facts.expect("facts").last, 30);
    assert_eq!(contact(&world, &target.bus, kept).await.1.as_deref(), Some("kept@example.org"));
    assert_eq!(contact(&world, &target.bus, gone).await.1, None, "erased stays erased");
    assert_eq!(restored.epoch, 1);
    // The restored log works like the one before: a retried command is known, a new one goes on.
    assert_eq!(target.bus.last_seq(Family::Events).await.expect("readable"), restored.events.last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_erased_after_the_restored_point_stays_erased() {
    let world = World::shared().await;
    let objects = MemoryObjects::new("north");
    let protected = Protected::new(&world, ObjectStore::memory(objects.clone()));
    let (gone, created) = world.create("gone@example.org").await;
    let (kept, _) = world.create("kept@example.org").await;
    protected.archive_all().await;
    let middle = world.bus.last_seq(Family::Events).await.expect("readable");
    let chunk = objects.keys().into_iter().find(|key| key.contains("/KEYS_")).expect("copies of keys");
    let before = objects.get(&chunk, usize::MAX).await.expect("there").bytes;
    events(&world, 120).await;
    world.erase(gone).await;
    // The erasure reaches the archive, but the provider still holds the key, as if it had not been swept yet.
    protected.archive_all().await;
    objects.tamper(&chunk, |_| Some(before));
    for target in [Target::Position(middle), Target::Position(created)] {
        let empty = Empty::like(&world).await;
        let restored = empty.fill(&protected.source(), target).await;
        assert_eq!(contact(&world, &empty.bus, gone).await.1, None, "{target:?}: withheld");
        assert_eq!(restored.keys.withheld, 1, "{target:?}");
    }
    // After the sweep the key is not even there.
    let copies = protected.keys();
    assert!(copies.sweep().await.expect("swept"));
    assert!(!copies.sweep().await.expect("swept"), "nothing was erased since");
    let empty = Empty::like(&world).await;
    let restored = empty.fill(&protected.source(), Target::Position(middle)).await;
    assert_eq!(restored.keys.withheld, 0);
    assert_eq!(contact(&world, &empty.bus, gone).await.1, None);
    assert_eq!(contact(&world, &empty.bus, kept).await.1.as_deref(), Some("kept@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_position_and_any_moment_can_be_restored() {
    let world = World::shared().await;
    let protected = Protected::new(&world, memory());
    let mut moments = Vec::new();
    for round in 0..6 {
        events(&world, 40).await;
        fact(&world, round).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        moments.push((world.bus.last_seq(Family::Events).await.expect("readable"), now()));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    protected.archive_all().await;
    let all = stored(&world.bus, Family::Events).await;
    for (position, moment) in [moments[0], moments[3]] {
        let empty = Empty::like(&world).await;
        let restored = empty.fill(&protected.source(), Target::Time(moment)).await;
        assert_eq!(restored.events.last, position);
        let wanted = &all[..usize::try_from(position).expect("small")];
        assert_eq!(essence(&stored(&empty.bus, Family::Events).await), essence(wanted));
    }
    for position in [1, 39, 41, 100, 240] {
        let empty = Empty::like(&world).await;
        assert_eq!(empty.fill(&protected.source(), Target::Position(position)).await.events.last, position);
        let facts = empty.bus.last_seq(Family::Facts).await.expect("readable");
        assert!(facts <= position / 40 + 1, "facts up to the same moment: {facts} at {position}");
    }
    let empty = Empty::like(&world).await;
    let refused = async |target| restore(&protected.source(), &empty.bus, target, |_, _| {}).await.expect_err("no");
    let error = refused(Target::Position(241)).await;
    assert!(matches!(error, RestoreError::Beyond { archived: 240, wanted: 241, .. }), "{error}");
    assert!(matches!(refused(Target::Time(bus_schema::Micros(1))).await, RestoreError::Nothing { .. }));
    assert_eq!(empty.bus.last_seq(Family::Events).await.expect("readable"), 0, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_log_is_filled() {
    let world = World::shared().await;
    let protected = Protected::new(&world, memory());
    let error = restore(&protected.source(), &world.bus, Target::End, |_, _| {}).await.expect_err("not empty");
    assert!(error.to_string().contains("empty data directory"), "{error}");
    let empty = Empty::like(&world).await;
    let error = restore(&protected.source(), &empty.bus, Target::End, |_, _| {}).await.expect_err("no archive");
    assert!(error.to_string().contains("north has no archive"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_fact_twice_hours_apart_is_there_twice() {
    let world = World::shared().await;
    let server = crate::support::Server::own();
    // A log with a short window stands for two facts far apart.
    let bus = Bus::connect(bus_schema::bus::BusOptions { url: server.url(), ..world.options.clone() }).await;
    let bus = bus.expect("connected");
    bus.ensure_streams().await.expect("streams");
    bus.set_duplicate_window(Family::Facts, bus_schema::bus::DuplicateWindow::Filling).await.expect("set");
    let at = format!("fx.{}.{}.analytics.visit.b0", world.cell(), world.tenant);
    let event = bus_schema::CommandId::random().event(0);
    for _ in 0..3 {
        let outgoing = super::message_as(event, &at, None, "the same");
        assert!(!bus.publish(outgoing).await.expect("stored").duplicate);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let protected = Protected::new(&world, memory());
    events(&world, 1).await;
    protected.archive_all().await;
    let mut options = protected.options(Family::Facts);
    (options.bus, options.keys) = (bus.clone(), None);
    let archiver = Archiver::start(options);
    let progress = archiver.progress();
    eventually("they are archived", 10, async || progress.borrow().archived == 3).await;
    archiver.stop().await;
    let empty = Empty::like(&world).await;
    let source = protected.source();
    // The restored point is that of the events, so take a moment after both.
    events(&world, 1).await;
    protected.archive_all_events().await;
    let restored = empty.fill(&source, Target::End).await;
    assert_eq!(restored.facts.expect("facts").last, 3);
    assert_eq!(essence(&stored(&bus, Family::Facts).await), essence(&stored(&empty.bus, Family::Facts).await));
}

/// How fast and how far behind, printed for a look; the bounds are loose because the machine is shared.
#[tokio::test(flavor = "multi_thread")]
async fn lag_and_speed_are_within_reason() {
    let world = World::shared().await;
    let protected = Protected::new(&world, S3Server::north().bucket().await);
    let mut options = protected.options(Family::Events);
    options.rule = CutRule::default();
    let archiver = Archiver::start(options);
    let progress = archiver.progress();
    events(&world, 1).await;
    eventually("it has begun", 20, async || progress.borrow().archived > 0).await;
    let mut lags = Vec::new();
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        events(&world, 20).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        lags.push(progress.borrow().lag_seconds(now()));
    }
    lags.sort_by(f64::total_cmp);
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100];
    println!("lag to one provider: p50 {:.2} s, p99 {:.2} s, worst {:.2} s", at(50), at(99), at(100));
    assert!(at(50) < 1.5 && at(99) < 5.0, "p50 {} p99 {}", at(50), at(99));
    for _ in 0..20 {
        events(&world, 500).await;
    }
    let begun = Instant::now();
    caught_up(&world, &archiver, Family::Events).await;
    let last = world.bus.last_seq(Family::Events).await.expect("readable");
    println!("the last of {last} events were archived {:.2} s after they were stored", begun.elapsed().as_secs_f64());
    archiver.stop().await;
    let empty = Empty::like(&world).await;
    let begun = Instant::now();
    let restored = empty.fill(&protected.source(), Target::End).await;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "restored {} events in {took:.2} s, {:.0} a second",
        restored.events.last,
        restored.events.last as f64 / took
    );
    assert_eq!(restored.events.digest, protected.digest(Family::Events).await);
}
