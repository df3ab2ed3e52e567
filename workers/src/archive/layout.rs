//! What lies where at a provider.
//!
//! ```text
//! {cell}/{stream}/epoch/{epoch:08}                    how an epoch starts, once
//! {cell}/{stream}/seg/{epoch:08}/{first:020}-{last:020}
//! {cell}/{stream}/m/{epoch:08}/{idx:020}              manifest entries, from 1
//! {cell}/blob/{tenant}/{blob}/{piece:06}             uploaded files in pieces; both names are blinded
//! {cell}/KEYS_{cell}/{epoch:08}/{chunk:020}           copies of wrapped keys, the only objects that are ever replaced
//! ```
//!
//! Left free for later: `l1/`, `l2/` (compactions by tenant), `cp/` (roll-ups of entries), `{cell}/snap12h/`,
//! `{cell}/daily/`. Numbers have a fixed width, so that the order of keys is the order of the log. A bucket may lock
//! everything against deletion except `KEYS_*`: there old versions must not be kept, or erased keys would be.

use bus_schema::{ids::Cell, subject::Family};
use std::fmt;

/// One stream's part of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    cell: Cell,
    stream: String,
}

impl Place {
    pub fn new(cell: &Cell, family: Family) -> Self {
        Self { cell: cell.clone(), stream: family.stream(cell) }
    }

    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The stream's name: `EV_eu1`.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub fn epoch(&self, epoch: u32) -> String {
        format!("{self}/epoch/{epoch:08}")
    }

    pub fn epochs(&self) -> String {
        format!("{self}/epoch/")
    }

    pub fn segment(&self, epoch: u32, first: u64, last: u64) -> String {
        format!("{}{first:020}-{last:020}", self.segments(epoch))
    }

    pub fn segments(&self, epoch: u32) -> String {
        format!("{self}/seg/{epoch:08}/")
    }

    pub fn entry(&self, epoch: u32, idx: u64) -> String {
        format!("{}{idx:020}", self.entries(epoch))
    }

    pub fn entries(&self, epoch: u32) -> String {
        format!("{self}/m/{epoch:08}/")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cell, self.stream)
    }
}

/// Where copies of the wrapped keys of a cell are.
pub(super) fn key_chunks(cell: &Cell) -> String {
    format!("{cell}/KEYS_{cell}/")
}

pub(super) fn key_chunk(cell: &Cell, epoch: u32, chunk: u64) -> String {
    format!("{}{epoch:08}/{chunk:020}", key_chunks(cell))
}

/// The number at the end of a key: an epoch's or an entry's.
pub(super) fn number(key: &str, prefix: &str) -> Option<u64> {
    let digits = key.strip_prefix(prefix)?;
    let plain = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_like_their_numbers() {
        let place = Place::new(&Cell::try_new("eu1").unwrap(), Family::Events);
        assert_eq!(place.entry(1, 9), "eu1/EV_eu1/m/00000001/00000000000000000009");
        assert!(place.entry(1, 9) < place.entry(1, 10) && place.entry(1, u64::MAX) < place.entry(2, 1));
        assert!(place.segment(1, 9, 10) < place.segment(1, 11, 11));
        assert_eq!(number(&place.entry(1, u64::MAX), &place.entries(1)), Some(u64::MAX));
        assert_eq!(number("eu1/EV_eu1/m/00000001/x", &place.entries(1)), None);
        assert_eq!(number("elsewhere", &place.entries(1)), None);
    }
}
