//! A segment: some hundred consecutive messages of the log in one immutable object.
//!
//! ```text
//! "MRSEGMNT"  version u16  header length u32  header  CRC32C of the header u32
//! block …     each: ChaCha20-Poly1305 of zstd of records, a record being length u32, CRC32C u32, MessagePack
//! footer      sealed like a block: where the blocks are, which tenants they hold, how many of each kind
//! footer offset u64  its length u32  its length when open u32  BLAKE3 of everything before  "MRSEGEND"
//! ```
//!
//! Numbers are little-endian; header and footer are named MessagePack maps. The hashes and the chain over the segments are
//! over ciphertext, so erasing a person's key breaks none of them. Every block is bound to the header, to its number and to
//! its length, so nothing can be moved between segments. [`write`] and [`read`] are pure: equal messages give equal bytes.
//!
//! [`read`] gives all messages or none: a segment with one wrong bit is refused whole, with the name of what is wrong.

mod footer;
mod header;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use header::SegmentHeader;
pub use read::{Damage, read};
pub use write::{Summary, Unwritable, Written, write};

use crate::archive::record::MAX_RECORD;

const MAGIC: &[u8; 8] = b"MRSEGMNT";
const END_MAGIC: &[u8; 8] = b"MRSEGEND";
const VERSION: u16 = 1;

/// Records of a block when they are open, in bytes; a record that is larger has a block of its own.
const BLOCK: usize = 256 << 10;
/// The largest block when it is open.
const MAX_BLOCK: usize = BLOCK + MAX_RECORD + RECORD_HEAD;
/// Length and checksum before a record.
const RECORD_HEAD: usize = 8;

/// The largest segment, in bytes.
pub const MAX_SEGMENT: usize = 48 << 20;
/// The most messages of a segment.
pub const MAX_MESSAGES: usize = 100_000;
/// The most blocks of a segment.
const MAX_BLOCKS: usize = 10_000;
const MAX_HEADER: usize = 4 << 10;
/// The largest footer when it is open.
const MAX_FOOTER: usize = 8 << 20;

/// Magic, version, length of the header.
const PREFIX: usize = 8 + 2 + 4;
/// Footer offset and lengths, hash, magic.
const TRAILER: usize = 8 + 4 + 4 + 32 + 8;
/// The number under which the footer is sealed.
const FOOTER_PART: u64 = u64::MAX;

/// What a block is bound to.
fn binding(header: &blake3::Hash, part: u64, open_length: usize) -> [u8; 48] {
    let mut aad = [0; 48];
    aad[..32].copy_from_slice(header.as_bytes());
    aad[32..40].copy_from_slice(&part.to_le_bytes());
    aad[40..].copy_from_slice(&(open_length as u64).to_le_bytes());
    aad
}
