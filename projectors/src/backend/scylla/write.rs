//! Writes: the rows of a batch first, all partitions at once, then its checkpoints.
//!
//! Rows of one partition go together in unlogged batches, which cost one request and one mutation, also when they are in several
//! tables: a contact's record and the entry of its timeline have the same key. Batches over several partitions are never made. So a batch of the contract is not one step here: readers can see a part of it, and after a
//! failure a part of it may be stored. That is harmless, because every row carries its time, so the same batch again, whole
//! or in other pieces, ends in the same rows; and a checkpoint is written only after every row before it was acknowledged.

use super::{Shared, options::Moment, session::Fault, table::timestamp};
use crate::read_store::{ReadStoreError, RowOp, TableId, WriteBatch, encoding::Cell};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::batch::{Batch, BatchType},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most rows of one request.
const ROWS: usize = 50;
/// Most bytes of one request with several rows. Cassandra refuses batches beyond 50 KiB, and warns of those beyond 5.
const BYTES: usize = 32 * 1024;
/// Requests under way at once for one batch. With fewer a node waits for the next ones.
const REQUESTS: usize = 256;

/// The changes of one partition, by table and sort key.
type Changes = BTreeMap<(TableId, Vec<u8>), Cell>;
type Piece = Vec<((TableId, Vec<u8>), Cell)>;
type Place = (Arc<str>, String);

/// One change as the values of its statement.
#[derive(Debug)]
enum Values<'a> {
    Put(&'a str, &'a str, &'a [u8], &'a [u8], i64),
    Delete(i64, &'a str, &'a str, &'a [u8]),
}

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        ctx: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Put(tenant, partition, sort, body, ts) => (tenant, partition, sort, body, ts).serialize(ctx, writer),
            Self::Delete(ts, tenant, partition, sort) => (ts, tenant, partition, sort).serialize(ctx, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Shared {
    pub(super) async fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        let mut requests = Vec::new();
        for (place, changes) in by_partition(batch.ops) {
            let place = Arc::new(place);
            requests.extend(pieces(changes).into_iter().map(|piece| self.write_piece(place.clone(), piece)));
        }
        stream::iter(requests).buffer_unordered(REQUESTS).try_collect::<()>().await?;
        self.options.reached(Moment::RowsStored)?;
        self.write_marks(batch.marks).await
    }

    /// A table that another process has dropped meanwhile comes into being again, as the contract has it.
    async fn write_piece(&self, place: Arc<Place>, piece: Piece) -> Result<(), ReadStoreError> {
        match self.send(&place, &piece).await {
            Err(Fault::Gone) => {
                let again = async {
                    let tables: BTreeSet<&TableId> = piece.iter().map(|((table, _), _)| table).collect();
                    for table in tables {
                        self.create_again(table).await?;
                    }
                    self.send(&place, &piece).await
                };
                again.await.map_err(|fault| fault.into_error(&self.place))
            }
            sent => sent.map_err(|fault| fault.into_error(&self.place)),
        }
    }

    async fn send(&self, (tenant, partition): &Place, piece: &Piece) -> Result<(), Fault> {
        let failed = |error| self.fault("write rows", error);
        let (mut statements, mut values) = (Vec::with_capacity(piece.len()), Vec::with_capacity(piece.len()));
        for ((table, sort), cell) in piece {
            let table = self.table_or_create(table).await?;
            let ts = timestamp(cell.ts)?;
            match &cell.body {
                Some(body) => {
                    statements.push(table.put(self).await?.clone());
                    values.push(Values::Put(tenant, partition, sort, body, ts));
                }
                None => {
                    statements.push(table.delete(self).await?.clone());
                    values.push(Values::Delete(ts, tenant, partition, sort));
                }
            }
        }
        if let ([statement], [single]) = (&statements[..], &values[..]) {
            self.session.execute_unpaged(statement, single).await.map_err(failed)?;
            return Ok(());
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        statements.into_iter().for_each(|statement| batch.append_statement(statement));
        batch.set_is_idempotent(true);
        self.session.batch(&batch, &values).await.map_err(failed)?;
        Ok(())
    }
}

/// The one change of each row that wins, by partition.
fn by_partition(ops: Vec<RowOp>) -> BTreeMap<Place, Changes> {
    let mut places: BTreeMap<Place, Changes> = BTreeMap::new();
    for op in ops {
        let (key, cell) = match op {
            RowOp::Put { key, ts, body } => (key, Cell { ts, body: Some(body) }),
            RowOp::Delete { key, ts } => (key, Cell { ts, body: None }),
        };
        let changes = places.entry((key.tenant, key.partition)).or_default();
        let row = (key.table, key.sort);
        match changes.get_mut(&row) {
            Some(known) if cell.wins_over(known) => *known = cell,
            Some(_) => {}
            None => drop(changes.insert(row, cell)),
        }
    }
    places
}

/// Cut so that a request stays within its limits; a large row goes alone.
fn pieces(changes: Changes) -> Vec<Piece> {
    let mut out = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for (row, cell) in changes {
        let size = row.1.len() + cell.body.as_ref().map_or(0, |body| body.len());
        if !piece.is_empty() && (piece.len() == ROWS || bytes + size > BYTES) {
            out.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += size;
        piece.push((row, cell));
    }
    if !piece.is_empty() {
        out.push(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_store::RowKey;
    use bytes::Bytes;

    fn put(partition: &str, sort: u16, ts: u64, size: usize) -> RowOp {
        put_into("t_v1_g0.x", partition, sort, ts, size)
    }

    fn put_into(table: &str, partition: &str, sort: u16, ts: u64, size: usize) -> RowOp {
        let table = TableId::try_new(table).unwrap();
        let key =
            RowKey { table, tenant: "acme".into(), partition: partition.into(), sort: sort.to_be_bytes().to_vec() };
        RowOp::Put { key, ts, body: Bytes::from(vec![7; size]) }
    }

    #[test]
    fn a_request_has_one_partition_and_stays_within_its_limits() {
        let ops = (0..120).map(|n| put("a", n, 1, 10)).chain([put("b", 1, 1, 90_000), put("b", 2, 1, 10)]).collect();
        let places = by_partition(ops);
        let sizes: Vec<Vec<usize>> =
            places.into_values().map(|changes| pieces(changes).iter().map(Vec::len).collect()).collect();
        assert_eq!(sizes, [vec![50, 50, 20], vec![1, 1]]);
    }

    #[test]
    fn rows_of_one_partition_go_together_from_all_tables() {
        let tables = ["t_v1_g0.x", "u_v1_g0.y"];
        let places = by_partition(tables.iter().map(|table| put_into(table, "a", 1, 1, 10)).collect());
        let pieces: Vec<Piece> = places.into_values().flat_map(pieces).collect();
        let names: Vec<Vec<&str>> =
            pieces.iter().map(|piece| piece.iter().map(|((table, _), _)| table.as_str()).collect()).collect();
        assert_eq!(names, [tables]);
    }

    #[test]
    fn of_several_changes_of_a_row_one_is_sent() {
        let places = by_partition(vec![put("a", 1, 3, 1), put("a", 1, 9, 2), put("a", 1, 5, 3)]);
        let changes = places.values().next().unwrap();
        assert_eq!(changes.values().map(|cell| cell.ts).collect::<Vec<_>>(), [9]);
    }
}
