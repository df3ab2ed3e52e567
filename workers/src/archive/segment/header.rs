//! The header of a segment: everything a reader needs before it has opened a block.

use crate::archive::binary::Binary32;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    pub cell: String,
    pub stream: String,
    pub epoch: u32,
    /// Positions of the first and the last message; all between are there.
    pub first: u64,
    pub last: u64,
    /// The least and the greatest store time, in microseconds UTC. Clocks step back: they need not be those of the first
    /// and the last message.
    pub from: i64,
    pub until: i64,
    /// How blocks are compressed and sealed.
    pub codec: String,
    /// The archive key, by its id.
    pub key: String,
    /// What the key of this segment is derived with.
    pub salt: Binary32,
}

/// The only way this version writes.
pub(super) const CODEC: &str = "zstd+chacha20poly1305";
