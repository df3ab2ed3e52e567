//! One provider: its archivers, its copies of keys and those who watch them.

use super::epochs::EpochBook;
use bus_schema::{bus::Bus, subject::Family};
use futures::future::join_all;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use workers::{
    Stop, Worker,
    archive::{
        ArchiveKey, Archiver, ArchiverOptions, BlobCopies, KeyCopies, Ledger, Newest, ObjectStore, Place, Progress,
        SharedSegments,
        archiver::{Probe, State},
        watch::{EVERY, Seen, Watcher},
    },
    blob::BlobStore,
};

const FAMILIES: [Family; 2] = [Family::Events, Family::Facts];
/// Between attempts to begin an epoch.
const PAUSE: Duration = Duration::from_secs(3);
/// How long a stop waits for what is in the log to arrive; the rest goes there after the next start.
const FLUSH: Duration = Duration::from_secs(5);

/// What an archived provider needs.
#[derive(Clone)]
pub(super) struct ProviderParts {
    pub(super) bus: Bus,
    pub(super) store: ObjectStore,
    pub(super) key: Arc<ArchiveKey>,
    /// The files that events name.
    pub(super) blobs: BlobStore,
    /// Where cuts are saved.
    pub(super) folder: PathBuf,
    pub(super) book: Arc<EpochBook>,
    /// What all providers read of the key stream together.
    pub(super) newest: Newest,
    /// The segments they make together.
    pub(super) segments: SharedSegments,
    pub(super) probe: Probe,
}

/// What others may look at.
pub(super) struct Shared {
    pub(super) name: String,
    /// Why it has not begun.
    trouble: Mutex<Option<String>>,
    streams: OnceLock<Vec<StreamView>>,
}

/// The two views of one stream: the archiver's own and the watcher's.
pub(super) struct StreamView {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) seen: watch::Receiver<Seen>,
}

impl Shared {
    /// Empty until it has begun.
    pub(super) fn streams(&self) -> &[StreamView] {
        self.streams.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A provider that is archived to. Dropping it asks it to stop.
pub(super) struct ProviderRun {
    pub(super) shared: Arc<Shared>,
    worker: Worker,
}

impl ProviderRun {
    pub(super) fn start(parts: ProviderParts) -> Self {
        let name = parts.store.provider().to_owned();
        let shared = Arc::new(Shared { name, trouble: Mutex::default(), streams: OnceLock::new() });
        let mine = shared.clone();
        let worker = Worker::start("provider", |stop| async move { run(parts, &mine, stop).await });
        Self { shared, worker }
    }

    /// Lets what is in the log arrive, within a bounded time, and stops.
    pub(super) async fn stop(self) {
        self.worker.stop().await;
    }
}

async fn run(parts: ProviderParts, shared: &Shared, mut stop: Stop) {
    let Some(epoch) = begin(&parts, shared, &mut stop).await else { return };
    let (bus, store, key, newest) = (parts.bus.clone(), parts.store.clone(), parts.key.clone(), parts.newest.clone());
    let keys = KeyCopies::sharing(bus, store, key, epoch, newest);
    let mut helpers = vec![keys.start_sweeper()];
    let (mut archivers, mut views) = (Vec::new(), Vec::new());
    for family in FAMILIES {
        let archiver = Archiver::start(options(&parts, family, epoch, &keys));
        let progress = archiver.progress();
        let (bus, ledger) = (parts.bus.clone(), ledger(&parts, family));
        let watcher = Watcher { bus, family, ledger, epoch, progress: progress.clone(), every: EVERY };
        let (watching, seen) = watcher.start();
        archivers.push((family, archiver));
        helpers.push(watching);
        views.push(StreamView { progress, seen });
    }
    _ = shared.streams.set(views);
    stop.asked().await;
    join_all(archivers.iter().map(|(family, archiver)| flush(&parts.bus, *family, archiver))).await;
    join_all(archivers.into_iter().map(|(_, archiver)| archiver.stop())).await;
    join_all(helpers.into_iter().map(Worker::stop)).await;
}

/// How a stream is archived. What else has to be at the provider before a message counts as archived, its keys and the files
/// it names, is brought in front of its entry by what is set here.
fn options(parts: &ProviderParts, family: Family, epoch: u32, keys: &KeyCopies) -> ArchiverOptions {
    let (bus, store, key) = (parts.bus.clone(), parts.store.clone(), parts.key.clone());
    let blobs = BlobCopies::new(bus.clone(), parts.blobs.clone(), store.clone(), key.clone());
    let mut options = ArchiverOptions::new(bus, family, store, key, parts.folder.clone());
    options.epoch = epoch;
    options.keys = Some(keys.clone());
    options.blobs = Some(blobs);
    options.probe = parts.probe.clone();
    options.shared = parts.segments.clone();
    options
}

fn ledger(parts: &ProviderParts, family: Family) -> Ledger {
    Ledger::new(parts.store.clone(), parts.key.clone(), Place::new(parts.bus.cell(), family))
}

/// The epoch to write; `None` when asked to stop before it could be found out.
async fn begin(parts: &ProviderParts, shared: &Shared, stop: &mut Stop) -> Option<u32> {
    let ledgers: Vec<_> = FAMILIES.into_iter().map(|family| (family, ledger(parts, family))).collect();
    loop {
        match parts.book.begin(&ledgers).await {
            Ok(epoch) => {
                *shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Some(epoch);
            }
            Err(error) => {
                tracing::warn!(provider = shared.name, %error, "an archive cannot be begun yet");
                *shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.asked() => return None,
        }
    }
}

/// Waits until everything that is in the log now has arrived; not for a provider that does not take it.
async fn flush(bus: &Bus, family: Family, archiver: &Archiver) {
    let Ok(last) = bus.last_seq(family).await else { return };
    let mut progress = archiver.progress();
    let arrived = progress.wait_for(|now| now.archived >= last || now.state != State::Running);
    if tokio::time::timeout(FLUSH, arrived).await.is_err() {
        tracing::warn!(stream = family.stream(bus.cell()), "not everything was archived before the stop");
    }
}
