//! The archiver over a real log: every answer a provider may give, the fences.

use super::{Empty, Protected, caught_up, events, halted, now};
use crate::support::{S3Server, Server, World, eventually};
use bus_schema::{bus::Bus, bus::BusOptions, subject::Family};
use futures::future::join;
use std::time::Duration;
use workers::archive::{
    Archiver, ObjectStore, ObjectStorePort,
    archiver::State,
    backend::memory::MemoryObjects,
    faults::{Calls, Fault, Faults},
    restore::Target,
    verify::{Depth, VerifyOptions, verify},
};

fn memory(name: &str) -> ObjectStore {
    ObjectStore::memory(MemoryObjects::new(name))
}

const WHOLE: VerifyOptions = VerifyOptions { depth: Depth::Bytes, at_least: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_hold_the_same_log() {
    let world = World::shared().await;
    let (north, south) = join(S3Server::north().bucket(), S3Server::south().bucket()).await;
    let (north, south) = (Protected::new(&world, north), Protected::new(&world, south));
    let archivers = (north.start(Family::Events), south.start(Family::Events));
    for round in 0..5 {
        events(&world, 120).await;
        world.create(&format!("someone{round}@example.org")).await;
    }
    caught_up(&world, &archivers.0, Family::Events).await;
    caught_up(&world, &archivers.1, Family::Events).await;
    let progress = archivers.0.progress().borrow().clone();
    assert_eq!((progress.lag_events(), progress.lag_seconds(now())), (0, 0.0));
    assert_eq!((progress.state.clone(), progress.provider.as_str()), (State::Running, "north"));
    // With small cuts: several entries, no empty ones.
    assert!(progress.entries >= 12, "{} entries", progress.entries);
    let wanted = north.digest(Family::Events).await;
    for protected in [&north, &south] {
        let target = Empty::like(&world).await;
        let restored = target.fill(&protected.source(), Target::End).await;
        assert_eq!(restored.events.digest, wanted);
        let report = verify(&protected.ledger(Family::Events), WHOLE).await.expect("verified");
        assert!(report.is_whole() && report.unreferenced == 0 && report.delayed == 0, "{report:?}");
        assert_eq!((report.archived, report.found), (restored.events.last, report.read));
    }
    archivers.0.stop().await;
    archivers.1.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_exactly_where_it_was() {
    let world = World::shared().await;
    let protected = Protected::new(&world, memory("north"));
    for _ in 0..4 {
        events(&world, 70).await;
        protected.archive_all().await;
    }
    let report = verify(&protected.ledger(Family::Events), WHOLE).await.expect("verified");
    assert!(report.is_whole() && report.archived == 280 && report.unreferenced == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unclear_answer_ends_in_one_whole_chain() {
    for fault in [Fault::Unavailable, Fault::Conflict, Fault::ApplyAndDrop, Fault::Hang, Fault::Refuse] {
        let world = World::shared().await;
        let (sound, faults) = (memory("north"), Faults::default());
        let protected = Protected::new(&world, sound.with_faults(faults.clone()));
        events(&world, 60).await;
        // The start of the epoch, the keys, segments and entries: each meets it.
        faults.next(Calls::Writes, [fault, Fault::None, fault, fault, Fault::None, fault, Fault::None, fault]);
        let archiver = protected.start(Family::Events);
        let progress = archiver.progress();
        eventually("the failure shows", 20, async || progress.borrow().error.is_some()).await;
        assert!(!progress.borrow().is_halted());
        if fault == Fault::Refuse {
            let error = progress.borrow().error.clone().expect("an error");
            assert!(error.contains("north") && error.contains("403"), "{error}");
        }
        events(&world, 60).await;
        let wanted = world.bus.last_seq(Family::Events).await.expect("readable");
        eventually(&format!("it comes through {fault:?}"), 60, async || progress.borrow().archived >= wanted).await;
        assert_eq!(progress.borrow().error, None, "what works again is no error any more");
        archiver.stop().await;
        let ledger = Protected { store: sound, ..protected }.ledger(Family::Events);
        let report = verify(&ledger, WHOLE).await.expect("verified");
        assert!(report.is_whole() && report.unreferenced == 0 && report.archived == wanted, "{fault:?}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_shows_as_lag_and_is_caught_up() {
    let world = World::shared().await;
    let faults = Faults::default();
    let protected = Protected::new(&world, memory("north").with_faults(faults.clone()));
    let other = Protected::new(&world, memory("south"));
    let (archiver, healthy) = (protected.start(Family::Events), other.start(Family::Events));
    events(&world, 10).await;
    caught_up(&world, &archiver, Family::Events).await;
    faults.always(Calls::Writes, Some(Fault::Hang));
    for _ in 0..4 {
        events(&world, 100).await;
    }
    caught_up(&world, &healthy, Family::Events).await;
    let progress = archiver.progress();
    eventually("the lag shows", 15, async || {
        let now_progress = progress.borrow().clone();
        now_progress.lag_seconds(now()) > 2.0 && now_progress.lag_events() == 400
    })
    .await;
    assert_eq!(progress.borrow().state, State::Retrying);
    faults.always(Calls::Writes, None);
    caught_up(&world, &archiver, Family::Events).await;
    assert_eq!(progress.borrow().lag_seconds(now()), 0.0);
    archiver.stop().await;
    healthy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_entry_or_segment_halts_it() {
    for what in ["entry", "segment"] {
        let world = World::shared().await;
        let protected = Protected::new(&world, memory("north"));
        events(&world, 10).await;
        protected.archive_all_events().await;
        let place = protected.ledger(Family::Events).place;
        let object = if what == "entry" { place.entry(1, 2) } else { place.segment(1, 11, 11) };
        protected.store.put_new(&object, "theirs".into()).await.expect("put");
        world.create("one@example.org").await;
        let archiver = protected.start(Family::Events);
        let cause = halted(&archiver).await;
        assert!(cause.contains(&object), "{what}: {cause}");
        eventually("it has ended", 5, async || !archiver.is_running()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_not_archived_over_this_one() {
    let world = World::shared().await;
    let protected = Protected::new(&world, memory("north"));
    events(&world, 30).await;
    protected.archive_all().await;
    let server = Server::own();
    let elsewhere = Bus::connect(BusOptions { url: server.url(), ..world.options.clone() }).await.expect("connected");
    elsewhere.ensure_streams().await.expect("streams");
    let start = || {
        let mut options = protected.options(Family::Events);
        (options.bus, options.keys) = (elsewhere.clone(), None);
        Archiver::start(options)
    };
    let cause = halted(&start()).await;
    assert!(cause.contains("ends at 0 and the archive at 30"), "{cause}");
    for _ in 0..31 {
        let subject = super::subject(&world, "foreign");
        elsewhere.publish(super::super::bus::message(&subject, Some(0))).await.expect("stored");
    }
    let cause = halted(&start()).await;
    assert!(cause.contains("position 30") && cause.contains("another log"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_put_before_it_stops() {
    let world = World::shared().await;
    let protected = Protected::new(&world, memory("north"));
    let mut options = protected.options(Family::Events);
    options.rule.interval = Duration::from_secs(30);
    let archiver = Archiver::start(options);
    events(&world, 20).await;
    let progress = archiver.progress();
    eventually("they are read", 10, async || progress.borrow().seen == 20).await;
    assert_eq!(progress.borrow().archived, 0, "the cut is still open");
    archiver.stop().await;
    let report = verify(&protected.ledger(Family::Events), WHOLE).await.expect("verified");
    assert_eq!(report.archived, 20);
    assert_eq!(progress.borrow().state, State::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_the_death_of_the_log() {
    if crate::support::skip_slow() {
        return;
    }
    let server = Server::own();
    let world = World::on(&server).await;
    let protected = Protected::new(&world, memory("north"));
    let archiver = protected.start(Family::Events);
    for _ in 0..2 {
        events(&world, 130).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.start();
        eventually("the client is back", 10, async || world.bus.is_connected()).await;
        events(&world, 70).await;
        caught_up(&world, &archiver, Family::Events).await;
    }
    archiver.stop().await;
    let report = verify(&protected.ledger(Family::Events), WHOLE).await.expect("verified");
    assert!(report.is_whole() && report.archived == 400, "{report:?}");
}
