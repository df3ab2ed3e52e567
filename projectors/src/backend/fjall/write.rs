//! Writing: one batch is one entry of the journal.

use super::Shared;
use super::meta::{floor_key, high_key, mark_key};
use super::open::keyspace_options;
use crate::read_store::encoding::{Cell, encode_key};
use crate::read_store::ledger::takes_effect;
use crate::read_store::{ReadStoreError, RowOp, TableId, WriteBatch};
use ::fjall::{AbstractTree, Keyspace};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// How many tombstones are removed while writers wait.
const PURGE_STEP: usize = 2_000;

struct Change {
    table: TableId,
    place: Vec<u8>,
    tenant: Arc<str>,
    cell: Cell,
}

/// The one change of each row that wins, ordered by table and place.
fn winners(ops: Vec<RowOp>) -> Vec<Change> {
    let change = |op| {
        let (key, cell) = match op {
            RowOp::Put { key, ts, body } => (key, Cell { ts, body: Some(body) }),
            RowOp::Delete { key, ts } => (key, Cell { ts, body: None }),
        };
        Change { place: encode_key(&key), table: key.table, tenant: key.tenant, cell }
    };
    let mut changes: Vec<Change> = ops.into_iter().map(change).collect();
    changes.sort_by(|a, b| (&a.table, &a.place).cmp(&(&b.table, &b.place)));
    changes.dedup_by(|next, kept| {
        let same = next.place == kept.place && next.table == kept.table;
        if same && next.cell.wins_over(&kept.cell) {
            std::mem::swap(next, kept);
        }
        same
    });
    changes
}

impl Shared {
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), ReadStoreError> {
        let failed = |error| self.fault("write a batch", error);
        let changes = winners(batch.ops);
        let mut ledger = self.ledger();
        let mut out = self.db.batch();
        let mut bytes = 0u64;
        // Greatest time written to each table, and the tenants it was written for.
        let mut written: BTreeMap<&TableId, u64> = BTreeMap::new();
        let mut highs: Vec<(&TableId, &str, u64)> = Vec::with_capacity(changes.len());
        let mut current: Option<(&TableId, Keyspace, Option<u64>)> = None;
        for Change { table, place, tenant, cell } in &changes {
            let (handle, floor) = match &mut current {
                Some((of, handle, floor)) if *of == table => (handle, floor),
                slot => {
                    let floor = ledger.floor_for(table.generation(), &batch.marks);
                    let (_, handle, floor) = slot.insert((table, self.table_or_create(table)?, floor));
                    (handle, floor)
                }
            };
            if cell.ts <= ledger.high(table.as_str(), tenant) {
                let old = handle.get(place).map_err(failed)?;
                let old = old.map(|bytes| Cell::decode(table.as_str(), &bytes)).transpose()?;
                if !takes_effect(cell, old.as_ref(), *floor) {
                    continue;
                }
            } else {
                highs.push((table, tenant, cell.ts));
                let high = written.entry(table).or_default();
                *high = (*high).max(cell.ts);
            }
            let value = cell.encode();
            bytes += (place.len() + value.len()) as u64;
            out.insert(handle, place.as_slice(), value);
        }

        // A table whose rows are newer than its checkpoints will say keeps its greatest time itself.
        let advancing = ledger.advancing(batch.marks);
        for (table, high) in written {
            let high = high.max(ledger.greatest(table.as_str()));
            if high > ledger.promised(table.generation(), &advancing) {
                out.insert(&self.meta, high_key(table.as_str()), high.to_be_bytes());
            }
        }
        for (lane, seq) in &advancing {
            out.insert(&self.meta, mark_key(lane), seq.to_be_bytes());
        }
        if out.is_empty() {
            return Ok(());
        }
        out.commit().map_err(failed)?;

        for (table, tenant, ts) in highs {
            ledger.raise_high(table.as_str(), tenant, ts);
        }
        if !advancing.is_empty() {
            self.published.write().unwrap_or_else(PoisonError::into_inner).extend(advancing.clone());
            ledger.marks.extend(advancing);
        }
        drop(ledger);
        self.bound_write_buffers(bytes)
    }

    /// Only called with the ledger locked, so no table is created twice or while it is dropped.
    fn table_or_create(&self, table: &TableId) -> Result<Keyspace, ReadStoreError> {
        if let Some(handle) = self.table(table) {
            return Ok(handle);
        }
        let created = self.db.keyspace(table.as_str(), || keyspace_options(self.options));
        let handle = created.map_err(|error| self.fault("create a table", error))?;
        self.tables.write().unwrap_or_else(PoisonError::into_inner).insert(table.clone(), handle.clone());
        Ok(handle)
    }

    /// Flushes the largest write buffers while all of them together exceed their share. The engine bounds each one only,
    /// and many tables multiply that. Measured now and then, since measuring visits every table.
    fn bound_write_buffers(&self, bytes: u64) -> Result<(), ReadStoreError> {
        let limit = self.options.memtable_bytes;
        if self.unmeasured.fetch_add(bytes, Ordering::Relaxed) + bytes < limit / 8 {
            return Ok(());
        }
        self.unmeasured.store(0, Ordering::Relaxed);
        let mut sizes: Vec<(u64, Keyspace)> =
            self.tables().values().map(|table| (table.tree.active_memtable().size(), table.clone())).collect();
        let mut total: u64 = sizes.iter().map(|(size, _)| size).sum();
        sizes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (size, table) in sizes {
            if total <= limit {
                break;
            }
            table.rotate_memtable().map_err(|error| self.fault("flush a table", error))?;
            total -= size;
        }
        Ok(())
    }

    pub(super) fn compact_tombstones(&self, table: &TableId) -> Result<u64, ReadStoreError> {
        let failed = |error| self.fault("compact tombstones", error);
        let Some(handle) = self.table(table) else { return Ok(0) };
        let upto = {
            // Floors first: from here on no repetition can bring back what is removed below.
            let mut ledger = self.ledger();
            let Some(upto) = ledger.settled(table.generation()) else { return Ok(0) };
            let floors = ledger.raised_floors(table.generation(), upto);
            let mut out = self.db.batch();
            for (lane, floor) in &floors {
                out.insert(&self.meta, floor_key(lane), floor.to_be_bytes());
            }
            out.commit().map_err(failed)?;
            ledger.floors.extend(floors);
            upto
        };
        let settled = |bytes: &[u8]| -> Result<bool, ReadStoreError> {
            let cell = Cell::decode(table.as_str(), bytes)?;
            Ok(cell.body.is_none() && cell.ts <= upto)
        };
        let mut removed = 0;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut found = Vec::new();
            let mut visited = 0;
            let from = last.take().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            for item in handle.range::<Vec<u8>, _>((from, std::ops::Bound::Unbounded)) {
                let (key, value) = item.into_inner().map_err(failed)?;
                visited += 1;
                if settled(&value)? {
                    found.push(key.clone());
                }
                if found.len() == PURGE_STEP || visited == 50 * PURGE_STEP {
                    last = Some(key.to_vec());
                    break;
                }
            }
            // A tombstone may have been replaced since it was seen.
            let _writers_wait = self.ledger();
            let mut out = self.db.batch();
            for key in found {
                if handle.get(&key).map_err(failed)?.map_or(Ok(false), |value| settled(&value))? {
                    out.remove(&handle, key);
                    removed += 1;
                }
            }
            out.commit().map_err(failed)?;
            if last.is_none() {
                return Ok(removed);
            }
        }
    }
}
