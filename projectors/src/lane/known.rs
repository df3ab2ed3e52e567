//! What a lane knows of a view's rows without asking the store: where each row costs a request, most of a rebuild would be reading
//! rows that this very lane has just written, or that never were there.
//!
//! A row at a position is made of the log up to there and of nothing else. So what a lane made itself is how the row is at its
//! position, whatever the store holds meanwhile: another process that carries the same view makes the same rows, and a row that the
//! store has lost since is still what it was. Two things are known:
//!
//! - **rows that were read or written lately**, within a bound of bytes;
//! - **rows that never were put**, where the lane carries the view from its first event on: of every row that was put a few bits are
//!   kept (a Bloom filter); one without them was never put. A few in a thousand have them by chance, and are read.
//!
//! After trouble with the store a lane goes back. Rows are then asked for again; what was never put further on was not put before.

use super::batch::Outcome;
use crate::read_store::{RowKey, RowOp};
use bytes::Bytes;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Bytes of rows in one age; there are two.
const AGE_BYTES: usize = 16 << 20;
/// A batch that has more of one view is written before the next one is made: what is under way has to be known.
pub(super) const AHEAD_BYTES: usize = AGE_BYTES / 2;
/// What a row takes beside its bytes, about.
const ROW_BYTES: usize = 200;

/// What a row takes beside its body.
pub(super) fn row_bytes(key: &RowKey) -> usize {
    key.partition.len() + key.sort.len() + ROW_BYTES
}

/// Of one view. Without [`Known::beginning`] it knows nothing, and the store is asked for every row.
#[derive(Debug, Default)]
pub(super) struct Known {
    recent: Option<Recent>,
    put: Option<Put>,
}

impl Known {
    /// For a lane that stands here.
    pub(super) fn beginning(position: u64) -> Self {
        Self { recent: Some(Recent::default()), put: (position == 0).then(Put::default) }
    }

    /// The row at the lane's position, if that is known.
    pub(super) fn get(&self, key: &RowKey) -> Option<Option<Bytes>> {
        let recent = self.recent.as_ref()?;
        if let Some(body) = recent.get(key) {
            return Some(body.clone());
        }
        let never = self.put.as_ref().is_some_and(|put| !put.contains(key));
        never.then_some(None)
    }

    /// A batch was made, and the lane will stand behind it once it is written.
    pub(super) fn learn(&mut self, outcome: &Outcome) {
        let Some(recent) = &mut self.recent else { return };
        for seen in &outcome.seen {
            recent.insert(&seen.key, seen.body.clone());
        }
        for op in &outcome.ops {
            let body = match op {
                RowOp::Put { key, body, .. } => {
                    if self.put.as_mut().is_some_and(|put| !put.insert(key)) {
                        self.put = None;
                    }
                    Some(body.clone())
                }
                RowOp::Delete { .. } => None,
            };
            recent.insert(op.key(), body);
        }
    }

    /// The lane goes on from `to` instead of `from`.
    pub(super) fn rewind(&mut self, from: u64, to: u64) {
        if self.recent.is_none() {
            return;
        }
        // What others put in between is not known.
        let put = self.put.take().filter(|_| to <= from);
        let anew = Self::beginning(to);
        *self = Self { put: put.or(anew.put), ..anew };
    }
}

/// Rows in two ages: when the young ones are many, they are the old ones, and the old ones are forgotten.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<RowKey, Option<Bytes>>,
    old: HashMap<RowKey, Option<Bytes>>,
    bytes: usize,
}

impl Recent {
    fn get(&self, key: &RowKey) -> Option<&Option<Bytes>> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn insert(&mut self, key: &RowKey, body: Option<Bytes>) {
        let size = |body: &Option<Bytes>| body.as_ref().map_or(0, Bytes::len);
        self.bytes += size(&body);
        match self.young.get_mut(key) {
            Some(known) => {
                self.bytes -= size(known);
                *known = body;
            }
            None => {
                self.bytes += row_bytes(key);
                self.young.insert(key.clone(), body);
            }
        }
        if self.bytes > AGE_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

/// Every row that was put, a few bits each. It grows by filters that are four times as large as the one before.
#[derive(Debug, Default)]
struct Put(Vec<Filter>);

/// Of the first filter: 8 KiB.
const FIRST_BITS: u64 = 1 << 16;
/// Of the largest one, 32 MiB, for 16 million rows. A view with more is asked for in the store.
const LAST_BITS: u64 = 1 << 28;
const BITS_A_ROW: u64 = 16;
const PROBES: u64 = 4;

#[derive(Debug)]
struct Filter {
    words: Vec<u64>,
    bits: u64,
    rows: u64,
}

impl Put {
    fn contains(&self, key: &RowKey) -> bool {
        let hash = hash(key);
        self.0.iter().any(|filter| filter.contains(hash))
    }

    /// `false`: there are too many.
    fn insert(&mut self, key: &RowKey) -> bool {
        let hash = hash(key);
        // A row is put again and again.
        if self.0.iter().any(|filter| filter.contains(hash)) {
            return true;
        }
        let full = self.0.last().is_none_or(|filter| filter.rows * BITS_A_ROW >= filter.bits);
        if full {
            let bits = self.0.last().map_or(FIRST_BITS, |filter| filter.bits * 4);
            if bits > LAST_BITS {
                return false;
            }
            let words = usize::try_from(bits / 64).unwrap_or(0);
            self.0.push(Filter { words: vec![0; words], bits, rows: 0 });
        }
        if let Some(filter) = self.0.last_mut() {
            filter.insert(hash);
        }
        true
    }
}

impl Filter {
    /// The words and bits of a row. Two hashes give as many as are wanted.
    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (step, bits) = (hash.rotate_left(32) | 1, self.bits);
        (0..PROBES).map(move |probe| {
            let bit = hash.wrapping_add(probe.wrapping_mul(step)) % bits;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn contains(&self, hash: u64) -> bool {
        self.places(hash).all(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }

    fn insert(&mut self, hash: u64) {
        for (word, bit) in self.places(hash) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
        self.rows += 1;
    }
}

fn hash(key: &RowKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lane::slot::Progress,
        read_store::{Seen, TableId},
    };
    use std::collections::BTreeMap;

    fn key(partition: impl ToString) -> RowKey {
        let table = TableId::try_new("v_v1_g0.records").unwrap();
        RowKey { table, tenant: "acme".into(), partition: partition.to_string(), sort: Vec::new() }
    }

    fn batch(seen: &[(&str, Option<&'static str>)], ops: Vec<RowOp>) -> Outcome {
        let body = |body: &Option<&'static str>| body.map(|body| Bytes::from_static(body.as_bytes()));
        let seen = seen.iter().map(|(name, is)| Seen { key: key(name), body: body(is) }).collect();
        let progress = Progress { upto: 1, pause: None, applied: 1, unknown: 0, tenants: BTreeMap::new() };
        Outcome { ops, seen, progress }
    }

    fn put(partition: impl ToString, body: &'static str) -> RowOp {
        RowOp::Put { key: key(partition), ts: 1, body: Bytes::from_static(body.as_bytes()) }
    }

    fn is(text: &'static str) -> Option<Option<Bytes>> {
        Some(Some(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn one_that_was_not_told_to_knows_nothing() {
        let mut known = Known::default();
        known.learn(&batch(&[], vec![put("a", "1")]));
        known.rewind(1, 0);
        assert_eq!((known.get(&key("a")), known.get(&key("b"))), (None, None));
    }

    #[test]
    fn from_the_first_event_on_everything_else_was_never_put() {
        let mut known = Known::beginning(0);
        assert_eq!(known.get(&key("a")), Some(None));
        known.learn(&batch(&[("a", None)], vec![put("a", "1"), put("b", "1")]));
        let gone = RowOp::Delete { key: key("b"), ts: 2 };
        known.learn(&batch(&[("a", Some("1"))], vec![put("a", "2"), gone]));
        assert_eq!(
            (known.get(&key("a")), known.get(&key("b")), known.get(&key("c"))),
            (is("2"), Some(None), Some(None))
        );
    }

    #[test]
    fn one_that_goes_on_knows_what_it_saw_and_no_more() {
        let mut known = Known::beginning(7);
        known.learn(&batch(&[("a", None), ("b", Some("1"))], vec![put("c", "1")]));
        assert_eq!((known.get(&key("a")), known.get(&key("b"))), (Some(None), is("1")));
        assert_eq!((known.get(&key("c")), known.get(&key("d"))), (is("1"), None));
    }

    #[test]
    fn after_going_back_rows_are_asked_for_and_after_going_ahead_all_are() {
        let mut known = Known::beginning(0);
        known.learn(&batch(&[], vec![put("a", "1")]));
        known.rewind(9, 5);
        assert_eq!((known.get(&key("a")), known.get(&key("b"))), (None, Some(None)));
        known.rewind(5, 6);
        assert_eq!((known.get(&key("a")), known.get(&key("b"))), (None, None));
        known.rewind(6, 0);
        assert_eq!(known.get(&key("b")), Some(None), "before the first event there is nothing");
    }

    #[test]
    fn rows_are_forgotten_within_the_bound_and_never_taken_for_absent() {
        let mut known = Known::beginning(0);
        let count: u32 = 300_000;
        for from in (0..count).step_by(1_000) {
            known.learn(&batch(&[], (from..from + 1_000).map(|n| put(n, "body")).collect()));
        }
        let recent = known.recent.as_ref().unwrap();
        assert!(recent.bytes <= AGE_BYTES && recent.young.len() + recent.old.len() < count as usize);
        assert_eq!(known.get(&key(0)), None, "forgotten, and to be read");
        assert_eq!(known.get(&key(count - 1)), is("body"));
        assert!((0..count).all(|n| known.get(&key(n)) != Some(None)));
        let by_chance = (count..2 * count).filter(|n| known.get(&key(n)).is_none()).count();
        assert!(by_chance < count as usize / 100, "{by_chance}");
    }
}
