//! A read store in a cluster that speaks the Scylla protocol: ScyllaDB, or Apache Cassandra.
//!
//! - One table for each table of a view and one for its checkpoints, made when they are first written ([`schema`]).
//! - Every row is written `USING TIMESTAMP` of its place in the log, so the servers themselves keep what is newest, in
//!   whatever order and however often rows arrive, from one process or from several ([`write`]).
//! - A walk goes on behind the last sort key it saw, not at a paging state of the server: such a cursor survives the loss of
//!   a node, an upgrade of the servers and a switch of generations, and means the same over every backend. Within one page the
//!   driver pages by itself.
//! - Tombstones are forgotten by the servers, ten days after they were written; until then they keep older writes out.
//!   So [`compact_tombstones`](ReadStorePort::compact_tombstones) and [`purge_deleted`](ReadStorePort::purge_deleted)
//!   have nothing to do here: overwritten rows leave the disks with compaction. Personal data in rows is sealed, and erased with
//!   its key at once.
//!
//! What is not one step here, see [`write`]; what a start repeats, see [`marks`].

mod digest;
mod durability;
mod log;
mod many;
mod marks;
mod notes;
mod options;
mod read;
mod schema;
mod session;
mod table;
mod write;

pub use log::{Belonging, LogIdentity};
pub use options::{Credentials, Moment, Options, Probe};

use crate::read_store::{
    MAX_PAGE, Mark, Page, ReadStoreError, ReadStorePort, Resume, RowKey, RowOp, Scan, Step, StoredRow, TableId,
    WriteBatch, types::check_limit,
};
use futures::TryStreamExt;
use marks::{Marks, Passed};
use schema::Names;
use scylla::client::{execution_profile::ExecutionProfileHandle, session::Session};
use session::{Fault, change, plain};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};
use table::Table;

/// Rows in a cluster; clones share the connections.
#[derive(Clone)]
pub struct ScyllaStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// Shown in errors.
    place: String,
    options: Options,
    names: Names,
    session: Session,
    reads: ExecutionProfileHandle,
    /// Nodes of the cluster when it was opened.
    nodes: usize,
    tables: RwLock<HashMap<TableId, Arc<Table>>>,
    marks: RwLock<HashMap<String, Arc<Marks>>>,
    passed: Mutex<Passed>,
    /// Schema changes one after another: servers take them no faster, and some not at all.
    creating: tokio::sync::Mutex<()>,
}

impl fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaStore").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl ScyllaStore {
    /// Connects to the cluster; makes the keyspace and the list of tables if there are none.
    ///
    /// Errors: [`Misconfigured`](ReadStoreError::Misconfigured) says what to change,
    /// [`UnknownFormat`](ReadStoreError::UnknownFormat) for tables of another version,
    /// [`Unavailable`](ReadStoreError::Unavailable) while no node answers.
    pub async fn open(options: Options) -> Result<Self, ReadStoreError> {
        let session::Opened { session, reads, nodes } = session::open(&options).await?;
        let shared = Shared {
            place: options.place(),
            names: Names::of(&options),
            options,
            session,
            reads,
            nodes,
            tables: RwLock::default(),
            marks: RwLock::default(),
            passed: Mutex::default(),
            creating: tokio::sync::Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    /// A table that was written once, by whatever process.
    async fn table(&self, id: &TableId) -> Result<Option<Arc<Table>>, ReadStoreError> {
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(name) = self.registered_as(id.as_str()).await? else { return Ok(None) };
        Ok(Some(self.remember(id, name)))
    }

    async fn table_or_create(&self, id: &TableId) -> Result<Arc<Table>, Fault> {
        if let Some(table) = self.table(id).await? {
            return Ok(table);
        }
        let _one_at_a_time = self.creating.lock().await;
        if let Some(table) = self.table(id).await? {
            return Ok(table);
        }
        self.create_rows(id).await
    }

    /// For a table that is listed and is not there: another process drops it, or died while it did.
    async fn create_again(&self, id: &TableId) -> Result<(), Fault> {
        let _one_at_a_time = self.creating.lock().await;
        self.forget(id);
        self.create_rows(id).await.map(drop)
    }

    async fn create_rows(&self, id: &TableId) -> Result<Arc<Table>, Fault> {
        let name = self.names.rows(id);
        self.create(id.as_str(), &name, schema::create_rows(&name, id)).await?;
        Ok(self.remember(id, name))
    }

    /// The list of tables knows of a table before it is there, so none is ever left behind unknown.
    async fn create(&self, row: &str, name: &str, cql: String) -> Result<(), Fault> {
        self.register(row, name).await?;
        // The driver waits until all nodes agree on the schema.
        self.session.query_unpaged(change(cql), ()).await.map_err(|error| self.fault("make a table", error))?;
        Ok(())
    }

    fn remember(&self, id: &TableId, name: String) -> Arc<Table> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.entry(id.clone()).or_insert_with(|| Arc::new(Table::new(name))).clone()
    }

    fn forget(&self, id: &TableId) {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn known_marks(&self, view: &str) -> Option<Arc<Marks>> {
        self.marks.read().unwrap_or_else(PoisonError::into_inner).get(view).cloned()
    }

    fn remember_marks(&self, view: &str, name: String) -> Arc<Marks> {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.entry(view.to_owned()).or_insert_with(|| Arc::new(Marks::new(name))).clone()
    }

    fn forget_marks(&self, view: &str) {
        self.marks.write().unwrap_or_else(PoisonError::into_inner).remove(view);
    }

    fn passed(&self) -> MutexGuard<'_, Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read of a table that another process has dropped finds nothing.
    fn or_gone<T: Default>(&self, id: &TableId, read: Result<T, Fault>) -> Result<T, ReadStoreError> {
        match read {
            Ok(found) => Ok(found),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Gone) => {
                self.forget(id);
                Ok(T::default())
            }
        }
    }

    /// The list of tables: names and their CQL names, ordered.
    async fn registered(&self) -> Result<Vec<(String, String)>, ReadStoreError> {
        let failed = |fault: Fault| fault.into_error(&self.place);
        let cql = format!("SELECT name, value FROM {} WHERE {}", self.names.registry(), self.names.registered());
        let found = self
            .session
            .query_iter(plain(cql), ())
            .await
            .map_err(|error| failed(self.fault("list the tables", error)))?;
        let rows =
            found.rows_stream::<(String, String)>().map_err(|error| failed(self.fault("list the tables", error)))?;
        rows.try_collect().await.map_err(|error| failed(self.fault("list the tables", error)))
    }

    async fn registered_as(&self, row: &str) -> Result<Option<String>, ReadStoreError> {
        let failed = |fault: Fault| fault.into_error(&self.place);
        let cql = format!("SELECT value FROM {} WHERE {} AND name = ?", self.names.registry(), self.names.registered());
        let found = self
            .session
            .query_unpaged(plain(cql), (row,))
            .await
            .map_err(|error| failed(self.fault("look for a table", error)))?;
        let rows = found.into_rows_result().map_err(|error| failed(self.fault("look for a table", error)))?;
        let row = rows.maybe_first_row::<(String,)>().map_err(|error| failed(self.fault("look for a table", error)))?;
        Ok(row.map(|(name,)| name))
    }

    async fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        let failed = |error| self.fault("drop a table", error).into_error(&self.place);
        let _one_at_a_time = self.creating.lock().await;
        // Checkpoints first (`#` is below every letter): none is left without its rows, whenever this process dies.
        for (row, name) in self.registered().await?.into_iter().filter(|(row, _)| schema::belongs(row, generation)) {
            self.session.query_unpaged(change(format!("DROP TABLE IF EXISTS {name}")), ()).await.map_err(failed)?;
            let cql = format!("DELETE FROM {} WHERE {} AND name = ?", self.names.registry(), self.names.registered());
            self.session.query_unpaged(plain(cql), (row,)).await.map_err(failed)?;
        }
        self.tables.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| id.generation() != generation);
        self.forget_marks(generation);
        self.forget_passed(generation);
        Ok(())
    }

    /// What one node estimates of its share, times the nodes.
    async fn size_bytes(&self) -> Result<u64, ReadStoreError> {
        let failed = |fault: Fault| fault.into_error(&self.place);
        let cql = "SELECT mean_partition_size, partitions_count FROM system.size_estimates WHERE keyspace_name = ?";
        let found = self
            .session
            .query_iter(plain(cql), (&self.options.keyspace,))
            .await
            .map_err(|error| failed(self.fault("estimate sizes", error)))?;
        let rows = found.rows_stream::<(i64, i64)>().map_err(|error| failed(self.fault("estimate sizes", error)))?;
        let sizes: Vec<(i64, i64)> =
            rows.try_collect().await.map_err(|error| failed(self.fault("estimate sizes", error)))?;
        let size = |(mean, count): (i64, i64)| u64::try_from(mean).unwrap_or(0) * u64::try_from(count).unwrap_or(0);
        Ok(sizes.into_iter().map(size).sum::<u64>() * self.nodes as u64)
    }
}

impl ReadStorePort for ScyllaStore {
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        key.check()?;
        self.shared.get(key).await
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        check_limit("keys of one read", keys.len(), MAX_PAGE)?;
        keys.iter().try_for_each(RowKey::check)?;
        self.shared.get_many(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        scan.check()?;
        self.shared.scan(scan).await
    }

    async fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        batch.check()?;
        self.shared.write(batch).await
    }

    async fn mark(&self, view: &str, cell: &str) -> Result<Option<u64>, ReadStoreError> {
        Ok(self.shared.mark(view, cell).await?.map(|(seq, _)| seq))
    }

    async fn advance(&self, ops: Vec<RowOp>, steps: Vec<Step>) -> Result<(), ReadStoreError> {
        let batch = WriteBatch { ops, marks: self.shared.due_marks(&steps) };
        batch.check()?;
        self.shared.options.reached(Moment::Begins)?;
        self.shared.note(&steps).await?;
        self.shared.write(batch).await
    }

    async fn resume(&self, view: &str, cell: &str) -> Result<Option<Resume>, ReadStoreError> {
        self.shared.resume(view, cell).await
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        self.shared.marks().await
    }

    async fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        self.shared.drop_tables(generation).await
    }

    async fn digest(&self, table: &TableId) -> Result<[u8; 32], ReadStoreError> {
        self.shared.digest(table).await
    }

    async fn tables(&self) -> Result<Vec<TableId>, ReadStoreError> {
        let rows = self.shared.registered().await?;
        rows.iter().filter(|(row, _)| !row.starts_with('#')).map(|(row, _)| TableId::try_new(row)).collect()
    }

    async fn size_bytes(&self) -> Result<u64, ReadStoreError> {
        self.shared.size_bytes().await
    }

    /// Left to the servers.
    async fn compact_tombstones(&self, _: &TableId) -> Result<u64, ReadStoreError> {
        Ok(0)
    }

    /// Left to the servers.
    async fn purge_deleted(&self, _: &[TableId]) -> Result<(), ReadStoreError> {
        Ok(())
    }
}
