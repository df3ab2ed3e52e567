//! A read store in memory: the shortest complete statement of the contract, and what tests of projections use.

use crate::read_store::encoding::{CELL_HEAD, Cell, RowsDigest, ScanRange, encode_key, fill_page};
use crate::read_store::ledger::{Ledger, list_marks, takes_effect};
use crate::read_store::types::{check_limit, generation_of};
use crate::read_store::{
    MAX_PAGE, Mark, Page, ReadStoreError, ReadStorePort, RowKey, RowOp, Scan, StoredRow, TableId, WriteBatch,
};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Rows in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<TableId, BTreeMap<Vec<u8>, Cell>>,
    ledger: Ledger,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every row that can be read: table, place, time, body.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<(String, Vec<u8>, u64, Vec<u8>)> {
        let row = |table: &TableId, place: &Vec<u8>, cell: &Cell| {
            Some((table.to_string(), place.clone(), cell.ts, cell.body.as_ref()?.to_vec()))
        };
        let state = self.read();
        let rows =
            state.tables.iter().flat_map(|(table, rows)| rows.iter().map(move |(place, cell)| (table, place, cell)));
        rows.filter_map(|(table, place, cell)| row(table, place, cell)).collect()
    }

    // No code panics between two changes of the state, so a poisoned lock still guards a consistent one.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&self, key: &RowKey) -> Option<StoredRow> {
        self.tables.get(&key.table)?.get(&encode_key(key))?.clone().into_row(&key.sort)
    }

    fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        let (Some(rows), Some(range)) = (self.tables.get(&scan.table), ScanRange::of(scan)) else {
            return Ok(Page::default());
        };
        let mut walk = rows.range(range.bounds);
        fill_page(scan.limit, || {
            while let Some((key, cell)) = if scan.descending { walk.next_back() } else { walk.next() } {
                if let Some(row) = cell.clone().into_row(&key[range.head..]) {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
    }

    fn write(&mut self, batch: WriteBatch) {
        for op in batch.ops {
            let (key, cell) = match op {
                RowOp::Put { key, ts, body } => (key, Cell { ts, body: Some(body) }),
                RowOp::Delete { key, ts } => (key, Cell { ts, body: None }),
            };
            let floor = self.ledger.floor_for(key.table.generation(), &batch.marks);
            let place = encode_key(&key);
            let rows = self.tables.entry(key.table).or_default();
            if takes_effect(&cell, rows.get(&place), floor) {
                rows.insert(place, cell);
            }
        }
        let advancing = self.ledger.advancing(batch.marks);
        self.ledger.marks.extend(advancing);
    }

    fn compact_tombstones(&mut self, table: &TableId) -> u64 {
        let view = table.generation();
        let Some(upto) = self.ledger.settled(view) else { return 0 };
        let floors = self.ledger.raised_floors(view, upto);
        self.ledger.floors.extend(floors);
        let Some(rows) = self.tables.get_mut(table) else { return 0 };
        let before = rows.len();
        rows.retain(|_, cell| cell.body.is_some() || cell.ts > upto);
        (before - rows.len()) as u64
    }
}

impl ReadStorePort for MemoryStore {
    async fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, ReadStoreError> {
        key.check()?;
        Ok(self.read().get(key))
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<StoredRow>>, ReadStoreError> {
        check_limit("keys of one read", keys.len(), MAX_PAGE)?;
        keys.iter().try_for_each(RowKey::check)?;
        let state = self.read();
        Ok(keys.iter().map(|key| state.get(key)).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ReadStoreError> {
        scan.check()?;
        self.read().scan(scan)
    }

    async fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        batch.check()?;
        self.change().write(batch);
        Ok(())
    }

    async fn mark(&self, view: &str, cell: &str) -> Result<Option<u64>, ReadStoreError> {
        Ok(self.read().ledger.mark(view, cell))
    }

    async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        Ok(list_marks(&self.read().ledger.marks))
    }

    async fn drop_tables(&self, generation: &str) -> Result<(), ReadStoreError> {
        let mut state = self.change();
        state.tables.retain(|table, _| generation_of(table.as_str()) != generation);
        state.ledger.forget(generation);
        Ok(())
    }

    async fn digest(&self, table: &TableId) -> Result<[u8; 32], ReadStoreError> {
        let mut digest = RowsDigest::default();
        for (key, cell) in self.read().tables.get(table).into_iter().flatten() {
            digest.add(key, cell);
        }
        Ok(digest.finish())
    }

    async fn tables(&self) -> Result<Vec<TableId>, ReadStoreError> {
        Ok(self.read().tables.keys().cloned().collect())
    }

    async fn size_bytes(&self) -> Result<u64, ReadStoreError> {
        let state = self.read();
        let size = |(key, cell): (&Vec<u8>, &Cell)| key.len() + CELL_HEAD + cell.body.as_ref().map_or(0, |b| b.len());
        Ok(state.tables.values().flatten().map(size).sum::<usize>() as u64)
    }

    async fn compact_tombstones(&self, table: &TableId) -> Result<u64, ReadStoreError> {
        Ok(self.change().compact_tombstones(table))
    }

    /// Overwritten bodies are gone at once here.
    async fn purge_deleted(&self, tables: &[TableId]) -> Result<(), ReadStoreError> {
        let mut state = self.change();
        for table in tables {
            state.compact_tombstones(table);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_store::{ReadStore, contract};

    #[tokio::test]
    async fn keeps_the_contract() {
        let make = async || ReadStore::Memory(MemoryStore::new());
        contract::run_all(make, contract::Tombstones::Compacted).await;
    }
}
