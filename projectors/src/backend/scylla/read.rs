//! Reads: single rows by key, and walks through a partition.

use super::{Shared, session::Fault, table::Table};
use crate::read_store::{
    Page, ReadStoreError, RowKey, Scan, StoredRow,
    encoding::{ScanRange, fill_page},
};
use bytes::Bytes;
use futures::TryStreamExt;
use std::{ops::Bound, sync::Arc};

/// Rows the server sends at once; the driver asks for the next ones while a walk goes on.
pub(super) const PAGE: i32 = 500;

impl Shared {
    pub(super) async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        self.get_in(self.table(&key.table).await?, key).await
    }

    pub(super) async fn get_in(
        &self,
        table: Option<Arc<Table>>,
        key: &RowKey,
    ) -> Result<Option<StoredRow>, ReadStoreError> {
        let Some(table) = table else { return Ok(None) };
        let read = self.get_from(&table, key).await;
        self.or_gone(&key.table, read)
    }

    pub(super) async fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        let (Some(table), Some((from, before))) = (self.table(&scan.table).await?, bounds(scan)) else {
            return Ok(Page::default());
        };
        let walk = self.walk(&table, scan, &from, before.as_deref()).await;
        self.or_gone(&scan.table, walk)
    }

    async fn get_from(&self, table: &Table, key: &RowKey) -> Result<Option<StoredRow>, Fault> {
        let get = table.get(self).await?;
        let values = (&*key.tenant, &key.partition, &key.sort);
        let found = self.session.execute_unpaged(get, values).await.map_err(|error| self.fault("read a row", error))?;
        let rows = found.into_rows_result().map_err(|error| self.fault("read a row", error))?;
        let row =
            rows.maybe_first_row::<(Option<Bytes>, Option<i64>)>().map_err(|error| self.fault("read a row", error))?;
        Ok(row.and_then(|(body, ts)| stored(key.sort.clone(), body, ts)))
    }

    async fn walk(&self, table: &Table, scan: &Scan, from: &[u8], before: Option<&[u8]>) -> Result<Page, Fault> {
        let limit = i32::try_from(scan.limit + 1).unwrap_or(i32::MAX);
        let place = (&*scan.tenant, &*scan.partition);
        let mut rows = self.rows(table, place, from, before, scan.descending, limit).await?.into_iter();
        Ok(fill_page(scan.limit, || Ok(rows.next()))?)
    }

    /// The rows of a partition from a sort key on, up to another one.
    pub(super) async fn rows(
        &self,
        table: &Table,
        (tenant, partition): (&str, &str),
        from: &[u8],
        before: Option<&[u8]>,
        descending: bool,
        limit: i32,
    ) -> Result<Vec<StoredRow>, Fault> {
        let statement = table.scan(self, before.is_some(), descending).await?.clone();
        let found = match before {
            Some(before) => self.session.execute_iter(statement, (tenant, partition, from, before, limit)).await,
            None => self.session.execute_iter(statement, (tenant, partition, from, limit)).await,
        };
        let found = found.map_err(|error| self.fault("scan rows", error))?;
        let mut rows = found
            .rows_stream::<(Vec<u8>, Option<Bytes>, Option<i64>)>()
            .map_err(|error| self.fault("scan rows", error))?;
        let mut out = Vec::new();
        while let Some((sort, body, ts)) = rows.try_next().await.map_err(|error| self.fault("scan rows", error))? {
            out.extend(stored(sort, body, ts));
        }
        Ok(out)
    }
}

/// A row without a body is one that was never put; the servers show none, as a put always has one.
pub(super) fn stored(sort: Vec<u8>, body: Option<Bytes>, ts: Option<i64>) -> Option<StoredRow> {
    Some(StoredRow { sort, ts: u64::try_from(ts?).ok()?, body: body? })
}

/// The first sort key of a walk, and the one before which it ends; `None` when nothing can be in it.
fn bounds(scan: &Scan) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let ScanRange { bounds: (low, high), head } = ScanRange::of(scan)?;
    let place = match &low {
        Bound::Included(low) | Bound::Excluded(low) => low.get(..head).unwrap_or_default().to_vec(),
        Bound::Unbounded => Vec::new(),
    };
    let sort = |key: &[u8]| key.strip_prefix(&place[..]).map(<[u8]>::to_vec);
    let from = match &low {
        Bound::Included(low) => sort(low)?,
        // The very next byte string.
        Bound::Excluded(low) => [sort(low)?, vec![0]].concat(),
        Bound::Unbounded => Vec::new(),
    };
    let before = match &high {
        Bound::Excluded(high) | Bound::Included(high) => sort(high),
        Bound::Unbounded => None,
    };
    Some((from, before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_store::TableId;

    #[test]
    fn a_walk_is_between_two_sort_keys() {
        let scan = || Scan::new(TableId::try_new("t").unwrap(), "acme".into(), "p", 10);
        assert_eq!(bounds(&scan()), Some((vec![], None)));
        assert_eq!(bounds(&scan().after("b")), Some((b"b\0".to_vec(), None)));
        assert_eq!(bounds(&scan().prefix("ab")), Some((b"ab".to_vec(), Some(b"ac".to_vec()))));
        assert_eq!(bounds(&scan().prefix(vec![0xff])), Some((vec![0xff], None)));
        assert_eq!(bounds(&scan().prefix("ab").after("abc")), Some((b"abc\0".to_vec(), Some(b"ac".to_vec()))));
        assert_eq!(bounds(&scan().after("b").descending()), Some((vec![], Some(b"b".to_vec()))));
        assert_eq!(bounds(&scan().prefix("a").after("c")), None);
    }
}
