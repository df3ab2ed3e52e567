//! The read store: where projections keep what users read.
//!
//! A table holds ordered wide rows `(tenant, partition, sort) -> body`. Rows are made from the log and can always be
//! made again from it, so a store promises consistency, not survival: after a crash it may have lost the newest batches,
//! and its checkpoints then say so.
//!
//! [`ReadStorePort`] is the contract; [`contract`] checks it over any backend. [`ReadStore`] is what code passes around.

pub mod contract;
pub(crate) mod encoding;
mod error;
pub(crate) mod ledger;
mod resume;
pub(crate) mod types;

pub use error::{ReadStoreError, Severity};
pub use resume::{Resume, Seen, Step};
pub use types::{
    MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_BODY, MAX_NAME, MAX_PAGE, MAX_PARTITION, MAX_SORT, MAX_TENANT, MAX_TS, Mark,
    Page, RowKey, RowOp, Scan, StoredRow, TableId, WriteBatch, last_ts,
};

use crate::backend::fjall::FjallStore;
use crate::backend::memory::MemoryStore;
use crate::backend::scylla::ScyllaStore;
use std::future::Future;

/// The contract of a read store.
///
/// **Who wins.** Every operation carries a time `ts`; a row is what its operation with the greatest time made of it, a
/// delete included. An operation with a lower time than the stored one has no effect, and one that is repeated has no
/// further effect. Two different operations of one row at one time cannot come from a projection; should they occur, a
/// delete wins over a put and of two puts the greater body wins. So the result of a set of operations depends neither on
/// their order, nor on their grouping into batches, nor on repetition.
///
/// **Deletes** leave a tombstone that no read shows and that keeps older operations out, until
/// [`compact_tombstones`](Self::compact_tombstones) removes it.
///
/// **Batches** are all or nothing, marks included, for readers as well as after a crash (Scylla: the rows of a batch
/// are stored before its marks). A batch with anything outside the limits of this module is refused whole. A write may
/// still take effect after its future was dropped.
///
/// **Marks** never go backwards: a lower one than the stored one is ignored, while the operations of its batch are
/// applied by their times. A mark that can be read means that the rows of its batch can be read. Only the lane of a cell
/// writes marks, and a batch with a mark holds nothing newer than the event at the mark.
///
/// **Places.** Rows of different tables, tenants or partitions never meet in a read, whatever bytes their names contain.
/// A scan goes by the bytes of the sort key. A table that was never written is empty and reading does not create it.
pub trait ReadStorePort {
    /// The row at `key`, if there is one.
    fn get(&self, key: &RowKey) -> impl Future<Output = Result<Option<StoredRow>, ReadStoreError>> + Send;

    /// The rows at `keys`, one answer for each key in the order of the keys; at most [`MAX_PAGE`] keys. Keys may
    /// repeat.
    fn get_many(&self, keys: &[RowKey]) -> impl Future<Output = Result<Vec<Option<StoredRow>>, ReadStoreError>> + Send;

    /// The next `limit` rows of a partition. A page is shorter than `limit` only at the end of the walk, and `next` is
    /// `Some` exactly when at least one more row follows at this moment.
    fn scan(&self, scan: &Scan) -> impl Future<Output = Result<Page, ReadStoreError>> + Send;

    /// Applies a batch. Tables come into being with their first operation.
    fn write(&self, batch: WriteBatch) -> impl Future<Output = Result<(), ReadStoreError>> + Send;

    /// The checkpoint of a view generation in a cell; `None` when nothing was ever applied.
    fn mark(&self, view: &str, cell: &str) -> impl Future<Output = Result<Option<u64>, ReadStoreError>> + Send;

    /// [`write`](Self::write) of one batch of a lane, whose checkpoints are those of `steps`. Stores whose rows can be ahead of
    /// their checkpoints keep the steps for [`resume`](Self::resume).
    fn advance(&self, ops: Vec<RowOp>, steps: Vec<Step>) -> impl Future<Output = Result<(), ReadStoreError>> + Send {
        let marks = steps.into_iter().map(|step| step.mark).collect();
        self.write(WriteBatch { ops, marks })
    }

    /// Where a lane begins: its checkpoint, or, where rows and checkpoint do not become durable together, a position before it
    /// such that every row up to there is on disk. `None` when nothing was ever applied.
    fn resume(&self, view: &str, cell: &str) -> impl Future<Output = Result<Option<Resume>, ReadStoreError>> + Send {
        let mark = self.mark(view, cell);
        async { Ok(mark.await?.map(Resume::at)) }
    }

    /// Whether rows can be ahead of their checkpoints, so that a lane has to look out for it.
    fn runs_ahead(&self) -> bool {
        false
    }

    /// All checkpoints, ordered by view and cell.
    fn marks(&self) -> impl Future<Output = Result<Vec<Mark>, ReadStoreError>> + Send;

    /// Removes the tables and the checkpoints of one generation (the exact name before the first dot of a table, for
    /// example `contacts_v1_g0`). Nothing happens when there are none.
    fn drop_tables(&self, generation: &str) -> impl Future<Output = Result<(), ReadStoreError>> + Send;

    /// A digest over every row of a table that can be read: place, time and body, in the order of their places (SHA-256). Equal
    /// rows have equal digests, however they came to be; tombstones are not in it. Reads the whole table.
    fn digest(&self, table: &TableId) -> impl Future<Output = Result<[u8; 32], ReadStoreError>> + Send;

    /// Names of all tables, ordered.
    fn tables(&self) -> impl Future<Output = Result<Vec<TableId>, ReadStoreError>> + Send;

    /// Roughly how many bytes the rows take, on disk and in write buffers.
    fn size_bytes(&self) -> impl Future<Output = Result<u64, ReadStoreError>> + Send;

    /// Forgets the tombstones of a table whose times lie at or below the checkpoints of all cells that feed its
    /// generation; answers how many. From then on a batch that carries a mark of one of these lanes has no effect on
    /// absent rows at or below that time, so a late repetition does not bring a deleted row back. Does nothing without
    /// a checkpoint, nor where the servers forget tombstones by themselves, long after repetitions have ended.
    fn compact_tombstones(&self, table: &TableId) -> impl Future<Output = Result<u64, ReadStoreError>> + Send;

    /// Erases from the disk what was overwritten or deleted in these tables before the call, keys of forgotten
    /// tombstones included (it runs [`compact_tombstones`](Self::compact_tombstones) first), and what was in tables
    /// dropped before the call. Expensive: rewrites the tables; meant for erasure requests gathered over hours, not for
    /// each one. The backend says what remains.
    fn purge_deleted(&self, tables: &[TableId]) -> impl Future<Output = Result<(), ReadStoreError>> + Send;
}

/// A read store of any backend; cheap to clone.
#[derive(Debug, Clone)]
pub enum ReadStore {
    /// Rows in memory, for tests.
    Memory(MemoryStore),
    /// Rows in one local directory.
    Fjall(FjallStore),
    /// Rows in a cluster.
    Scylla(ScyllaStore),
}

/// Calls the same method of whatever backend this is.
macro_rules! delegate {
    ($self:ident.$method:ident($($arg:expr),*)) => {
        match $self {
            ReadStore::Memory(store) => store.$method($($arg),*).await,
            ReadStore::Fjall(store) => store.$method($($arg),*).await,
            ReadStore::Scylla(store) => store.$method($($arg),*).await,
        }
    };
}

impl ReadStorePort for ReadStore {
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        delegate!(self.get(key))
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        delegate!(self.get_many(keys))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        delegate!(self.scan(scan))
    }

    async fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        delegate!(self.write(batch))
    }

    async fn mark(&self, view: &str, cell: &str) -> Result<Option<u64>, ReadStoreError> {
        delegate!(self.mark(view, cell))
    }

    async fn advance(&self, ops: Vec<RowOp>, steps: Vec<Step>) -> Result<(), ReadStoreError> {
        delegate!(self.advance(ops, steps))
    }

    async fn resume(&self, view: &str, cell: &str) -> Result<Option<Resume>, ReadStoreError> {
        delegate!(self.resume(view, cell))
    }

    fn runs_ahead(&self) -> bool {
        match self {
            ReadStore::Memory(store) => store.runs_ahead(),
            ReadStore::Fjall(store) => store.runs_ahead(),
            ReadStore::Scylla(store) => store.runs_ahead(),
        }
    }

    async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        delegate!(self.marks())
    }

    async fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        delegate!(self.drop_tables(generation))
    }

    async fn digest(&self, table: &TableId) -> Result<[u8; 32], ReadStoreError> {
        delegate!(self.digest(table))
    }

    async fn tables(&self) -> Result<Vec<TableId>, ReadStoreError> {
        delegate!(self.tables())
    }

    async fn size_bytes(&self) -> Result<u64, ReadStoreError> {
        delegate!(self.size_bytes())
    }

    async fn compact_tombstones(&self, table: &TableId) -> Result<u64, ReadStoreError> {
        delegate!(self.compact_tombstones(table))
    }

    async fn purge_deleted(&self, tables: &[TableId]) -> Result<(), ReadStoreError> {
        delegate!(self.purge_deleted(tables))
    }
}
