//! Where a lane goes on after a stop, in stores that keep rows and checkpoints apart.
//!
//! There rows can be ahead of every checkpoint: a batch stores rows before its checkpoint, and a lane begins some seconds before
//! its last checkpoint, because servers acknowledge a write before it is on their disks. An event that is applied again must
//! find the rows it looks at as they were then, not as later events left them: a sum would count twice, and a place in a list that
//! was lost with a power cut would never be made again. So such a store keeps with each batch what its events looked at ([`Step`]),
//! and gives it back with the position ([`Resume`]).

use super::{Mark, RowKey};
use bytes::Bytes;

/// A row as it was before a batch; `None`: there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub key: RowKey,
    pub body: Option<Bytes>,
}

/// One batch of one lane: where it began, and every row its events looked at as it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The checkpoint before the batch.
    pub since: u64,
    /// The checkpoint the batch ends with.
    pub mark: Mark,
    /// Whether any event of it concerned the view.
    pub applied: bool,
    pub seen: Vec<Seen>,
}

/// Where a lane begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Everything up to here is in the rows, and stays there.
    pub seq: u64,
    /// Rows may hold changes of events up to here.
    pub until: u64,
    /// Rows that events between the two look at, as they were at `seq`. Every row that is not here is as it was there, until one of
    /// these events changes it.
    pub seen: Vec<Seen>,
}

impl Resume {
    /// Rows and checkpoint are at the same place.
    pub fn at(seq: u64) -> Self {
        Self { seq, until: seq, seen: Vec::new() }
    }
}
