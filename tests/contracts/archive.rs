//! The archive over a real log and real S3 servers.

mod answers;
mod archiver;
mod blobs;
mod damage;
mod epochs;
mod gaps;
mod kills;
mod proxied;
mod restore;
mod store;
mod watch;

use super::bus::{fill, message_as, subject};
use crate::support::{Server, World, eventually};
use bus_schema::{
    Address, CommandId, Subject,
    bus::{Bus, BusOptions, Outgoing},
    subject::Family,
    time::Clock,
};
use std::{sync::Arc, time::Duration};
use workers::archive::{
    Archiver, ArchiverOptions, Hash, KeyCopies, Ledger, ObjectStore, Place, Progress,
    archiver::CutRule,
    key::ArchiveKey,
    publish::log_digest,
    restore::{Restored, Source, Target, restore},
};

/// A cell with its archive at one provider.
struct Protected<'a> {
    world: &'a World,
    store: ObjectStore,
    key: Arc<ArchiveKey>,
    folder: tempfile::TempDir,
    epoch: u32,
}

impl<'a> Protected<'a> {
    fn new(world: &'a World, store: ObjectStore) -> Self {
        let key = Arc::new(ArchiveKey::from_secret(&[9; 32]));
        let store = store.with_patience(Duration::from_secs(1));
        Self { world, store, key, folder: tempfile::tempdir().expect("a temporary folder"), epoch: 1 }
    }

    /// Small and quick cuts.
    fn options(&self, family: Family) -> ArchiverOptions {
        let (bus, key, folder) = (self.world.bus.clone(), self.key.clone(), self.folder.path().to_owned());
        let mut options = ArchiverOptions::new(bus, family, self.store.clone(), key, folder);
        options.keys = Some(self.keys());
        options.epoch = self.epoch;
        options.rule = CutRule { interval: Duration::from_millis(100), bytes: 64 << 10, events: 50 };
        options
    }

    fn keys(&self) -> KeyCopies {
        KeyCopies::new(self.world.bus.clone(), self.store.clone(), self.key.clone(), self.epoch)
    }

    fn start(&self, family: Family) -> Archiver {
        Archiver::start(self.options(family))
    }

    fn ledger(&self, family: Family) -> Ledger {
        Ledger::new(self.store.clone(), self.key.clone(), Place::new(self.world.cell(), family))
    }

    /// Archives both streams up to what the log holds now.
    async fn archive_all(&self) {
        for family in [Family::Events, Family::Facts] {
            let archiver = self.start(family);
            caught_up(self.world, &archiver, family).await;
            archiver.stop().await;
        }
    }

    /// In cuts of 50, whatever the time.
    async fn archive_all_events(&self) {
        let mut options = self.options(Family::Events);
        options.rule.interval = Duration::from_secs(3_600);
        let archiver = Archiver::start(options);
        let last = self.world.bus.last_seq(Family::Events).await.expect("readable");
        let progress = archiver.progress();
        eventually("everything is read", 30, async || {
            let now = progress.borrow().clone();
            assert!(!now.is_halted(), "{:?}", now.state);
            now.seen >= last && now.archived + 50 > last
        })
        .await;
        archiver.stop().await;
        assert!(progress.borrow().archived >= last, "{:?}", progress.borrow());
    }

    fn source(&self) -> Source {
        Source { store: self.store.clone(), key: self.key.clone() }
    }

    async fn digest(&self, family: Family) -> Hash {
        let last = self.world.bus.last_seq(family).await.expect("readable");
        log_digest(&self.world.bus, family, last).await.expect("readable")
    }
}

async fn caught_up(world: &World, archiver: &Archiver, family: Family) {
    let last = world.bus.last_seq(family).await.expect("readable");
    let progress = archiver.progress();
    eventually("the archiver catches up", 30, async || {
        let now = progress.borrow().clone();
        assert!(!now.is_halted(), "{:?}", now.state);
        now.archived >= last
    })
    .await;
}

/// Waits until an archiver has halted; the cause.
async fn halted(archiver: &Archiver) -> String {
    let progress = archiver.progress();
    eventually("the archiver halts", 20, async || progress.borrow().is_halted()).await;
    let cause: Progress = progress.borrow().clone();
    cause.error.expect("a cause")
}

/// An empty cell of the same name on another server.
struct Empty {
    bus: Bus,
    _server: Server,
}

impl Empty {
    async fn like(world: &World) -> Self {
        let server = Server::own();
        let options = BusOptions { url: server.url(), ..world.options.clone() };
        let bus = Bus::connect(options).await.expect("the server answers");
        bus.ensure_streams().await.expect("streams");
        Self { bus, _server: server }
    }

    async fn fill(&self, source: &Source, target: Target) -> Restored {
        restore(source, &self.bus, target, |_, _| {}).await.unwrap_or_else(|error| panic!("restored: {error}"))
    }
}

/// A fact on one of a few subjects.
async fn fact(world: &World, index: usize) {
    let bucket = Address::new("analytics", "visit", format!("b{}", index % 4));
    let at = Subject::fact(world.cell(), &world.tenant, bucket).to_string();
    let outgoing = Outgoing { subject: at.clone(), ..message_as(CommandId::random().event(0), &at, None, "fact") };
    world.bus.publish(outgoing).await.expect("stored");
}

fn now() -> bus_schema::Micros {
    Clock::System.now()
}

/// Some hundred events, few of them on their own.
async fn events(world: &World, count: usize) {
    fill(world, &subject(world, "archive"), count, "owner of a claim").await;
}
