//! The `#meta` keyspace: what is known of the tables beside their rows.
//!
//! | key                  | value                                                                          |
//! |----------------------|--------------------------------------------------------------------------------|
//! | `v`                  | format of this store, one byte                                                 |
//! | `m` view `00` cell   | checkpoint, sequence as 8 bytes                                                 |
//! | `f` view `00` cell   | floor of purged tombstones, time as 8 bytes                                    |
//! | `h` table            | greatest time in the table, 8 bytes; only kept where the checkpoints do not say |
//! | `d` generation       | empty; its tables are being dropped                                            |

use super::Shared;
use crate::read_store::ledger::{Lane, Ledger};
use crate::read_store::types::generation_of;
use crate::read_store::{ReadStoreError, TableId};
use ::fjall::{Keyspace, OwnedWriteBatch};
use std::collections::BTreeMap;

/// Format of what this module and `encoding` write. Raise it when older programs must not touch the data any more.
pub(super) const FORMAT: u8 = 1;

pub(super) fn mark_key(lane: &Lane) -> Vec<u8> {
    lane_key(b'm', lane)
}

pub(super) fn floor_key(lane: &Lane) -> Vec<u8> {
    lane_key(b'f', lane)
}

pub(super) fn high_key(table: &str) -> Vec<u8> {
    [b"h", table.as_bytes()].concat()
}

fn drop_key(generation: &str) -> Vec<u8> {
    [b"d", generation.as_bytes()].concat()
}

fn lane_key(kind: u8, (view, cell): &Lane) -> Vec<u8> {
    [&[kind], view.as_bytes(), &[0], cell.as_bytes()].concat()
}

/// Everything in `#meta`.
#[derive(Default)]
pub(super) struct Meta {
    pub(super) format: Option<u8>,
    pub(super) marks: BTreeMap<Lane, u64>,
    pub(super) floors: BTreeMap<Lane, u64>,
    pub(super) highs: BTreeMap<String, u64>,
    pub(super) drops: Vec<String>,
}

impl Meta {
    pub(super) fn read(meta: &Keyspace, place: &str) -> Result<Self, ReadStoreError> {
        let mut out = Self::default();
        for item in meta.iter() {
            let (key, value) =
                item.into_inner().map_err(|error| super::open::fault(place, "read checkpoints", error))?;
            out.add(&key, &value).ok_or_else(|| ReadStoreError::corrupt(place, "a checkpoint entry is malformed"))?;
        }
        Ok(out)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (kind, rest) = key.split_first()?;
        let rest = std::str::from_utf8(rest).ok()?;
        let number = || Some(u64::from_be_bytes(value.try_into().ok()?));
        let lane = || rest.split_once('\0').map(|(view, cell)| (view.to_owned(), cell.to_owned()));
        match kind {
            b'v' => self.format = Some(*value.first()?),
            b'm' => drop(self.marks.insert(lane()?, number()?)),
            b'f' => drop(self.floors.insert(lane()?, number()?)),
            b'h' => drop(self.highs.insert(rest.to_owned(), number()?)),
            b'd' => self.drops.push(rest.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

/// Removes what is known of a generation and remembers that its tables go.
pub(super) fn intent_to_drop(batch: &mut OwnedWriteBatch, meta: &Keyspace, known: &Meta, generation: &str) {
    batch.insert(meta, drop_key(generation), []);
    let lanes = |map: &BTreeMap<Lane, u64>, key: fn(&Lane) -> Vec<u8>| -> Vec<Vec<u8>> {
        map.keys().filter(|(view, _)| view == generation).map(key).collect()
    };
    for key in lanes(&known.marks, mark_key).into_iter().chain(lanes(&known.floors, floor_key)) {
        batch.remove(meta, key);
    }
    for table in known.highs.keys().filter(|table| generation_of(table) == generation) {
        batch.remove(meta, high_key(table));
    }
}

impl Shared {
    pub(super) fn write_intent_to_drop(
        &self,
        ledger: &Ledger,
        generation: &str,
        tables: &[TableId],
    ) -> Result<(), ReadStoreError> {
        let known = Meta {
            marks: ledger.marks.clone(),
            floors: ledger.floors.clone(),
            highs: tables.iter().map(|table| (table.as_str().to_owned(), 0)).collect(),
            ..Meta::default()
        };
        let mut batch = self.db.batch();
        intent_to_drop(&mut batch, &self.meta, &known, generation);
        batch.commit().map_err(|error| self.fault("drop tables", error))
    }

    pub(super) fn clear_intent_to_drop(&self, generation: &str) -> Result<(), ReadStoreError> {
        self.meta.remove(drop_key(generation)).map_err(|error| self.fault("drop tables", error))
    }
}
