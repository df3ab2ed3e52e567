//! Starting and stopping the copies with the platform.

use super::{
    args::Named,
    desk::Desk,
    epochs::{EpochBook, EpochBookError},
    provider::{ProviderParts, ProviderRun},
};
use crate::background::{Background, Entry};
use api::protection::ProtectionDesk;
use bus_schema::{Cell, bus::Bus, subject::Family};
use futures::future::{join_all, try_join_all};
use std::{path::PathBuf, sync::Arc, time::Duration};
use workers::{
    archive::{
        ArchiveError, ArchiveKey, Ledger, Newest, ObjectError, Place, SharedSegments,
        archiver::Probe,
        key::ArchiveKeyError,
        manifest::{EntryDamage, Fault, Wrong},
    },
    blob::BlobStore,
};

/// How long the start waits for a provider's first answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct ProtectionParts {
    pub bus: Bus,
    pub providers: Vec<Named>,
    /// The files that events name.
    pub blobs: BlobStore,
    /// Where the archive key is, or will be made.
    pub key: PathBuf,
    /// The archivers' folder in the data directory.
    pub folder: PathBuf,
}

/// The running copies.
pub struct Protection {
    bus: Bus,
    runs: Vec<ProviderRun>,
    made_key: bool,
}

impl Protection {
    /// Asks every provider once. One that refuses us, has no such bucket or holds an archive of somebody else ends the start:
    /// it would be found out when it is needed. One that does not answer may come back, and the log has to be written
    /// meanwhile, so that is a warning.
    pub async fn start(parts: ProtectionParts, background: &Background) -> Result<Self, ArchiveStartError> {
        Self::start_within(parts, &background.entry()).await
    }

    /// The same for somebody who does not have the background for himself.
    pub async fn start_within(parts: ProtectionParts, background: &Entry) -> Result<Self, ArchiveStartError> {
        let ProtectionParts { bus, providers, blobs, key: key_path, folder } = parts;
        if providers.is_empty() {
            return Ok(Self { bus, runs: Vec::new(), made_key: false });
        }
        let made_key = !key_path.exists();
        let key = Arc::new(ArchiveKey::open_or_create(&key_path)?);
        let book = Arc::new(EpochBook::open(&folder)?);
        let checked = examine(&providers, &key, bus.cell()).await;
        if checked.is_err() && made_key {
            // Nothing was written with it yet.
            _ = std::fs::remove_file(&key_path);
        }
        checked?;
        let (probe, newest, segments) = (crash_point(), Newest::default(), SharedSegments::default());
        let part = |named: Named| ProviderParts {
            bus: bus.clone(),
            store: named.store,
            key: key.clone(),
            blobs: blobs.clone(),
            folder: folder.clone(),
            book: book.clone(),
            newest: newest.clone(),
            segments: segments.clone(),
            probe: probe.clone(),
        };
        let runs = background.within(|| providers.into_iter().map(|named| ProviderRun::start(part(named))).collect());
        Ok(Self { bus, runs, made_key })
    }

    /// Whether the archive key was made by this start.
    pub fn made_key(&self) -> bool {
        self.made_key
    }

    pub fn desk(&self) -> Arc<dyn ProtectionDesk> {
        Arc::new(Desk { bus: self.bus.clone(), providers: self.runs.iter().map(|run| run.shared.clone()).collect() })
    }

    /// After everything that writes to the log has stopped, before the log does.
    pub async fn stop(self) {
        join_all(self.runs.into_iter().map(ProviderRun::stop)).await;
    }
}

/// Asks each provider whether it can be archived to with this key.
pub async fn examine(providers: &[Named], key: &Arc<ArchiveKey>, cell: &Cell) -> Result<(), ArchiveStartError> {
    try_join_all(providers.iter().map(|named| check(named, key, cell))).await.map(drop)
}

async fn check(named: &Named, key: &Arc<ArchiveKey>, cell: &Cell) -> Result<(), ArchiveStartError> {
    let store = named.store.with_patience(PATIENCE);
    if let Err(error) = store.check().await {
        return unanswered(error);
    }
    for family in [Family::Events, Family::Facts] {
        let ledger = Ledger::new(store.clone(), key.clone(), Place::new(cell, family));
        let looked = async {
            match ledger.epochs().await?.last() {
                Some(newest) => ledger.start_of(*newest).await.map(|_| ()),
                None => Ok(()),
            }
        };
        match looked.await {
            Ok(()) => {}
            Err(ArchiveError::Object(error)) => unanswered(error)?,
            Err(ArchiveError::Fault { fault, .. })
                if matches!(fault.wrong, Wrong::Entry(EntryDamage::OtherKey { .. })) =>
            {
                return Err(ArchiveStartError::OtherKey { provider: named.name.clone(), fault });
            }
            // The archiver halts with it: the log goes on, and the alarm says why it is not protected there.
            Err(error) => tracing::error!(provider = named.name, %error, "the archive cannot be continued"),
        }
    }
    Ok(())
}

fn unanswered(error: ObjectError) -> Result<(), ArchiveStartError> {
    if !error.is_transient() {
        return Err(ArchiveStartError::Refused(error));
    }
    tracing::warn!(%error, "a provider does not answer; the log is archived there as soon as it does");
    Ok(())
}

/// `MILLRACE_CRASH_AT=archiver.segment_put:3` ends this process like kill -9 when an archiver comes to this point for the third
/// time. For tests: a release build does not know it.
#[cfg(debug_assertions)]
fn crash_point() -> Probe {
    use std::sync::atomic::{AtomicU32, Ordering};
    let Ok(wanted) = std::env::var("MILLRACE_CRASH_AT") else { return Probe::default() };
    // Other workers have places of their own.
    let Some(wanted) = wanted.strip_prefix("archiver.") else { return Probe::default() };
    let (point, count) = wanted.split_once(':').unwrap_or((wanted, "1"));
    let (point, left) = (point.replace('_', ""), AtomicU32::new(count.parse().unwrap_or(1)));
    Probe::new(move |at| {
        if format!("{at:?}").to_lowercase() == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        false
    })
}

#[cfg(not(debug_assertions))]
fn crash_point() -> Probe {
    Probe::default()
}

/// Why the platform does not start with these providers: one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveStartError {
    #[error(transparent)]
    Refused(ObjectError),
    #[error(
        "the provider {provider} holds the archive of another key ({fault}); give its key with --archive-key, or another \
         bucket or prefix"
    )]
    OtherKey { provider: String, fault: Fault },
    #[error(transparent)]
    Key(#[from] ArchiveKeyError),
    #[error(transparent)]
    Book(#[from] EpochBookError),
}
