//! What a store knows about its tables beside the rows: checkpoints, purge floors and high-water times.
//!
//! Both ordered backends keep a [`Ledger`] in memory behind their write lock, so a checkpoint is read without touching
//! the disk. fjall also persists it in the same batches as the rows.

use super::encoding::Cell;
use super::types::{Mark, last_ts};
use std::collections::{BTreeMap, HashMap};

/// `(view, cell)`.
pub(crate) type Lane = (String, String);

/// Tenants of several cells share a table while the sequences of the cells are unrelated. High-water times are kept
/// for this many groups of tenants, so that the cell with the lower sequences usually still writes without reading.
const GROUPS: usize = 64;

/// Checkpoints, floors and high-water times of one store.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) marks: BTreeMap<Lane, u64>,
    /// Up to this time the tombstones of the lane may have been purged: an older operation of the lane on an absent row
    /// is a repetition of something already answered by a purged delete.
    pub(crate) floors: BTreeMap<Lane, u64>,
    highs: HashMap<String, [u64; GROUPS]>,
}

impl Ledger {
    /// A ledger with what was kept of an earlier one.
    pub(crate) fn new(marks: BTreeMap<Lane, u64>, floors: BTreeMap<Lane, u64>) -> Self {
        Self { marks, floors, highs: HashMap::new() }
    }

    /// The checkpoint of one lane.
    pub(crate) fn mark(&self, view: &str, cell: &str) -> Option<u64> {
        self.marks.get(&(view.to_owned(), cell.to_owned())).copied()
    }

    /// The lanes that have a checkpoint for a view.
    pub(crate) fn lanes(&self, view: &str) -> impl Iterator<Item = &Lane> {
        lanes_of(&self.marks, view).map(|(lane, _)| lane)
    }

    /// Those of `marks` that would move a checkpoint forward.
    pub(crate) fn advancing(&self, marks: Vec<Mark>) -> BTreeMap<Lane, u64> {
        let mut out = BTreeMap::new();
        for mark in marks {
            let lane = (mark.view, mark.cell);
            let known = out.get(&lane).or_else(|| self.marks.get(&lane)).copied();
            if known.is_none_or(|seq| seq < mark.seq) {
                out.insert(lane, mark.seq);
            }
        }
        out
    }

    /// The greatest time that the checkpoints of a view, together with `advancing`, promise not to be exceeded by the
    /// rows of lanes; 0 without a checkpoint.
    pub(crate) fn promised(&self, view: &str, advancing: &BTreeMap<Lane, u64>) -> u64 {
        let of =
            |marks: &BTreeMap<Lane, u64>| lanes_of(marks, view).map(|(_, seq)| last_ts(*seq)).max().unwrap_or_default();
        of(&self.marks).max(of(advancing))
    }

    /// The time up to which every cell that feeds `view` has been applied: tombstones at or below it can go.
    /// `None` without a checkpoint.
    pub(crate) fn settled(&self, view: &str) -> Option<u64> {
        lanes_of(&self.marks, view).map(|(_, seq)| last_ts(*seq)).min()
    }

    /// The floors of `view` raised to `upto`, one for each of its lanes.
    pub(crate) fn raised_floors(&self, view: &str, upto: u64) -> BTreeMap<Lane, u64> {
        let raise = |lane: &Lane| (lane.clone(), self.floors.get(lane).copied().unwrap_or_default().max(upto));
        lanes_of(&self.marks, view).map(|(lane, _)| raise(lane)).collect()
    }

    /// The floor for operations on `view` in a batch that carries `marks`: a batch speaks for the lanes it marks.
    /// With several lanes the lowest floor holds, and one lane without a floor (`None`) lifts it.
    pub(crate) fn floor_for(&self, view: &str, marks: &[Mark]) -> Option<u64> {
        let floor = |mark: &Mark| self.floors.get(&(mark.view.clone(), mark.cell.clone())).copied();
        marks.iter().filter(|mark| mark.view == view).map(floor).min().flatten()
    }

    /// No row of this table and tenant has a greater time.
    pub(crate) fn high(&self, table: &str, tenant: &str) -> u64 {
        self.highs.get(table).map_or(0, |groups| groups[group(tenant)])
    }

    /// No row of this table has a greater time, whatever its tenant.
    pub(crate) fn greatest(&self, table: &str) -> u64 {
        self.highs.get(table).and_then(|groups| groups.iter().max()).copied().unwrap_or_default()
    }

    /// Records a written time.
    pub(crate) fn raise_high(&mut self, table: &str, tenant: &str, ts: u64) {
        if !self.highs.contains_key(table) {
            self.highs.insert(table.to_owned(), [0; GROUPS]);
        }
        if let Some(groups) = self.highs.get_mut(table) {
            let high = &mut groups[group(tenant)];
            *high = (*high).max(ts);
        }
    }

    /// Sets what is known of a table at opening, for all its tenants.
    pub(crate) fn restore_high(&mut self, table: &str, ts: u64) {
        self.highs.insert(table.to_owned(), [ts; GROUPS]);
    }

    /// Forgets a generation.
    pub(crate) fn forget(&mut self, generation: &str) {
        self.marks.retain(|(view, _), _| view != generation);
        self.floors.retain(|(view, _), _| view != generation);
        self.highs.retain(|table, _| super::types::generation_of(table) != generation);
    }
}

/// Whether `new` takes effect where `old` is stored, or where nothing is stored and `floor` guards purged deletes.
pub(crate) fn takes_effect(new: &Cell, old: Option<&Cell>, floor: Option<u64>) -> bool {
    match old {
        Some(old) => new.wins_over(old),
        None => floor.is_none_or(|floor| new.ts > floor),
    }
}

/// The checkpoints as they are shown, ordered by view and cell.
pub(crate) fn list_marks(marks: &BTreeMap<Lane, u64>) -> Vec<Mark> {
    let mark = |((view, cell), seq): (&Lane, &u64)| Mark { view: view.clone(), cell: cell.clone(), seq: *seq };
    marks.iter().map(mark).collect()
}

fn lanes_of<'a>(marks: &'a BTreeMap<Lane, u64>, view: &str) -> impl Iterator<Item = (&'a Lane, &'a u64)> {
    marks.range((view.to_owned(), String::new())..).take_while({
        let view = view.to_owned();
        move |((of, _), _)| *of == view
    })
}

/// FNV-1a of the tenant; stable, cheap and without a secret, since a collision only costs a read.
fn group(tenant: &str) -> usize {
    let hash = tenant
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash % GROUPS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(view: &str, cell: &str, seq: u64) -> Mark {
        Mark { view: view.into(), cell: cell.into(), seq }
    }

    #[test]
    fn marks_only_advance() {
        let mut ledger = Ledger::default();
        let first = ledger.advancing(vec![mark("v", "eu1", 5), mark("v", "eu1", 3), mark("v", "us1", 0)]);
        assert_eq!(first.len(), 2);
        ledger.marks.extend(first);
        assert_eq!(ledger.mark("v", "eu1"), Some(5));
        assert_eq!(ledger.mark("v", "us1"), Some(0));
        assert!(ledger.advancing(vec![mark("v", "eu1", 5), mark("v", "eu1", 4)]).is_empty());
    }

    #[test]
    fn a_view_is_settled_up_to_its_slowest_cell_only() {
        let mut ledger = Ledger::default();
        let marks = ledger.advancing(vec![mark("v", "eu1", 5), mark("v", "us1", 2), mark("v1", "eu1", 1)]);
        ledger.marks.extend(marks);
        assert_eq!(ledger.settled("v"), Some(last_ts(2)));
        assert_eq!(ledger.promised("v", &BTreeMap::new()), last_ts(5));
        assert_eq!(ledger.settled("other"), None);
        let floors = ledger.raised_floors("v", last_ts(2));
        ledger.floors.extend(floors);
        assert_eq!(ledger.floor_for("v", &[mark("v", "eu1", 9)]), Some(last_ts(2)));
        assert_eq!(ledger.floor_for("v", &[mark("v", "new1", 9)]), None);
        assert_eq!(ledger.floor_for("v", &[mark("v", "eu1", 9), mark("v", "new1", 9)]), None);
        assert_eq!(ledger.floor_for("v", &[]), None);
        ledger.forget("v");
        assert_eq!(list_marks(&ledger.marks), vec![mark("v1", "eu1", 1)]);
    }
}
