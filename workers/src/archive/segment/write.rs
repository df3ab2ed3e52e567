//! Making a segment out of messages.

use super::{
    BLOCK, END_MAGIC, FOOTER_PART, MAGIC, MAX_FOOTER, MAX_MESSAGES, MAX_SEGMENT, RECORD_HEAD, SegmentHeader, VERSION,
    binding,
    footer::{Block, Footer},
    header::CODEC,
};
use crate::archive::{
    binary::{Binary32, Bitmap},
    key::{ArchiveKey, hex},
    layout::Place,
    record::{self, MAX_RECORD},
};
use bus_schema::bus::StoredMessage;
use bytes::Bytes;
use std::{borrow::Borrow, collections::BTreeSet};

/// zstd's level: 3 is where more time stops to pay (level 9 gains 6 % for six times the time on events).
const LEVEL: i32 = 3;

/// A segment, ready to be put.
#[derive(Clone, Debug)]
pub struct Written {
    pub bytes: Bytes,
    /// BLAKE3 of all bytes.
    pub hash: blake3::Hash,
    pub summary: Summary,
}

/// What a segment holds, as its manifest entry tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub first: u64,
    pub last: u64,
    /// Store times, in microseconds UTC.
    pub from: i64,
    pub until: i64,
    /// In order, each once.
    pub tenants: Vec<String>,
    /// Messages that say that a person was erased.
    pub erasures: u64,
    /// The identity of the last message.
    pub last_identity: blake3::Hash,
}

/// Records that belong together, not sealed yet.
struct OpenBlock {
    records: Vec<u8>,
    first: u64,
    last: u64,
    from: i64,
    until: i64,
}

/// Makes a segment; the messages are consecutive and not too many.
pub fn write<M: Borrow<StoredMessage>>(
    key: &ArchiveKey,
    place: &Place,
    epoch: u32,
    messages: &[M],
) -> Result<Written, Unwritable> {
    let messages: Vec<&StoredMessage> = messages.iter().map(Borrow::borrow).collect();
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Err(Unwritable::Empty) };
    if messages.len() > MAX_MESSAGES {
        return Err(Unwritable::TooMuch { what: "messages", got: messages.len(), limit: MAX_MESSAGES });
    }
    let mut footer = Footer::default();
    let blocks = gather(&messages, &mut footer)?;
    let times = || messages.iter().map(|message| message.stored.0);
    let (from, until) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let mut header = SegmentHeader {
        cell: place.cell().to_string(),
        stream: place.stream().to_owned(),
        epoch,
        first: first.seq,
        last: last.seq,
        from,
        until,
        codec: CODEC.to_owned(),
        key: hex(&key.id()),
        salt: Binary32([0; 32]),
    };
    let unsalted = encoded(&header)?;
    let content = blocks.iter().map(|block| block.records.as_slice());
    header.salt = Binary32(key.salt(std::iter::once(unsalted.as_slice()).chain(content)));
    let cipher = key.cipher(&header.salt.0);
    let header = encoded(&header)?;
    let header_hash = blake3::hash(&header);

    let mut bytes = Vec::with_capacity(MAGIC.len() + blocks.iter().map(|block| block.records.len() / 2).sum::<usize>());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&short(header.len(), "header")?.to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    for (number, block) in blocks.iter().enumerate() {
        let part = number as u64;
        let packed = packed(&block.records)?;
        let sealed = cipher.seal(part, &binding(&header_hash, part, block.records.len()), &packed);
        let sealed = sealed.ok_or(Unwritable::Sealing)?;
        footer.blocks.push(Block {
            offset: bytes.len() as u64,
            length: short(sealed.len(), "block")?,
            open: short(block.records.len(), "block")?,
            first: block.first,
            last: block.last,
            from: block.from,
            until: block.until,
            hash: Binary32(*blake3::hash(&sealed).as_bytes()),
        });
        bytes.extend_from_slice(&sealed);
    }
    let open = encoded(&footer)?;
    if open.len() > MAX_FOOTER {
        return Err(Unwritable::TooMuch { what: "bytes of the footer", got: open.len(), limit: MAX_FOOTER });
    }
    let sealed = cipher.seal(FOOTER_PART, &binding(&header_hash, FOOTER_PART, open.len()), &packed(&open)?);
    let sealed = sealed.ok_or(Unwritable::Sealing)?;
    let offset = bytes.len() as u64;
    bytes.extend_from_slice(&sealed);
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&short(sealed.len(), "footer")?.to_le_bytes());
    bytes.extend_from_slice(&short(open.len(), "footer")?.to_le_bytes());
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_slice(END_MAGIC);
    if bytes.len() > MAX_SEGMENT {
        return Err(Unwritable::TooMuch { what: "bytes", got: bytes.len(), limit: MAX_SEGMENT });
    }
    let tenants: BTreeSet<&str> = messages.iter().map(|message| record::tenant(message)).collect();
    let summary = Summary {
        first: first.seq,
        last: last.seq,
        from,
        until,
        tenants: tenants.into_iter().map(str::to_owned).collect(),
        erasures: messages.iter().filter(|message| is_erasure(message)).count() as u64,
        last_identity: record::identity(last),
    };
    Ok(Written { hash: blake3::hash(&bytes), bytes: bytes.into(), summary })
}

/// Whether the message says that somebody was erased; such kinds end with `erased` in every context.
fn is_erasure(message: &StoredMessage) -> bool {
    record::header(message, bus_schema::envelope::header::KIND).is_some_and(|kind| kind.ends_with("erased"))
}

/// The records in blocks; notes tenants and kinds on the way.
fn gather(messages: &[&StoredMessage], footer: &mut Footer) -> Result<Vec<OpenBlock>, Unwritable> {
    let mut blocks: Vec<OpenBlock> = Vec::new();
    let mut expected = None;
    for message in messages {
        if let Some(expected) = expected.filter(|expected| *expected != message.seq) {
            return Err(Unwritable::Gap { expected, found: message.seq });
        }
        expected = Some(message.seq + 1);
        let record = record::encode(message).ok_or(Unwritable::LargeRecord { seq: message.seq })?;
        let needed = RECORD_HEAD + record.len();
        let (at, seq) = (message.stored.0, message.seq);
        if blocks.last().is_none_or(|block| block.records.len() + needed > BLOCK) {
            let records = Vec::with_capacity(BLOCK.max(needed));
            blocks.push(OpenBlock { records, first: seq, last: seq, from: at, until: at });
        }
        let number = blocks.len() - 1;
        let block = &mut blocks[number];
        block.records.extend_from_slice(&short(record.len(), "record")?.to_le_bytes());
        block.records.extend_from_slice(&crc32c::crc32c(&record).to_le_bytes());
        block.records.extend_from_slice(&record);
        (block.last, block.from, block.until) = (seq, block.from.min(at), block.until.max(at));
        match footer.tenants.get_mut(record::tenant(message)) {
            Some(bitmap) => bitmap.set(number),
            None => {
                let mut bitmap = Bitmap::default();
                bitmap.set(number);
                footer.tenants.insert(record::tenant(message).to_owned(), bitmap);
            }
        }
        let kind = record::header(message, bus_schema::envelope::header::KIND).unwrap_or_default();
        match footer.kinds.get_mut(kind) {
            Some(count) => *count += 1,
            None => _ = footer.kinds.insert(kind.to_owned(), 1),
        }
    }
    Ok(blocks)
}

fn encoded<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Unwritable> {
    rmp_serde::to_vec_named(value).map_err(|_| Unwritable::Sealing)
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, Unwritable> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|_| Unwritable::Sealing)
}

fn short(length: usize, what: &'static str) -> Result<u32, Unwritable> {
    u32::try_from(length).map_err(|_| Unwritable::TooMuch { what, got: length, limit: u32::MAX as usize })
}

/// Messages that cannot become a segment. None of them is the log's fault: the archiver cuts so that they do not occur.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("a segment has at least one message")]
    Empty,
    #[error("position {found} comes where {expected} should: a segment has no gaps")]
    Gap { expected: u64, found: u64 },
    #[error("the message at {seq} is larger than the {MAX_RECORD} bytes a record may have")]
    LargeRecord { seq: u64 },
    #[error("a segment of {got} {what} is over the limit of {limit}")]
    TooMuch { what: &'static str, got: usize, limit: usize },
    #[error("a segment could not be encoded, compressed or sealed")]
    Sealing,
}
