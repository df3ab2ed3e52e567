//! Opening a segment: everything is checked before the first message is given out.

use super::{
    BLOCK, END_MAGIC, FOOTER_PART, MAGIC, MAX_BLOCK, MAX_BLOCKS, MAX_FOOTER, MAX_HEADER, MAX_MESSAGES, MAX_SEGMENT,
    PREFIX, RECORD_HEAD, SegmentHeader, TRAILER, VERSION, binding,
    footer::{Block, Footer},
    header::CODEC,
};
use crate::archive::{
    key::{ArchiveKey, ObjectCipher, SEAL_OVERHEAD, hex},
    record,
};
use bus_schema::bus::StoredMessage;
use bytes::Bytes;

/// Opens a segment with all its messages, in order and without a gap.
pub fn read(key: &ArchiveKey, bytes: &[u8]) -> Result<(SegmentHeader, Vec<StoredMessage>), Damage> {
    if bytes.len() > MAX_SEGMENT {
        return Err(Damage::TooLarge { length: bytes.len() });
    }
    let (header, body_start, header_hash) = header(key, bytes)?;
    let trailer = trailer(bytes, body_start)?;
    let cipher = key.cipher(&header.salt.0);
    let sealed = &bytes[trailer.footer..trailer.footer + trailer.length];
    let footer = cipher.open(FOOTER_PART, &binding(&header_hash, FOOTER_PART, trailer.open), sealed);
    let footer = footer.and_then(|packed| unpacked(&packed, trailer.open)).ok_or(Damage::Footer)?;
    let footer: Footer = rmp_serde::from_slice(&footer).map_err(|_| Damage::Footer)?;
    let count = header.last.checked_sub(header.first).and_then(|more| usize::try_from(more).ok()?.checked_add(1));
    let count = count.filter(|count| *count <= MAX_MESSAGES).ok_or(Damage::Header)?;
    if footer.blocks.len() > MAX_BLOCKS {
        return Err(Damage::Footer);
    }
    let mut messages = Vec::with_capacity(count);
    let mut offset = body_start;
    for (number, block) in footer.blocks.iter().enumerate() {
        let sealed = placed(bytes, block, offset, trailer.footer).ok_or(Damage::Block { number })?;
        offset += sealed.len();
        let records = open(&cipher, &header_hash, number, block, sealed).ok_or(Damage::Block { number })?;
        take(records.into(), header.first, count, &mut messages)?;
    }
    if offset != trailer.footer || messages.len() != count {
        return Err(Damage::Count { expected: count, found: messages.len() });
    }
    Ok((header, messages))
}

fn header(key: &ArchiveKey, bytes: &[u8]) -> Result<(SegmentHeader, usize, blake3::Hash), Damage> {
    let mut prefix = Fields(bytes.get(..PREFIX).ok_or(Damage::Truncated)?);
    if prefix.take::<8>() != Some(*MAGIC) {
        return Err(Damage::NotASegment);
    }
    let version = prefix.take().map(u16::from_le_bytes).ok_or(Damage::Truncated)?;
    if version != VERSION {
        return Err(Damage::Version { version });
    }
    let length = prefix.take().map(u32::from_le_bytes).ok_or(Damage::Truncated)? as usize;
    if length > MAX_HEADER {
        return Err(Damage::Header);
    }
    let encoded = bytes.get(PREFIX..PREFIX + length).ok_or(Damage::Truncated)?;
    let mut after = Fields(bytes.get(PREFIX + length..).ok_or(Damage::Truncated)?);
    let checksum = after.take().map(u32::from_le_bytes).ok_or(Damage::Truncated)?;
    if crc32c::crc32c(encoded) != checksum {
        return Err(Damage::Header);
    }
    let header: SegmentHeader = rmp_serde::from_slice(encoded).map_err(|_| Damage::Header)?;
    if header.codec != CODEC {
        return Err(Damage::Codec { codec: header.codec.chars().take(40).collect() });
    }
    if header.key != hex(&key.id()) {
        return Err(Damage::OtherKey { found: header.key.chars().take(40).collect(), ours: hex(&key.id()) });
    }
    Ok((header, PREFIX + length + 4, blake3::hash(encoded)))
}

/// Where the footer is.
struct Trailer {
    footer: usize,
    length: usize,
    open: usize,
}

fn trailer(bytes: &[u8], body_start: usize) -> Result<Trailer, Damage> {
    let at = bytes.len().checked_sub(TRAILER).filter(|at| *at >= body_start).ok_or(Damage::Truncated)?;
    let mut fields = Fields(&bytes[at..]);
    let offset = fields.take().map(u64::from_le_bytes).ok_or(Damage::Truncated)?;
    let length = fields.take().map(u32::from_le_bytes).ok_or(Damage::Truncated)? as usize;
    let open = fields.take().map(u32::from_le_bytes).ok_or(Damage::Truncated)? as usize;
    let hash: [u8; 32] = fields.take().ok_or(Damage::Truncated)?;
    if fields.take::<8>() != Some(*END_MAGIC) {
        return Err(Damage::Truncated);
    }
    if blake3::hash(&bytes[..at + 16]) != hash {
        return Err(Damage::Hash);
    }
    let footer = usize::try_from(offset).ok().filter(|footer| *footer >= body_start).ok_or(Damage::Footer)?;
    if footer.checked_add(length) != Some(at) || open > MAX_FOOTER {
        return Err(Damage::Footer);
    }
    Ok(Trailer { footer, length, open })
}

/// The sealed bytes of a block, which follows the one before it.
fn placed<'a>(bytes: &'a [u8], block: &Block, offset: usize, end: usize) -> Option<&'a [u8]> {
    let length = block.length as usize;
    let follows = usize::try_from(block.offset).ok()? == offset && length >= SEAL_OVERHEAD;
    let stop = offset.checked_add(length).filter(|stop| follows && *stop <= end)?;
    bytes.get(offset..stop)
}

fn open(cipher: &ObjectCipher, header: &blake3::Hash, number: usize, block: &Block, sealed: &[u8]) -> Option<Vec<u8>> {
    let (part, open) = (number as u64, block.open as usize);
    // Only a block of one record may be larger than a block.
    let allowed = open <= BLOCK || (open <= MAX_BLOCK && block.first == block.last);
    if !allowed || blake3::hash(sealed) != block.hash.0 {
        return None;
    }
    unpacked(&cipher.open(part, &binding(header, part, open), sealed)?, open)
}

/// Exactly `length` bytes, or nothing.
fn unpacked(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, length).ok().filter(|bytes| bytes.len() == length)
}

/// The records of a block, behind those that are there.
fn take(mut records: Bytes, first: u64, count: usize, messages: &mut Vec<StoredMessage>) -> Result<(), Damage> {
    while !records.is_empty() {
        let expected = first + messages.len() as u64;
        let damaged = Damage::Record { seq: expected };
        if records.len() < RECORD_HEAD || messages.len() == count {
            return Err(damaged);
        }
        let mut head = Fields(&records);
        let length = head.take().map(u32::from_le_bytes).unwrap_or(0) as usize;
        let checksum = head.take().map(u32::from_le_bytes).unwrap_or(0);
        if length > records.len() - RECORD_HEAD {
            return Err(damaged);
        }
        let record = records.slice(RECORD_HEAD..RECORD_HEAD + length);
        if crc32c::crc32c(&record) != checksum {
            return Err(damaged);
        }
        let message = record::decode(&record).ok_or(damaged)?;
        if message.seq != expected {
            return Err(Damage::Order { expected, found: message.seq });
        }
        messages.push(message);
        records = records.slice(RECORD_HEAD + length..);
    }
    Ok(())
}

/// Fields of fixed length, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

/// What is wrong with the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it has {length} bytes, more than a segment may have ({MAX_SEGMENT})")]
    TooLarge { length: usize },
    #[error("it does not begin like a segment")]
    NotASegment,
    #[error("its format version {version} is not known to this program; read it with a newer one")]
    Version { version: u16 },
    #[error("its codec {codec:?} is not known to this program; read it with a newer one")]
    Codec { codec: String },
    #[error("it is cut off")]
    Truncated,
    #[error("its header is damaged")]
    Header,
    #[error("it is encrypted with the archive key {found}, and the key at hand is {ours}; bring the right key file")]
    OtherKey { found: String, ours: String },
    #[error("its hash does not match its bytes")]
    Hash,
    #[error("its footer is damaged or was not written with this archive key")]
    Footer,
    #[error("its block {number} is damaged or was not written with this archive key")]
    Block { number: usize },
    #[error("its record at position {seq} is damaged")]
    Record { seq: u64 },
    #[error("it holds position {found} where {expected} should be")]
    Order { expected: u64, found: u64 },
    #[error("it holds {found} messages and should hold {expected}")]
    Count { expected: usize, found: usize },
}
