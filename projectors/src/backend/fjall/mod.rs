//! A read store in one local directory, on the fjall storage engine.
//!
//! - One keyspace for each table, one (`#meta`) for checkpoints and what else is known of the tables. All of them share one
//!   journal, so a batch of rows and its checkpoint are one journal entry: after a crash both are there or neither.
//! - No fsync for each batch: the journal is handed to the operating system, which survives a killed process but not a
//!   power loss. The rows lost by one are made again from the log, from the checkpoint that was lost with them.
//! - Reads go through a snapshot, which sees whole batches only. Point reads and small scans take microseconds
//!   and run on the calling thread; large ones and all writes (a commit may wait for a flush) run on blocking threads.
//! - Writes of lanes never read. Their times are greater than all times of the tables, which the ledger knows from
//!   memory, from the checkpoints after a restart, and from `#meta` for batches that carry no checkpoint.
//!
//! The module `purge` says what erasure does and what remains.

mod meta;
mod open;
mod purge;
#[cfg(test)]
mod tests;
mod write;

use crate::read_store::encoding::{Cell, RowsDigest, ScanRange, encode_key, fill_page};
use crate::read_store::ledger::{Lane, Ledger, list_marks};
use crate::read_store::types::{check_limit, generation_of};
use crate::read_store::{
    MAX_PAGE, Mark, Page, ReadStoreError, ReadStorePort, RowKey, Scan, StoredRow, TableId, WriteBatch,
};
use ::fjall::{AbstractTree, Database, Keyspace, Readable, Snapshot};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// Reads of more rows than this leave the calling thread.
const INLINE_ROWS: usize = 200;

/// How much memory the store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Cache for blocks read from disk, shared by all tables.
    pub cache_bytes: u64,
    /// Write buffers of all tables together; beyond it the largest one is flushed to disk. At least 1 MiB.
    pub memtable_bytes: u64,
    /// Threads that flush and compact.
    pub worker_threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, memtable_bytes: 32 << 20, worker_threads: 1 }
    }
}

/// Rows in one local directory; clones share it. The directory is unlocked when the last clone is dropped.
#[derive(Clone)]
pub struct FjallStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// Shown in errors.
    place: String,
    options: Options,
    tables: RwLock<BTreeMap<TableId, Keyspace>>,
    meta: Keyspace,
    pad: Keyspace,
    /// Serialises writers: comparing with what is stored and replacing it must be one step.
    ledger: Mutex<Ledger>,
    /// The checkpoints of the ledger after the last commit: reading one must not wait for the commit under way.
    published: RwLock<BTreeMap<Lane, u64>>,
    /// Bytes written since the write buffers were measured.
    unmeasured: AtomicU64,
    /// Read: somebody holds a snapshot. Write: erasure needs a moment without any.
    snapshots: RwLock<()>,
    // Last: keyspaces are dropped before their database.
    db: Database,
}

impl fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallStore").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Opens the store in `dir`, creating it if there is none, and replays its journal.
    ///
    /// Errors: [`Locked`](ReadStoreError::Locked) while another process has it,
    /// [`UnknownFormat`](ReadStoreError::UnknownFormat) for data of another version,
    /// [`Corrupt`](ReadStoreError::Corrupt), [`Unavailable`](ReadStoreError::Unavailable).
    pub async fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, ReadStoreError> {
        let dir = dir.as_ref().to_owned();
        let place = dir.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Shared::open(&dir, options)).await;
        let shared = opened.map_err(|source| match source.is_panic() {
            // The engine panics on some kinds of damage.
            true => {
                ReadStoreError::Corrupt { place, what: "it cannot be opened".into(), source: Some(Box::new(source)) }
            }
            false => unavailable("open", &place, source),
        })??;
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Shared) -> Result<T, ReadStoreError> + Send + 'static,
    ) -> Result<T, ReadStoreError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.map_err(|source| unavailable(doing, &self.shared.place, source))?
    }
}

fn unavailable(
    doing: &'static str,
    place: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ReadStoreError {
    ReadStoreError::Unavailable { doing, place: place.to_owned(), source: source.into() }
}

impl Shared {
    /// Translates an error of the engine: damaged data needs a rebuild, everything else may pass.
    fn fault(&self, doing: &'static str, error: ::fjall::Error) -> ReadStoreError {
        open::fault(&self.place, doing, error)
    }

    // The ledger is changed only after a commit succeeded, by code that does not panic.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> RwLockReadGuard<'_, BTreeMap<TableId, Keyspace>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, table: &TableId) -> Option<Keyspace> {
        self.tables().get(table).cloned()
    }

    fn publish_marks(&self, ledger: &Ledger) {
        self.published.write().unwrap_or_else(PoisonError::into_inner).clone_from(&ledger.marks);
    }

    /// Runs `read` with a snapshot of all tables as they are now.
    fn with_snapshot<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> T {
        let _open = self.snapshots.read().unwrap_or_else(PoisonError::into_inner);
        read(&self.db.snapshot())
    }

    fn get(&self, snapshot: &Snapshot, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        let Some(table) = self.table(&key.table) else { return Ok(None) };
        let found = snapshot.get(&table, encode_key(key)).map_err(|error| self.fault("read a row", error))?;
        let cell = found.map(|bytes| Cell::decode(key.table.as_str(), &bytes)).transpose()?;
        Ok(cell.and_then(|cell| cell.into_row(&key.sort)))
    }

    fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        self.with_snapshot(|snapshot| keys.iter().map(|key| self.get(snapshot, key)).collect())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        let (Some(table), Some(range)) = (self.table(&scan.table), ScanRange::of(scan)) else {
            return Ok(Page::default());
        };
        self.with_snapshot(|snapshot| {
            let mut walk = snapshot.range(&table, range.bounds);
            fill_page(scan.limit, || {
                while let Some(item) = if scan.descending { walk.next_back() } else { walk.next() } {
                    let (key, value) = item.into_inner().map_err(|error| self.fault("scan rows", error))?;
                    let sort = key.get(range.head..).unwrap_or_default();
                    if let Some(row) = Cell::decode(scan.table.as_str(), &value)?.into_row(sort) {
                        return Ok(Some(row));
                    }
                }
                Ok(None)
            })
        })
    }

    fn digest(&self, table: &TableId) -> Result<[u8; 32], ReadStoreError> {
        let mut digest = RowsDigest::default();
        let Some(keyspace) = self.table(table) else { return Ok(digest.finish()) };
        self.with_snapshot(|snapshot| {
            for item in snapshot.iter(&keyspace) {
                let (key, value) = item.into_inner().map_err(|error| self.fault("read rows", error))?;
                digest.add(&key, &Cell::decode(table.as_str(), &value)?);
            }
            Ok(digest.finish())
        })
    }

    fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        let mut ledger = self.ledger();
        let owned = |table: &&TableId| generation_of(table.as_str()) == generation;
        let dropped: Vec<TableId> = self.tables().keys().filter(owned).cloned().collect();
        if dropped.is_empty() && ledger.lanes(generation).next().is_none() {
            return Ok(());
        }
        // The intent goes first, and the checkpoints with it: whenever the process dies, no checkpoint is left without
        // its rows, and no rows without a checkpoint outlive the next opening.
        self.write_intent_to_drop(&ledger, generation, &dropped)?;
        ledger.forget(generation);
        self.publish_marks(&ledger);
        let handles: Vec<Keyspace> = {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            dropped.iter().filter_map(|table| tables.remove(table)).collect()
        };
        for handle in handles {
            self.db.delete_keyspace(handle).map_err(|error| self.fault("drop a table", error))?;
        }
        self.clear_intent_to_drop(generation)
    }

    fn size_bytes(&self) -> u64 {
        let tables = self.tables();
        tables.values().map(|table| table.disk_space() + table.tree.active_memtable().size()).sum()
    }
}

impl ReadStorePort for FjallStore {
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        key.check()?;
        self.shared.with_snapshot(|snapshot| self.shared.get(snapshot, key))
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        check_limit("keys of one read", keys.len(), MAX_PAGE)?;
        keys.iter().try_for_each(RowKey::check)?;
        if keys.len() <= INLINE_ROWS {
            return self.shared.get_many(keys);
        }
        let keys = keys.to_vec();
        self.blocking("read rows", move |shared| shared.get_many(&keys)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        scan.check()?;
        if scan.limit <= INLINE_ROWS {
            return self.shared.scan(scan);
        }
        let scan = scan.clone();
        self.blocking("scan rows", move |shared| shared.scan(&scan)).await
    }

    async fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        batch.check()?;
        self.blocking("write a batch", move |shared| shared.write(batch)).await
    }

    async fn mark(&self, view: &str, cell: &str) -> Result<Option<u64>, ReadStoreError> {
        let lane = (view.to_owned(), cell.to_owned());
        Ok(self.shared.published.read().unwrap_or_else(PoisonError::into_inner).get(&lane).copied())
    }

    async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        Ok(list_marks(&self.shared.published.read().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        let generation = generation.to_owned();
        self.blocking("drop tables", move |shared| shared.drop_tables(&generation)).await
    }

    async fn digest(&self, table: &TableId) -> Result<[u8; 32], ReadStoreError> {
        let table = table.clone();
        self.blocking("read rows", move |shared| shared.digest(&table)).await
    }

    async fn tables(&self) -> Result<Vec<TableId>, ReadStoreError> {
        Ok(self.shared.tables().keys().cloned().collect())
    }

    async fn size_bytes(&self) -> Result<u64, ReadStoreError> {
        Ok(self.shared.size_bytes())
    }

    async fn compact_tombstones(&self, table: &TableId) -> Result<u64, ReadStoreError> {
        let table = table.clone();
        self.blocking("compact tombstones", move |shared| shared.compact_tombstones(&table)).await
    }

    /// See the module `purge` for how and for what remains.
    async fn purge_deleted(&self, tables: &[TableId]) -> Result<(), ReadStoreError> {
        let tables = tables.to_vec();
        self.blocking("purge tables", move |shared| shared.purge_deleted(&tables)).await
    }
}
