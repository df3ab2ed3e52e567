//! Copies one stream to one provider: reads the log in order, cuts it into segments, puts each segment and its entry.
//!
//! **Where it goes on.** The newest entry at the provider is the position, exactly: an entry is put only after its segment, and
//! a number has one winner. So there is no durable consumer with explicit acknowledgements. Such a consumer would be a second
//! truth beside the chain, which after a crash between "entry put" and "acknowledged" has to be reconciled with it anyway; its
//! redeliveries come out of order, which a chain cannot use; and what it is for, keeping messages until they are
//! acknowledged, this log does by itself: nothing is ever deleted from it. The archiver checks at its start that the log still is
//! the one it archived (the identity of the last message) and that no position is missing after it.
//!
//! **What is put is decided once.** A cut is saved on disk before its first put, and sent again with the same bytes until the
//! provider has it ([`ship`]). Should the disk be lost, the same cut would still be the same bytes, because a segment's salt
//! follows from its content.
//!
//! **One for each provider**, so that a slow one does not hold the other up. They cut where a second of the server's clock ends, so
//! that two that keep up have the same segments, which are read and made once ([`SharedSegments`]); nothing depends on it: one
//! that is behind cuts elsewhere, and two archives of one log may have other segments and the same messages.
//!
//! **Halted** means: something is so wrong that going on could do harm. The cause is in [`Progress`]; nothing is retried.

mod cut;
mod gather;
mod progress;
mod resume;
mod shared;
mod ship;

pub use progress::{Progress, State};
pub use shared::SharedSegments;

use super::{
    ArchiveKey, BlobCopies, KeyCopies, ObjectStore, Place, ledger::Ledger, manifest::Fault, segment::Unwritable,
};
use crate::worker::{Stop, Worker};
use bus_schema::{bus::Bus, subject::Family};
use cut::CutFile;
use gather::Gatherer;
use progress::Reporter;
use resume::{NotResumed, Resumed, resume};
use ship::{End, Pauses, Shipper};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};

/// When a cut is complete: whatever comes first.
#[derive(Clone, Copy, Debug)]
pub struct CutRule {
    /// Since its first message was read.
    pub interval: Duration,
    /// Before compression.
    pub bytes: usize,
    pub events: usize,
}

impl Default for CutRule {
    /// The interval bounds how far the archive is behind. The sizes bound memory: at full load a cut costs two syncs, two
    /// requests and one look at the keys, so it holds a whole interval.
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), bytes: 8 << 20, events: 20_000 }
    }
}

/// What an archiver needs.
#[derive(Clone)]
pub struct ArchiverOptions {
    pub bus: Bus,
    pub family: Family,
    pub store: ObjectStore,
    pub key: Arc<ArchiveKey>,
    /// Which epoch this platform writes; 1 until the log was restored or taken over once.
    pub epoch: u32,
    /// Where cuts are saved. Belongs to this process alone.
    pub folder: PathBuf,
    pub rule: CutRule,
    /// Copies the wrapped keys to the same provider before the messages that need them. `None` only in tests.
    pub keys: Option<KeyCopies>,
    /// Copies uploaded files to the same provider before the events that name them. `None` only in tests, and for facts, which
    /// name none.
    pub blobs: Option<BlobCopies>,
    pub probe: Probe,
    /// The same for all providers of this log, so that a segment is made once for all of them.
    pub shared: SharedSegments,
}

impl ArchiverOptions {
    /// With the usual rule.
    pub fn new(bus: Bus, family: Family, store: ObjectStore, key: Arc<ArchiveKey>, folder: PathBuf) -> Self {
        Self {
            bus,
            family,
            store,
            key,
            epoch: 1,
            folder,
            rule: CutRule::default(),
            keys: None,
            blobs: None,
            probe: Probe::default(),
            shared: SharedSegments::default(),
        }
    }
}

/// A running archiver. Dropping it asks it to stop.
pub struct Archiver {
    worker: Worker,
    progress: watch::Receiver<Progress>,
}

impl Archiver {
    pub fn start(options: ArchiverOptions) -> Self {
        let place = Place::new(options.bus.cell(), options.family);
        let (reporter, progress) =
            watch::channel(Progress::new(options.store.provider(), place.stream(), options.epoch));
        let worker = Worker::start("archiver", |stop| run(options, place, reporter, stop));
        Self { worker, progress }
    }

    /// How far it is; the receiver may be kept and outlives the archiver.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// False when it ended: halted, or killed by a test.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// Asks it to stop and waits: what it has read is cut and put, if the provider answers in time.
    pub async fn stop(self) {
        self.worker.stop().await;
    }
}

async fn run(options: ArchiverOptions, place: Place, progress: watch::Sender<Progress>, stop: Stop) {
    let cuts = CutFile::new(&options.folder, options.store.provider(), place.stream());
    let ledger = Ledger::new(options.store.clone(), options.key.clone(), place);
    // Known without the provider: a cut is made only after the one before it has arrived.
    if let Ok(Some(cut)) = cuts.load(&ledger.key).await
        && cut.entry.epoch == options.epoch
    {
        progress.send_modify(|progress| progress.knows(cut.entry.first - 1, cut.entry.idx - 1));
    }
    let (mut pauses, mut waiting) = (Pauses::default(), stop.clone());
    let resumed = loop {
        match resume(&ledger, options.epoch, &cuts, &options.bus, options.family).await {
            Ok(resumed) => break Ok(resumed),
            Err(NotResumed::Halt(halt)) => break Err(End::Halted(halt)),
            Err(NotResumed::Again { why, refused }) => {
                tracing::warn!(provider = options.store.provider(), %why, "an archiver cannot begin yet");
                progress.send_modify(|progress| progress.fails(why));
                tokio::select! {
                    () = tokio::time::sleep(pauses.next(refused)) => {}
                    () = waiting.asked() => break Err(End::Stopped),
                }
            }
        }
    };
    let end = match resumed {
        Ok(resumed) => work(&options, ledger.clone(), cuts, progress.clone(), stop, resumed).await,
        Err(end) => end,
    };
    say_end(&ledger, &progress, &end);
}

async fn work(
    options: &ArchiverOptions,
    ledger: Ledger,
    cuts: CutFile,
    progress: Reporter,
    stop: Stop,
    resumed: Resumed,
) -> End {
    let mut shipper = Shipper {
        ledger,
        chain: resumed.chain,
        cuts,
        keys: options.keys.clone(),
        blobs: options.blobs.clone(),
        progress,
        probe: options.probe.clone(),
        stop,
        shared: options.shared.clone(),
    };
    let entries = shipper.chain.next_idx() - 1;
    shipper.progress.send_modify(|progress| progress.arrived(resumed.archived, entries));
    if let Some(cut) = resumed.unfinished
        && let Err(end) = shipper.send(cut).await
    {
        return end;
    }
    let (sender, mut ready) = mpsc::channel(1);
    let next = shipper.chain.next_first();
    let (bus, progress, stop) = (options.bus.clone(), shipper.progress.clone(), shipper.stop.clone());
    let gatherer = Gatherer::new(bus, options.family, options.rule, next, progress, stop);
    let gathering = tokio::spawn(gatherer.run(sender));
    let end = loop {
        match ready.recv().await {
            Some(Ok(messages)) => {
                if let Err(end) = shipper.ship(messages).await {
                    break end;
                }
            }
            Some(Err(halt)) => break End::Halted(halt),
            None => break End::Stopped,
        }
    };
    gathering.abort();
    end
}

fn say_end(ledger: &Ledger, progress: &Reporter, end: &End) {
    match end {
        End::Killed => {}
        End::Stopped => progress.send_modify(|progress| progress.state = State::Stopped),
        End::Halted(halt) => {
            let (provider, stream) = (ledger.store.provider(), ledger.place.stream());
            tracing::error!(provider, stream, %halt, "an archiver halts: this log is not protected there any more");
            let cause = halt.to_string();
            progress.send_modify(|progress| {
                progress.gaps += u64::from(matches!(halt, Halt::Gap { .. }));
                progress.damages += u64::from(matches!(halt, Halt::Damaged(_) | Halt::LostEntries { .. }));
                progress.error = Some(cause.clone());
                progress.state = State::Halted(cause);
            });
        }
    }
}

/// Why an archiver goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    #[error(
        "the log has position {found} where {expected} should come: messages are missing. Do not delete anything; the \
         archives hold what was archived before"
    )]
    Gap { expected: u64, found: u64 },
    #[error(
        "the log ends at {last} and the archive at {archived}: this log was made anew or restored to an earlier point. \
         Begin a new epoch, or restore from the archive"
    )]
    LogBehind { archived: u64, last: u64 },
    #[error(
        "position {position} of the log is another message than the archived one: this is another log. Begin a new epoch, or \
         use another bucket"
    )]
    OtherLog { position: u64 },
    #[error("{object} was written by somebody else: another platform writes this archive. One of the two must stop")]
    Fenced { object: String },
    #[error("the archive is in epoch {found} and this platform in {ours}: another platform has taken over")]
    NewerEpoch { ours: u32, found: u32 },
    #[error("epoch {epoch} was never begun at this provider; begin it with the cut of the restored log")]
    NoEpoch { epoch: u32 },
    #[error("{object} should be there and is not: the provider lost entries")]
    LostEntries { object: String },
    #[error("the archive is damaged: {0}")]
    Damaged(Fault),
    #[error(
        "the saved cut {path} cannot be used ({why}). It may have been tried; remove it only after `millrace protection \
         verify` finds the archive whole"
    )]
    CutFile { path: String, why: String },
    #[error("messages could not be written as a segment: {0}")]
    Unwritable(Unwritable),
}

/// Where a crash is interesting. Tests end an archiver at each of them and look whether anything is lost or doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KillPoint {
    /// A cut was read.
    Gathered,
    /// The keys it needs are at the provider.
    KeysCovered,
    /// The files it names are at the provider.
    BlobsCovered,
    /// It is on disk.
    Saved,
    /// A put of the segment ended without an answer.
    SegmentUnknown,
    /// The segment is at the provider.
    SegmentPut,
    /// A put of the entry ended without an answer.
    EntryUnknown,
    /// The entry is at the provider.
    EntryPut,
}

impl KillPoint {
    pub const ALL: [Self; 8] = [
        Self::Gathered,
        Self::KeysCovered,
        Self::BlobsCovered,
        Self::Saved,
        Self::SegmentUnknown,
        Self::SegmentPut,
        Self::EntryUnknown,
        Self::EntryPut,
    ];
}

/// Asked at each [`KillPoint`]; `true` ends the archiver there, as a crash would. In use there is none.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<dyn Fn(KillPoint) -> bool + Send + Sync>>);

impl Probe {
    pub fn new(kills: impl Fn(KillPoint) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(kills)))
    }

    fn kills(&self, point: KillPoint) -> bool {
        self.0.as_ref().is_some_and(|kills| kills(point))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Probe(set)" } else { "Probe(none)" })
    }
}
