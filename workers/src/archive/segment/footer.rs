//! The footer of a segment: where its blocks are and what they hold, so that a reader of one tenant can pass over the rest.

use crate::archive::binary::{Binary32, Bitmap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) blocks: Vec<Block>,
    /// Tenant to the blocks that hold messages of it: bit `n % 8` of byte `n / 8` for block `n`.
    pub(super) tenants: BTreeMap<String, Bitmap>,
    /// Kind of event to how many there are.
    pub(super) kinds: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    /// From the start of the segment, in bytes.
    pub(super) offset: u64,
    /// Sealed, in bytes.
    pub(super) length: u32,
    /// When open, in bytes.
    pub(super) open: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Store times, in microseconds UTC.
    pub(super) from: i64,
    pub(super) until: i64,
    /// BLAKE3 of the sealed bytes.
    pub(super) hash: Binary32,
}
