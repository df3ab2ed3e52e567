//! An archiver that dies at every named point, and at all of them in turn, loses and doubles nothing.

use super::{Empty, Protected, caught_up, events};
use crate::support::{World, eventually, skip_slow};
use bus_schema::subject::Family;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use workers::archive::{
    Archiver, ObjectStore,
    archiver::{KillPoint, Probe},
    backend::memory::MemoryObjects,
    faults::{Calls, Fault, Faults},
    restore::Target,
    verify::{Depth, VerifyOptions, verify},
};

/// Kills the `nth` time this point is reached.
fn probe(point: KillPoint, nth: u32) -> Probe {
    let reached = Arc::new(AtomicU32::new(0));
    Probe::new(move |at| at == point && reached.fetch_add(1, Ordering::SeqCst) + 1 == nth)
}

/// Runs an archiver until it dies at the point.
async fn die(protected: &Protected<'_>, faults: &Faults, point: KillPoint, nth: u32) {
    if matches!(point, KillPoint::SegmentUnknown | KillPoint::EntryUnknown) {
        // Half of the lost answers are to writes that were applied.
        faults.next(
            Calls::Writes,
            (0..40).map(|index| [Fault::None, Fault::ApplyAndDrop, Fault::Unavailable][index % 3]),
        );
    }
    let mut options = protected.options(Family::Events);
    options.probe = probe(point, nth);
    let archiver = Archiver::start(options);
    eventually(&format!("it dies at {point:?}"), 40, async || !archiver.is_running()).await;
    assert!(!archiver.progress().borrow().is_halted(), "{point:?}: {:?}", archiver.progress().borrow().state);
    faults.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_point_loses_and_doubles_nothing() {
    for point in KillPoint::ALL {
        let world = World::shared().await;
        let (sound, faults) = (ObjectStore::memory(MemoryObjects::new("north")), Faults::default());
        let protected = Protected::new(&world, sound.with_faults(faults.clone()));
        world.create("one@example.org").await;
        events(&world, 160).await;
        for nth in [1, 2] {
            die(&protected, &faults, point, nth).await;
            events(&world, 60).await;
        }
        let archiver = protected.start(Family::Events);
        caught_up(&world, &archiver, Family::Events).await;
        archiver.stop().await;
        let options = VerifyOptions { depth: Depth::Bytes, at_least: 0 };
        let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
        assert!(report.is_whole(), "{point:?}: {report:?}");
        assert_eq!(report.unreferenced, 0, "{point:?}: nothing was cut again under another name");
        let target = Empty::like(&world).await;
        let restored = target.fill(&protected.source(), Target::End).await;
        assert_eq!(restored.events.digest, protected.digest(Family::Events).await, "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_costs_at_most_an_unreferenced_segment() {
    for point in [KillPoint::Saved, KillPoint::SegmentPut, KillPoint::EntryPut] {
        let world = World::shared().await;
        let store = ObjectStore::memory(MemoryObjects::new("north"));
        let protected = Protected::new(&world, store.clone());
        events(&world, 30).await;
        die(&protected, &Faults::default(), point, 1).await;
        // Other cuts than before: more is there, and it is cut at 50 instead of 30.
        events(&world, 100).await;
        let protected = Protected::new(&world, store);
        protected.archive_all_events().await;
        let options = VerifyOptions { depth: Depth::Bytes, at_least: 130 };
        let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
        assert!(report.is_whole(), "{point:?}: {report:?}");
        assert_eq!(report.unreferenced, u64::from(point == KillPoint::SegmentPut), "{point:?}");
    }
}

/// Dies again and again while the log grows and the provider answers badly.
#[tokio::test(flavor = "multi_thread")]
async fn many_deaths_in_a_row() {
    if skip_slow() {
        return;
    }
    let world = World::shared().await;
    let (sound, faults) = (ObjectStore::memory(MemoryObjects::new("north")), Faults::default());
    let protected = Protected::new(&world, sound.with_faults(faults.clone()));
    let mut seed = 7_u64;
    for _ in 0..25 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let point = KillPoint::ALL[(seed >> 33) as usize % KillPoint::ALL.len()];
        events(&world, 20 + (seed >> 40) as usize % 120).await;
        die(&protected, &faults, point, 1).await;
    }
    let archiver = protected.start(Family::Events);
    caught_up(&world, &archiver, Family::Events).await;
    archiver.stop().await;
    let options = VerifyOptions { depth: Depth::Bytes, at_least: 0 };
    let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
    let last = world.bus.last_seq(Family::Events).await.expect("readable");
    assert!(report.is_whole() && report.archived == last && report.unreferenced == 0, "{report:?}");
    let target = Empty::like(&world).await;
    let restored = target.fill(&protected.source(), Target::End).await;
    assert_eq!(restored.events.digest, protected.digest(Family::Events).await);
}
