//! The watcher believes what the provider shows, not what the archiver says.

use super::{Protected, caught_up, events, now};
use crate::support::{World, eventually};
use bus_schema::subject::Family;
use std::time::Duration;
use tokio::sync::watch;
use workers::{
    Worker,
    archive::{
        Archiver, ObjectStore, Progress,
        backend::memory::MemoryObjects,
        faults::{Calls, Fault, Faults},
        watch::{Seen, Watcher},
    },
};

fn watching(protected: &Protected<'_>, progress: watch::Receiver<Progress>) -> (Worker, watch::Receiver<Seen>) {
    let (bus, ledger) = (protected.world.bus.clone(), protected.ledger(Family::Events));
    let every = Duration::from_millis(50);
    Watcher { bus, family: Family::Events, ledger, epoch: 1, progress, every }.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_is_confirmed_and_what_went_away_is_an_alarm() {
    let world = World::shared().await;
    let objects = MemoryObjects::new("north");
    let protected = Protected::new(&world, ObjectStore::memory(objects.clone()));
    let archiver: Archiver = protected.start(Family::Events);
    let (_watcher, seen) = watching(&protected, archiver.progress());
    events(&world, 120).await;
    caught_up(&world, &archiver, Family::Events).await;
    eventually("it is read back", 10, async || seen.borrow().confirmed == Some(120)).await;
    let sound = seen.borrow().clone();
    assert_eq!((sound.chain_errors, sound.gaps, sound.oldest, sound.last), (0, 0, None, 120), "{sound:?}");
    assert!(sound.since.is_some_and(|since| since <= now()));
    // The archiver does not notice: it never looks back.
    let ledger = protected.ledger(Family::Events);
    let newest = ledger.newest(1).await.expect("readable").expect("an entry").0;
    let object = ledger.place.entry(1, newest.idx);
    objects.tamper(&object, |_| None);
    let (_second, seen) = watching(&protected, archiver.progress());
    eventually("the loss is seen", 10, async || seen.borrow().chain_errors == 1).await;
    let found = seen.borrow().clone();
    assert!(
        found.fault.as_ref().is_some_and(|fault| fault.contains(&object) && fault.contains("missing")),
        "{found:?}"
    );
    assert_eq!(found.confirmed, Some(newest.first - 1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(seen.borrow().chain_errors, 1, "one loss is one error");
    archiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_provider_shows_as_a_lag_that_grows() {
    let world = World::shared().await;
    let (sound, faults) = (ObjectStore::memory(MemoryObjects::new("north")), Faults::default());
    let protected = Protected::new(&world, sound.with_faults(faults.clone()));
    let archiver = protected.start(Family::Events);
    let progress = archiver.progress();
    let (_watcher, seen) = watching(&protected, archiver.progress());
    events(&world, 10).await;
    caught_up(&world, &archiver, Family::Events).await;
    for calls in [Calls::Writes, Calls::Reads] {
        faults.always(calls, Some(Fault::Hang));
    }
    events(&world, 10).await;
    let lag = || seen.borrow().lag_seconds(progress.borrow().archived, now());
    eventually("the lag is seen", 20, async || lag() > 1.0).await;
    assert_eq!(seen.borrow().oldest.map(|(position, _)| position), Some(11));
    faults.clear();
    eventually("and is gone", 30, async || seen.borrow().confirmed == Some(20) && lag() == 0.0).await;
    assert_eq!(seen.borrow().chain_errors, 0, "being away is no damage");
    archiver.stop().await;
}
