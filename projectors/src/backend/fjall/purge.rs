//! Erasure: making overwritten and deleted bytes disappear from the directory.
//!
//! An LSM tree keeps old versions in its write buffer, in table files and in the journal. [`Shared::purge_deleted`]
//! removes them from all three: it flushes and rewrites the tables whole, lets the engine delete the replaced files, and
//! replaces the journal. The engine replaces a journal only beyond 64 MiB, so the rest is filled with zeros first (one
//! sequential write), after which every table is flushed and the old journal goes.
//!
//! What remains is outside the store: blocks that the file system or the drive has freed but not yet overwritten, copies
//! made by snapshots and backups of the directory, and, until they are evicted, cached blocks in memory. Data that
//! must be beyond recovery there is sealed under a key of the person, which is destroyed. Rows of other tables are
//! untouched; their own journal entries leave with the shared journal.
//!
//! This module uses a few entry points that the engine does not document (rotating a write buffer, a major compaction);
//! its tests fail when a new version of the engine changes their meaning.

use super::{Shared, unavailable};
use crate::read_store::{ReadStoreError, TableId};
use ::fjall::{AbstractTree, Keyspace, Slice};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Above the size at which the engine replaces its journal.
const JOURNAL_FILL: usize = 66 << 20;
const FILL_PIECE: usize = 1 << 20;
/// How long flushing may take before the purge gives up with an error; it can be repeated.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

impl Shared {
    pub(super) fn purge_deleted(&self, tables: &[TableId]) -> Result<(), ReadStoreError> {
        let failed = |error| self.fault("purge tables", error);
        for table in tables {
            self.compact_tombstones(table)?;
        }
        self.forget_old_versions()?;
        for handle in tables.iter().filter_map(|table| self.table(table)) {
            self.flush(&handle)?;
            handle.major_compact().map_err(failed)?;
        }
        self.replace_journal()?;
        // The replaced table files are deleted once no version of the tables that contains them is kept.
        self.forget_old_versions()
    }

    /// Tells the engine that nobody reads older versions any more. That is true for a moment in which no snapshot is
    /// open; it takes effect when a write buffer is rotated, and covers writes below the newest one.
    fn forget_old_versions(&self) -> Result<(), ReadStoreError> {
        let failed = |error| self.fault("purge tables", error);
        let _no_snapshots = self.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        self.pad.insert("pad", "").map_err(failed)?;
        self.pad.rotate_memtable().map_err(failed)?;
        Ok(())
    }

    fn flush(&self, table: &Keyspace) -> Result<(), ReadStoreError> {
        table.rotate_memtable().map_err(|error| self.fault("flush a table", error))?;
        self.wait_until(|| Ok(table.tree.sealed_memtable_count() == 0))
    }

    fn replace_journal(&self) -> Result<(), ReadStoreError> {
        let failed = |error| self.fault("purge tables", error);
        let old = self.journals()?;
        // Cloning shares the bytes, and the same key replaces itself: only the journal grows.
        let zeros = Slice::from(vec![0u8; FILL_PIECE]);
        for _ in 0..JOURNAL_FILL / FILL_PIECE {
            self.pad.insert("pad", zeros.clone()).map_err(failed)?;
        }
        self.pad.insert("pad", "").map_err(failed)?;
        self.wait_until(|| {
            // Writers may fill buffers again after a rotation, and each unflushed one keeps the old journal alive.
            let handles: Vec<Keyspace> = self.tables().values().cloned().collect();
            for handle in handles.iter().chain([&self.meta, &self.pad]) {
                if handle.tree.sealed_memtable_count() == 0 {
                    handle.rotate_memtable().map_err(failed)?;
                }
            }
            let now = self.journals()?;
            Ok(!old.iter().any(|journal| now.contains(journal)))
        })
    }

    fn journals(&self) -> Result<Vec<PathBuf>, ReadStoreError> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            let entries = std::fs::read_dir(&self.place)?.map(|entry| entry.map(|entry| entry.path()));
            entries.filter(|path| path.as_ref().map_or(true, |p| p.extension().is_some_and(|e| e == "jnl"))).collect()
        };
        list().map_err(|source| unavailable("list journals", &self.place, source))
    }

    fn wait_until(&self, mut done: impl FnMut() -> Result<bool, ReadStoreError>) -> Result<(), ReadStoreError> {
        let deadline = Instant::now() + PATIENCE;
        while !done()? {
            if Instant::now() > deadline {
                let source = "the storage engine did not flush its write buffers in time";
                return Err(unavailable("purge tables", &self.place, source));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}
