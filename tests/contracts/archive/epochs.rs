//! After a restore the new log goes on in the same archive.

use super::{Empty, Protected, events};
use crate::support::{World, eventually};
use bus_schema::{keys::KeyDirectory, subject::Family, time::Clock};
use workers::archive::{
    Archiver, KeyCopies, ObjectStore,
    archiver::ArchiverOptions,
    backend::memory::MemoryObjects,
    epochs::begin_epoch,
    publish::log_digest,
    restore::{Source, Target},
    verify::{Depth, VerifyOptions, verify},
};
use writers::{
    EventStore, Writer,
    backend::nats::{GroupOptions, NatsStore},
};

/// Archives the events of a restored cell in a further epoch.
async fn archive(protected: &Protected<'_>, target: &Empty, epoch: u32) -> Archiver {
    let options = protected.options(Family::Events);
    let keys = KeyCopies::new(target.bus.clone(), protected.store.clone(), protected.key.clone(), epoch);
    let options = ArchiverOptions { bus: target.bus.clone(), epoch, keys: Some(keys.clone()), ..options };
    let archiver = Archiver::start(options);
    let last = target.bus.last_seq(Family::Events).await.expect("readable");
    let progress = archiver.progress();
    eventually("the restored log is archived", 20, async || {
        assert!(!progress.borrow().is_halted(), "{:?}", progress.borrow().state);
        progress.borrow().archived >= last
    })
    .await;
    keys.sweep().await.expect("swept");
    archiver
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_goes_on_in_a_new_epoch() {
    let world = World::shared().await;
    let (north, south) = (MemoryObjects::new("north"), MemoryObjects::new("south"));
    let north = Protected::new(&world, ObjectStore::memory(north));
    let south = Protected::new(&world, ObjectStore::memory(south));
    let (kept, _) = world.create("kept@example.org").await;
    let (gone, _) = world.create("gone@example.org").await;
    events(&world, 90).await;
    // The south has less, and its cuts are elsewhere.
    south.archive_all_events().await;
    let of_south = world.bus.last_seq(Family::Events).await.expect("readable");
    events(&world, 120).await;
    let cut = world.bus.last_seq(Family::Events).await.expect("readable") - 35;
    events(&world, 60).await;
    world.erase(gone).await;
    north.archive_all_events().await;

    let second = Empty::like(&world).await;
    let restored = second.fill(&north.source(), Target::Position(cut)).await;
    assert_eq!(restored.epoch, 1);
    for (protected, taken) in [(&north, cut), (&south, of_south)] {
        let ledger = protected.ledger(Family::Events);
        let start = begin_epoch(&ledger, 2, cut).await.expect("begun");
        assert_eq!(start.cut, taken);
        assert_eq!(begin_epoch(&ledger, 2, cut).await.expect("begun already"), start);
    }
    // The platform before it finds itself replaced.
    let cause = super::halted(&north.start(Family::Events)).await;
    assert!(cause.contains("in epoch 2 and this platform in 1"), "{cause}");

    // New events in the restored cell, in other words than those that were given up.
    let keys: KeyDirectory = world.keys_on(&second.bus);
    let store = EventStore::Nats(NatsStore::new(second.bus.clone(), GroupOptions::default()));
    let writer = Writer::new(world.cell().clone(), store, keys, Clock::System);
    let meta = writers::Meta::system("test", bus_schema::CommandId::random());
    let tag = writers::crm::contact::ContactCommand::Tag { tag: "restored".into() };
    writer.execute::<writers::crm::contact::Contact>(&world.tenant, kept, &meta, &tag).await.expect("accepted");
    for protected in [&north, &south] {
        archive(protected, &second, 2).await.stop().await;
    }
    let last = second.bus.last_seq(Family::Events).await.expect("readable");
    assert_eq!(last, cut + 1);
    let wanted = log_digest(&second.bus, Family::Events, last).await.expect("readable");
    for protected in [&north, &south] {
        let options = VerifyOptions { depth: Depth::Bytes, at_least: last };
        let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
        assert!(report.is_whole() && report.archived == last, "{report:?}");
        let third = Empty::like(&world).await;
        let source: Source = protected.source();
        let restored = third.fill(&source, Target::End).await;
        assert_eq!((restored.events.digest, restored.epoch), (wanted, 2));
    }
    // A third epoch from the middle of the first: the second is given up too.
    let third = Empty::like(&world).await;
    let restored = third.fill(&north.source(), Target::Position(50)).await;
    assert_eq!((restored.events.last, restored.epoch), (50, 2));
    let start = begin_epoch(&north.ledger(Family::Events), 3, 50).await.expect("begun");
    assert_eq!(start.parent.as_ref().map(|parent| parent.epoch), Some(1));
    archive(&north, &third, 3).await.stop().await;
    let fourth = Empty::like(&world).await;
    let again = fourth.fill(&north.source(), Target::End).await;
    assert_eq!((again.events.digest, again.events.last), (restored.events.digest, 50));
    // The erasure was in a part of the log that does not count any more, and counts.
    assert_eq!(erased(&world, &fourth, gone).await, (true, false));
    assert_eq!(erased(&world, &fourth, kept).await, (false, false));
}

/// Whether a contact's key is gone, and whether its creation is.
async fn erased(world: &World, target: &Empty, id: uuid::Uuid) -> (bool, bool) {
    let subject = format!("ev.{}.{}.crm.contact.{id}", world.cell(), world.tenant);
    let events = target.bus.read_subject(Family::Events, &subject, 0).await.expect("readable");
    let key = events.first().and_then(|event| event.envelope.key).expect("sealed with a key");
    let ring = world.keys_on(&target.bus).load(&world.tenant, &[key]).await.expect("readable");
    (ring.get(key).is_none(), events.is_empty())
}
