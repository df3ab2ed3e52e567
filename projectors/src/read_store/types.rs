//! The plain values that go in and out of a read store, with their limits.

use super::ReadStoreError;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Longest name of a table or a view, in bytes.
pub const MAX_NAME: usize = 120;
/// Longest tenant, in bytes.
pub const MAX_TENANT: usize = 128;
/// Longest partition, in bytes; the empty partition is a partition like any other.
pub const MAX_PARTITION: usize = 1024;
/// Longest sort key, in bytes; the empty sort key is allowed.
pub const MAX_SORT: usize = 4096;
/// Longest body of a row, in bytes.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// Greatest time of a change: positions up to 4 · 10¹² a cell. Servers of the Scylla protocol take it for microseconds since
/// 1970, and ScyllaDB refuses what lies more than three days in the future: this is in 2005.
pub const MAX_TS: u64 = 1 << 50;
/// Most operations in one batch.
pub const MAX_BATCH_OPS: usize = 100_000;
/// Most bytes of keys and bodies in one batch.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;
/// Most rows in one page of a scan, and most keys in one `get_many`.
pub const MAX_PAGE: usize = 10_000;

/// A table of one generation of a view, for example `contacts_v1_g0.by_created`.
///
/// What stands before the first dot is the generation, which owns the table: its checkpoint and its removal
/// ([`drop_tables`](super::ReadStorePort::drop_tables)) are addressed by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(Arc<str>);

impl TableId {
    /// Accepts 1 to [`MAX_NAME`] characters of `a-z`, `0-9`, `_` and `.`.
    pub fn try_new(name: &str) -> Result<Self, ReadStoreError> {
        check_name("table name", name)?;
        Ok(Self(name.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The generation that owns this table: the name up to its first dot.
    pub fn generation(&self) -> &str {
        generation_of(&self.0)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableId({})", self.0)
    }
}

pub(crate) fn generation_of(table: &str) -> &str {
    table.split('.').next().unwrap_or(table)
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), ReadStoreError> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        let shown = name.chars().take(MAX_NAME).collect();
        return Err(ReadStoreError::InvalidName { what, name: shown });
    }
    Ok(())
}

pub(crate) fn check_limit(what: &'static str, got: usize, max: usize) -> Result<(), ReadStoreError> {
    if got > max { Err(ReadStoreError::Limit { what, got, max }) } else { Ok(()) }
}

/// Where a row lives. The tenant is part of every key, so no read can cross tenants by leaving it out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The table.
    pub table: TableId,
    /// The tenant that owns the row; 1 to [`MAX_TENANT`] bytes.
    pub tenant: Arc<str>,
    /// The group of rows that a scan walks through; at most [`MAX_PARTITION`] bytes.
    pub partition: String,
    /// Place inside the partition, see [`SortKey`](crate::sort_key::SortKey); at most [`MAX_SORT`] bytes.
    pub sort: Vec<u8>,
}

impl RowKey {
    pub(crate) fn check(&self) -> Result<(), ReadStoreError> {
        check_place(&self.tenant, &self.partition)?;
        check_limit("sort key", self.sort.len(), MAX_SORT)
    }
}

pub(crate) fn check_place(tenant: &str, partition: &str) -> Result<(), ReadStoreError> {
    if tenant.is_empty() {
        return Err(ReadStoreError::InvalidName { what: "tenant", name: String::new() });
    }
    check_limit("tenant", tenant.len(), MAX_TENANT)?;
    check_limit("partition", partition.len(), MAX_PARTITION)
}

/// One change of one row.
///
/// `ts` is the row's time in the log, `stream sequence << 8 | slot`, where the slot numbers the operations that one
/// event makes. It alone decides which change wins, never the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOp {
    /// Sets the whole body.
    Put { key: RowKey, ts: u64, body: Bytes },
    /// Removes the row and leaves a tombstone that keeps older changes out.
    Delete { key: RowKey, ts: u64 },
}

impl RowOp {
    /// The row that is changed.
    pub fn key(&self) -> &RowKey {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The time of the change.
    pub fn ts(&self) -> u64 {
        match self {
            Self::Put { ts, .. } | Self::Delete { ts, .. } => *ts,
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Self::Put { body, .. } => body.len(),
            Self::Delete { .. } => 0,
        }
    }
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Place inside the partition.
    pub sort: Vec<u8>,
    /// Time of the change that made it.
    pub ts: u64,
    /// What the projection wrote.
    pub body: Bytes,
}

/// The checkpoint of one view generation in one cell: every event of the cell's stream up to and including `seq` is in
/// the tables of the generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The generation, for example `contacts_v1_g0`.
    pub view: String,
    /// The cell, for example `eu1`.
    pub cell: String,
    /// Sequence in the stream of the cell.
    pub seq: u64,
}

/// The greatest time an operation of an event at or before `seq` can have.
pub fn last_ts(seq: u64) -> u64 {
    seq.saturating_mul(256).saturating_add(255)
}

/// Changes and checkpoints that become visible and durable together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// Changes, in any order; several changes of one row are allowed.
    pub ops: Vec<RowOp>,
    /// Checkpoints that hold once the changes are stored.
    pub marks: Vec<Mark>,
}

impl WriteBatch {
    pub(crate) fn check(&self) -> Result<(), ReadStoreError> {
        check_limit("operations of a batch", self.ops.len(), MAX_BATCH_OPS)?;
        check_limit("marks of a batch", self.marks.len(), MAX_PAGE)?;
        let mut bytes = 0usize;
        for op in &self.ops {
            op.key().check()?;
            check_limit("time of a change", usize::try_from(op.ts()).unwrap_or(usize::MAX), MAX_TS as usize)?;
            check_limit("row body", op.body_len(), MAX_BODY)?;
            bytes += op.key().partition.len() + op.key().sort.len() + op.body_len();
        }
        check_limit("bytes of a batch", bytes, MAX_BATCH_BYTES)?;
        for mark in &self.marks {
            check_name("view of a mark", &mark.view)?;
            check_limit("cell of a mark", mark.cell.len(), MAX_NAME)?;
            if mark.view.contains('.') {
                return Err(ReadStoreError::InvalidName { what: "view of a mark", name: mark.view.clone() });
            }
        }
        Ok(())
    }
}

/// A walk through one partition in the order of its sort keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: TableId,
    /// The tenant.
    pub tenant: Arc<str>,
    /// The partition.
    pub partition: String,
    /// Start behind this sort key (exclusive), in the direction of the walk; it need not exist.
    pub after: Option<Vec<u8>>,
    /// Only sort keys that begin with these bytes.
    pub prefix: Option<Vec<u8>>,
    /// Walk from the greatest sort key down.
    pub descending: bool,
    /// Most rows to return, 1 to [`MAX_PAGE`].
    pub limit: usize,
}

impl Scan {
    /// A walk through the whole partition, ascending, `limit` rows a page.
    pub fn new(table: TableId, tenant: Arc<str>, partition: impl Into<String>, limit: usize) -> Self {
        let partition = partition.into();
        Self { table, tenant, partition, after: None, prefix: None, descending: false, limit }
    }

    /// The same walk from the greatest sort key down.
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// The same walk, starting behind `sort`.
    pub fn after(mut self, sort: impl Into<Vec<u8>>) -> Self {
        self.after = Some(sort.into());
        self
    }

    /// The same walk over the sort keys that begin with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), ReadStoreError> {
        check_place(&self.tenant, &self.partition)?;
        check_limit("scan position", self.after.as_ref().map_or(0, Vec::len), MAX_SORT)?;
        check_limit("scan prefix", self.prefix.as_ref().map_or(0, Vec::len), MAX_SORT)?;
        if self.limit == 0 {
            return Err(ReadStoreError::Limit { what: "rows of a scan (at least one)", got: 0, max: MAX_PAGE });
        }
        check_limit("rows of a scan", self.limit, MAX_PAGE)
    }
}

/// One page of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows, in the order of the walk.
    pub rows: Vec<StoredRow>,
    /// `after` of the next page; `None` when the walk is at its end.
    pub next: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_are_checked() {
        let table = TableId::try_new("contacts_v1_g0.by_created").unwrap();
        assert_eq!((table.generation(), table.as_str()), ("contacts_v1_g0", "contacts_v1_g0.by_created"));
        assert_eq!(TableId::try_new("plain").unwrap().generation(), "plain");
        for bad in ["", "Upper", "a/b", "#meta", "a-b", "a b", &"x".repeat(MAX_NAME + 1)] {
            assert!(TableId::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_time_of_a_sequence_is_below_the_next_sequence() {
        assert_eq!(last_ts(3), (3 << 8) | 255);
        assert!(last_ts(3) < 4 << 8);
        assert_eq!(last_ts(u64::MAX), u64::MAX);
    }
}
