//! Which epoch this platform writes at each provider, and the restore its log comes from.
//!
//! A log that was never restored writes epoch 1 everywhere. A restored one goes on in the same archives, in an epoch behind
//! all that the provider knows, which takes over what is there up to the restored point. Providers may differ in it: one
//! of them may have been away when the last epoch began.

use bus_schema::{Micros, subject::Family};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use workers::{
    archive::{ArchiveError, Ledger, epochs::begin_epoch},
    mail::campaign::RestoredLog,
};

const BOOK: &str = "epochs.json";
const RESTORED: &str = "restored.json";

/// A restore that this data directory is the result of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The provider it came from.
    pub provider: String,
    pub at: Micros,
    /// The last positions of the events and of the facts.
    pub events: u64,
    pub facts: u64,
    /// Digests of both streams (BLAKE3 over position, subject, headers and body of every message).
    pub events_digest: String,
    pub facts_digest: String,
    /// Who has data in it.
    pub tenants: Vec<String>,
}

impl Restored {
    pub fn read(folder: &Path) -> Result<Option<Self>, EpochBookError> {
        read(&folder.join(RESTORED))
    }

    /// What campaigns have to know of it.
    pub fn log(folder: &Path) -> Result<Option<RestoredLog>, EpochBookError> {
        Ok(Self::read(folder)?.map(|restored| RestoredLog { events: restored.events, at: restored.at }))
    }

    pub fn write(&self, folder: &Path) -> Result<(), EpochBookError> {
        write(&folder.join(RESTORED), self)
    }

    fn last(&self, family: Family) -> u64 {
        match family {
            Family::Events => self.events,
            Family::Facts => self.facts,
        }
    }
}

/// The epochs of a data directory.
#[derive(Debug)]
pub struct EpochBook {
    path: PathBuf,
    restored: Option<Restored>,
    epochs: Mutex<BTreeMap<String, u32>>,
}

impl EpochBook {
    /// `folder` is that of the archivers in the data directory.
    pub fn open(folder: &Path) -> Result<Self, EpochBookError> {
        let path = folder.join(BOOK);
        let epochs = Mutex::new(read(&path)?.unwrap_or_default());
        Ok(Self { path, restored: Restored::read(folder)?, epochs })
    }

    /// The epoch to write at a provider, begun there if it has not been. Safe to repeat after any failure: the number is
    /// on disk before it is used.
    pub async fn begin(&self, ledgers: &[(Family, Ledger)]) -> Result<u32, BeginError> {
        let Some(restored) = &self.restored else { return Ok(1) };
        let Some(provider) = ledgers.first().map(|(_, ledger)| ledger.store.provider().to_owned()) else {
            return Ok(1);
        };
        let known = self.lock().get(&provider).copied();
        let epoch = match known {
            Some(epoch) => epoch,
            None => {
                let mut newest = 0;
                for (_, ledger) in ledgers {
                    newest = ledger.epochs().await?.last().copied().unwrap_or(0).max(newest);
                }
                // Providers begin at the same time, and write one file.
                let mut held = self.lock();
                let mut epochs = held.clone();
                epochs.insert(provider.clone(), newest + 1);
                write(&self.path, &epochs)?;
                *held = epochs;
                newest + 1
            }
        };
        for (family, ledger) in ledgers {
            let start = begin_epoch(ledger, epoch, restored.last(*family)).await?;
            if known.is_none() {
                let stream = ledger.place.stream();
                tracing::info!(provider, stream, epoch, cut = start.cut, "the restored log goes on in a new epoch");
            }
        }
        Ok(epoch)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EpochBookError> {
    let failed = |source| EpochBookError { path: path.display().to_string(), source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(io::Error::other(error))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Whole and durable, or not at all.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), EpochBookError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| EpochBookError { path: path.display().to_string(), source })
}

/// A damaged book is no reason to guess: a wrong epoch would be refused by the providers anyway.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used: {source}; bring it back from a copy of the data directory, or restore into a new one")]
pub struct EpochBookError {
    path: String,
    source: io::Error,
}

/// Why an epoch could not be begun now.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Book(#[from] EpochBookError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::Cell;
    use std::sync::Arc;
    use workers::archive::{ArchiveKey, ObjectStore, Place, backend::memory::MemoryObjects, epochs};

    fn ledgers(store: &ObjectStore) -> Vec<(Family, Ledger)> {
        let (key, cell) = (Arc::new(ArchiveKey::from_secret(&[7; 32])), Cell::try_new("eu1").unwrap());
        let ledger = |family| (family, Ledger::new(store.clone(), key.clone(), Place::new(&cell, family)));
        [Family::Events, Family::Facts].into_iter().map(ledger).collect()
    }

    fn restored() -> Restored {
        Restored {
            provider: "b".into(),
            at: Micros(1),
            events: 0,
            facts: 0,
            events_digest: String::new(),
            facts_digest: String::new(),
            tenants: vec!["main".into()],
        }
    }

    #[tokio::test]
    async fn a_restored_log_goes_behind_every_epoch_of_the_provider_and_stays_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::memory(MemoryObjects::new("b"));
        let ledgers = ledgers(&store);
        let book = EpochBook::open(folder.path()).unwrap();
        assert_eq!(book.begin(&ledgers).await.unwrap(), 1, "never restored");
        assert!(ledgers[0].1.epochs().await.unwrap().is_empty(), "the archiver begins the first one");
        epochs::begin_epoch(&ledgers[0].1, 3, 0).await.unwrap();
        restored().write(folder.path()).unwrap();
        let book = EpochBook::open(folder.path()).unwrap();
        assert_eq!(book.begin(&ledgers).await.unwrap(), 4);
        let again = EpochBook::open(folder.path()).unwrap();
        assert_eq!(again.begin(&ledgers).await.unwrap(), 4, "the same after a start");
        assert_eq!(ledgers[1].1.epochs().await.unwrap(), [4], "both streams have it");
    }

    #[test]
    fn a_damaged_book_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(BOOK), "{").unwrap();
        assert!(EpochBook::open(folder.path()).unwrap_err().to_string().contains(BOOK));
    }
}
