//! A digest over a table, in the order of places that every backend has.
//!
//! Servers keep partitions in the order of their hashes. So all partitions are listed first and put in order, then read one
//! after another, a few ahead; of the rows only those of the partitions under way are in memory.

use super::{Shared, session::Fault, table::Table};
use crate::read_store::{
    ReadStoreError, RowKey, StoredRow, TableId,
    encoding::{Cell, RowsDigest, encode_key},
};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// Partitions read at once.
const AHEAD: usize = 32;

impl Shared {
    pub(super) async fn digest(&self, id: &TableId) -> Result<[u8; 32], ReadStoreError> {
        let Some(table) = self.table(id).await? else { return Ok(RowsDigest::default().finish()) };
        match self.digest_of(id, &table).await {
            Ok(digest) => Ok(digest),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Gone) => {
                self.forget(id);
                Ok(RowsDigest::default().finish())
            }
        }
    }

    async fn digest_of(&self, id: &TableId, table: &Arc<Table>) -> Result<[u8; 32], Fault> {
        let failed = |error| self.fault("list the partitions of a table", error);
        let statement = table.partitions(self).await?.clone();
        let found = self.session.execute_iter(statement, ()).await;
        let found = found.map_err(|error| self.fault("list the partitions of a table", error))?;
        let names = found
            .rows_stream::<(String, String)>()
            .map_err(|error| self.fault("list the partitions of a table", error))?;
        let names: Vec<(String, String)> = names.try_collect().await.map_err(failed)?;
        let mut places: Vec<RowKey> = names
            .into_iter()
            .map(|(tenant, partition)| RowKey { table: id.clone(), tenant: tenant.into(), partition, sort: Vec::new() })
            .collect();
        places.sort_by_cached_key(encode_key);
        let reads = places.into_iter().map(async |place| {
            let rows = self.partition(table, &place).await?;
            Ok::<_, Fault>((place, rows))
        });
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(AHEAD));
        let mut digest = RowsDigest::default();
        while let Some((mut place, rows)) = reads.try_next().await? {
            for row in rows {
                place.sort = row.sort;
                digest.add(&encode_key(&place), &Cell { ts: row.ts, body: Some(row.body) });
            }
        }
        Ok(digest.finish())
    }

    async fn partition(&self, table: &Table, place: &RowKey) -> Result<Vec<StoredRow>, Fault> {
        self.rows(table, (&place.tenant, &place.partition), &[], None, false, i32::MAX).await
    }
}
