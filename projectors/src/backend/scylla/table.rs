//! The prepared statements of one table.

use super::{Shared, session::Fault};
use crate::read_store::ReadStoreError;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::OnceCell;

/// A table of rows. Its statements are prepared when they are first needed.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    put: OnceCell<PreparedStatement>,
    delete: OnceCell<PreparedStatement>,
    get: OnceCell<PreparedStatement>,
    among: OnceCell<PreparedStatement>,
    partitions: OnceCell<PreparedStatement>,
    /// By whether the walk has an end and whether it goes down.
    scans: [OnceCell<PreparedStatement>; 4],
}

/// The condition of every statement on one row.
const ROW: &str = "tenant = ? AND partition = ? AND sort = ?";

impl Table {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            put: OnceCell::new(),
            delete: OnceCell::new(),
            get: OnceCell::new(),
            among: OnceCell::new(),
            partitions: OnceCell::new(),
            scans: std::array::from_fn(|_| OnceCell::new()),
        }
    }

    /// `(tenant, partition, sort, body, timestamp)`. With [`Table::delete`] the only statements that write rows.
    pub(super) async fn put(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || {
            format!("INSERT INTO {} (tenant, partition, sort, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?", self.name)
        };
        self.put.get_or_try_init(|| shared.prepare(cql())).await
    }

    /// `(timestamp, tenant, partition, sort)`.
    pub(super) async fn delete(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("DELETE FROM {} USING TIMESTAMP ? WHERE {ROW}", self.name);
        self.delete.get_or_try_init(|| shared.prepare(cql())).await
    }

    /// `(tenant, partition, sort)` to `(body, timestamp)`.
    pub(super) async fn get(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("SELECT body, writetime(body) FROM {} WHERE {ROW}", self.name);
        self.get.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `(tenant, partitions, sort)` to `(partition, body, timestamp)` of those that are there, in no order.
    pub(super) async fn among(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || {
            format!(
                "SELECT partition, body, writetime(body) FROM {} WHERE tenant = ? AND partition IN ? AND sort = ?",
                self.name
            )
        };
        self.among.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `()` to `(tenant, partition)`, each once.
    pub(super) async fn partitions(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("SELECT DISTINCT tenant, partition FROM {}", self.name);
        self.partitions.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `(tenant, partition, from, limit)`, or with an end `(tenant, partition, from, before, limit)`, to
    /// `(sort, body, timestamp)`.
    pub(super) async fn scan(
        &self,
        shared: &Shared,
        bounded: bool,
        descending: bool,
    ) -> Result<&PreparedStatement, Fault> {
        let before = if bounded { " AND sort < ?" } else { "" };
        let order = if descending { " ORDER BY sort DESC" } else { "" };
        let cql = || {
            format!(
                "SELECT sort, body, writetime(body) FROM {} WHERE tenant = ? AND partition = ? AND sort >= ?{before}{order} \
                 LIMIT ?",
                self.name
            )
        };
        let slot = &self.scans[usize::from(bounded) * 2 + usize::from(descending)];
        slot.get_or_try_init(|| shared.prepare_read(cql())).await
    }
}

/// The timestamp of a statement from the time of a change: the same number, which [`crate::read_store::MAX_TS`] keeps far
/// below what servers take for the future.
pub(super) fn timestamp(ts: u64) -> Result<i64, ReadStoreError> {
    i64::try_from(ts).map_err(|_| ReadStoreError::Limit {
        what: "time of a change",
        got: usize::try_from(ts).unwrap_or(usize::MAX),
        max: usize::try_from(crate::read_store::MAX_TS).unwrap_or(usize::MAX),
    })
}
