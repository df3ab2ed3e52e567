//! Many rows by key at once, in few requests.
//!
//! Keys that differ in their partition only, such as the records of a list, are asked for together (`partition IN ?`): one request to
//! read, to route and to answer instead of fifty. The node that is asked reads each partition at the nodes that have it, all at
//! once, and answers when the last one is there. So a request carries a bounded number of partitions; a node that has to hold the
//! answers of thousands is one that all others wait for.

use super::{Shared, read::stored, session::Fault, table::Table};
use crate::read_store::{ReadStoreError, RowKey, StoredRow, TableId};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Most partitions of one request: a page of a list. ScyllaDB refuses more than 100 (`max_partition_key_restrictions_per_query`).
const PARTITIONS: usize = 50;
/// So few are asked for one by one, each of a node that has it.
const FEW: usize = 3;
/// Requests for several partitions that are under way at once for one caller.
const TOGETHER: usize = 16;
/// Requests for a single one.
const ALONE: usize = 64;

/// What is asked for in one request: distinct keys of one table, tenant and sort key.
type Ask<'a> = Vec<&'a RowKey>;
type Tables<'a> = HashMap<&'a TableId, Option<Arc<Table>>>;

impl Shared {
    pub(super) async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        let mut tables = Tables::new();
        for RowKey { table, .. } in keys {
            if !tables.contains_key(table) {
                tables.insert(table, self.table(table).await?);
            }
        }
        let (alone, together): (Vec<Ask>, Vec<Ask>) = asks(keys).into_iter().partition(|ask| ask.len() == 1);
        let (alone, together) =
            tokio::try_join!(self.ask_all(&tables, alone, ALONE), self.ask_all(&tables, together, TOGETHER))?;
        let found: HashMap<&RowKey, StoredRow> = alone.into_iter().chain(together).flatten().collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn ask_all<'a>(
        &self,
        tables: &Tables<'a>,
        asks: Vec<Ask<'a>>,
        at_once: usize,
    ) -> Result<Vec<Vec<(&'a RowKey, StoredRow)>>, ReadStoreError> {
        let reads: Vec<_> = asks.into_iter().map(|ask| self.ask(tables, ask)).collect();
        stream::iter(reads).buffer_unordered(at_once).try_collect().await
    }

    async fn ask<'a>(&self, tables: &Tables<'a>, ask: Ask<'a>) -> Result<Vec<(&'a RowKey, StoredRow)>, ReadStoreError> {
        let Some(first) = ask.first().copied() else { return Ok(Vec::new()) };
        let Some(table) = tables.get(&first.table).cloned().flatten() else { return Ok(Vec::new()) };
        if ask.len() == 1 {
            return Ok(self.get_in(Some(table), first).await?.map(|row| (first, row)).into_iter().collect());
        }
        self.or_gone(&first.table, self.among(&table, first, &ask).await)
    }

    async fn among<'a>(
        &self,
        table: &Table,
        first: &RowKey,
        ask: &[&'a RowKey],
    ) -> Result<Vec<(&'a RowKey, StoredRow)>, Fault> {
        let by_partition: HashMap<&str, &'a RowKey> = ask.iter().map(|key| (key.partition.as_str(), *key)).collect();
        let partitions: Vec<&str> = ask.iter().map(|key| key.partition.as_str()).collect();
        let among = table.among(self).await?;
        // In one answer: servers read the partitions of an answer in pages one after another.
        let found = self.session.execute_unpaged(among, (&*first.tenant, partitions, &first.sort)).await;
        let found = found.map_err(|error| self.fault("read rows", error))?;
        let found = found.into_rows_result().map_err(|error| self.fault("read rows", error))?;
        let rows =
            found.rows::<(&str, Option<Bytes>, Option<i64>)>().map_err(|error| self.fault("read rows", error))?;
        let mut out = Vec::with_capacity(ask.len());
        for row in rows {
            let (partition, body, ts) = row.map_err(|error| self.fault("read rows", error))?;
            let key = by_partition.get(partition).copied();
            out.extend(key.and_then(|key| Some((key, stored(key.sort.clone(), body, ts)?))));
        }
        Ok(out)
    }
}

/// Each key once, those that can be asked for together in one.
fn asks(keys: &[RowKey]) -> Vec<Ask<'_>> {
    let mut known = HashSet::with_capacity(keys.len());
    let mut alike: HashMap<(&TableId, &str, &[u8]), Ask<'_>> = HashMap::new();
    for key in keys.iter().filter(|key| known.insert(*key)) {
        alike.entry((&key.table, &*key.tenant, &key.sort)).or_default().push(key);
    }
    alike.into_values().flat_map(cut).collect()
}

fn cut(keys: Ask<'_>) -> Vec<Ask<'_>> {
    let size = if keys.len() <= FEW { 1 } else { PARTITIONS };
    keys.chunks(size).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: &str, tenant: &str, partition: usize, sort: &str) -> RowKey {
        let table = TableId::try_new(table).unwrap();
        RowKey { table, tenant: tenant.into(), partition: partition.to_string(), sort: sort.as_bytes().to_vec() }
    }

    /// How many keys each request has, and that it differs in nothing but partitions.
    fn sizes(keys: &[RowKey]) -> Vec<usize> {
        let asks = asks(keys);
        for ask in &asks {
            let partitions: HashSet<&str> = ask.iter().map(|key| key.partition.as_str()).collect();
            assert_eq!(partitions.len(), ask.len(), "a partition is asked for twice");
            let alike =
                |key: &&RowKey| (&key.table, &key.tenant, &key.sort) == (&ask[0].table, &ask[0].tenant, &ask[0].sort);
            assert!(ask.iter().all(alike), "{ask:?}");
        }
        let mut sizes: Vec<usize> = asks.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn a_page_of_records_is_one_request() {
        let keys: Vec<RowKey> = (0..50).map(|n| key("v_v1_g0.records", "acme", n, "")).collect();
        assert_eq!(sizes(&keys), [50]);
        let twice = [keys.clone(), keys].concat();
        assert_eq!(sizes(&twice), [50], "a key that repeats is asked for once");
    }

    #[test]
    fn many_are_cut_and_few_go_alone() {
        let keys = |count: usize| (0..count).map(|n| key("v_v1_g0.records", "acme", n, "")).collect::<Vec<_>>();
        assert_eq!(sizes(&keys(120)), [20, 50, 50]);
        assert_eq!(sizes(&keys(3)), [1, 1, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }

    #[test]
    fn tables_tenants_and_sort_keys_stay_apart() {
        let mut keys = Vec::new();
        for (table, tenant, sort) in [("a", "acme", ""), ("b", "acme", ""), ("a", "other", ""), ("a", "acme", "x")] {
            keys.extend((0..10).map(|n| key(table, tenant, n, sort)));
        }
        assert_eq!(sizes(&keys), [10; 4]);
        let walk: Vec<RowKey> = (0..5).map(|n| key("a", "acme", 0, &n.to_string())).collect();
        assert_eq!(sizes(&walk), [1; 5], "rows of one partition");
    }
}
