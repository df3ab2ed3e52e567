//! How rows become bytes in the ordered backends (memory and fjall).
//!
//! Key: `u8 length, tenant, u16 length, partition, sort`. The lengths make the part before the sort key prefix-free, so
//! a range over it can never reach into another tenant or partition whatever bytes they contain, and the sort key keeps
//! its own byte order without any escaping.
//!
//! Cell: `flag (0 row, 1 tombstone), ts (8 bytes, big endian), body`.

use super::types::{RowKey, Scan};
use super::{Page, ReadStoreError, StoredRow};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::ops::Bound;

const ROW: u8 = 0;
const TOMBSTONE: u8 = 1;
/// Bytes of a cell before its body.
pub(crate) const CELL_HEAD: usize = 9;

/// The bytes that every row of one partition begins with. The lengths were checked against the limits, which fit.
fn place(tenant: &str, partition: &str, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + tenant.len() + partition.len() + room);
    out.push(tenant.len() as u8);
    out.extend_from_slice(tenant.as_bytes());
    out.extend_from_slice(&(partition.len() as u16).to_be_bytes());
    out.extend_from_slice(partition.as_bytes());
    out
}

/// The stored key of a row that passed `RowKey::check`.
pub(crate) fn encode_key(key: &RowKey) -> Vec<u8> {
    let mut out = place(&key.tenant, &key.partition, key.sort.len());
    out.extend_from_slice(&key.sort);
    out
}

/// What a scan that passed `Scan::check` walks over.
pub(crate) struct ScanRange {
    /// Lowest and highest stored key.
    pub(crate) bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Bytes before the sort key.
    pub(crate) head: usize,
}

impl ScanRange {
    /// `None` when the position lies behind the prefix, where nothing can follow (and where the bounds would cross).
    pub(crate) fn of(scan: &Scan) -> Option<Self> {
        let mut low = place(&scan.tenant, &scan.partition, 64);
        let head = low.len();
        let after = scan.after.as_ref().map(|after| [&low, &after[..]].concat());
        low.extend_from_slice(scan.prefix.as_deref().unwrap_or_default());
        let high = successor(&low);
        let mut bounds = (Bound::Included(low), high.map_or(Bound::Unbounded, Bound::Excluded));
        if let Some(after) = after {
            let edge = Bound::Excluded(after);
            if scan.descending {
                bounds.1 = lower_of(bounds.1, edge);
            } else {
                bounds.0 = higher_of(bounds.0, edge);
            }
        }
        let open = match (&bounds.0, &bounds.1) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low < high,
            _ => true,
        };
        open.then_some(Self { bounds, head })
    }
}

fn lower_of(a: Bound<Vec<u8>>, b: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (&a, &b) {
        (Bound::Excluded(x), Bound::Excluded(y)) if x < y => a,
        _ => b,
    }
}

fn higher_of(a: Bound<Vec<u8>>, b: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (&a, &b) {
        (Bound::Included(x), Bound::Excluded(y)) if x > y => a,
        _ => b,
    }
}

/// The lowest byte string that is greater than everything with this prefix; `None` when there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut out = prefix[..=last].to_vec();
    out[last] += 1;
    Some(out)
}

/// One version of a row: what the last winning operation left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) ts: u64,
    /// `None` is a tombstone.
    pub(crate) body: Option<Bytes>,
}

/// A digest over rows, given in the order of their keys.
#[derive(Default)]
pub(crate) struct RowsDigest(Sha256);

impl RowsDigest {
    /// A tombstone changes nothing.
    pub(crate) fn add(&mut self, key: &[u8], cell: &Cell) {
        let Some(body) = &cell.body else { return };
        for part in [key, &cell.ts.to_be_bytes(), body] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Cell {
    /// Whether this cell replaces `other`. Greater time wins; at the same time a tombstone wins, then the greater body,
    /// so that the outcome never depends on the order of arrival (the rule of Scylla and Cassandra).
    pub(crate) fn wins_over(&self, other: &Self) -> bool {
        (self.ts, self.body.is_none(), &self.body) > (other.ts, other.body.is_none(), &other.body)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(CELL_HEAD + body.len());
        out.push(if self.body.is_some() { ROW } else { TOMBSTONE });
        out.extend_from_slice(&self.ts.to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    pub(crate) fn decode(table: &str, bytes: &[u8]) -> Result<Self, ReadStoreError> {
        let head = bytes.split_first_chunk::<CELL_HEAD>();
        let Some(([flag @ (ROW | TOMBSTONE), ts @ ..], body)) = head else {
            return Err(ReadStoreError::corrupt(table, "a row has no valid head"));
        };
        let body = (*flag == ROW).then(|| Bytes::copy_from_slice(body));
        Ok(Self { ts: u64::from_be_bytes(*ts), body })
    }

    /// The row as a reader sees it; `None` for a tombstone.
    pub(crate) fn into_row(self, sort: &[u8]) -> Option<StoredRow> {
        self.body.map(|body| StoredRow { sort: sort.to_vec(), ts: self.ts, body })
    }
}

/// Fills a page from `next`, which gives the rows of a walk without tombstones; looks one row further than the limit.
pub(crate) fn fill_page(
    limit: usize,
    mut next: impl FnMut() -> Result<Option<StoredRow>, ReadStoreError>,
) -> Result<Page, ReadStoreError> {
    let mut page = Page::default();
    while let Some(row) = next()? {
        if page.rows.len() == limit {
            page.next = page.rows.last().map(|last| last.sort.clone());
            break;
        }
        page.rows.push(row);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_store::TableId;

    #[test]
    fn the_successor_ends_a_prefix() {
        assert_eq!(successor(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(successor(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(successor(&[0xff]), None);
        assert_eq!(successor(&[]), None);
    }

    #[test]
    fn a_position_outside_the_prefix_gives_no_crossed_range() {
        let scan = Scan::new(TableId::try_new("t").unwrap(), "x".into(), "p", 1).prefix("b");
        assert!(ScanRange::of(&scan.clone().after("c")).is_none());
        assert!(ScanRange::of(&scan.clone().after("a")).is_some());
        assert!(ScanRange::of(&scan.clone().after("a").descending()).is_none());
        assert!(ScanRange::of(&scan.clone().after("b").descending()).is_none());
        assert!(ScanRange::of(&scan.after("c").descending()).is_some());
    }

    #[test]
    fn cells_are_totally_ordered_and_round_trip() {
        let put = |ts, body: &'static str| Cell { ts, body: Some(Bytes::from_static(body.as_bytes())) };
        let tombstone = |ts| Cell { ts, body: None };
        let ascending = [put(1, ""), put(1, "a"), put(1, "b"), tombstone(1), put(2, "a"), tombstone(2)];
        for (i, a) in ascending.iter().enumerate() {
            assert_eq!(Cell::decode("t", &a.encode()).unwrap(), *a);
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.wins_over(b), i > j, "{a:?} {b:?}");
            }
        }
        for damaged in [&[][..], &[0; 8], &[2, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Cell::decode("t", damaged).is_err());
        }
    }
}
