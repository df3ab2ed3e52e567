//! The manifest: one small signed object per segment, each naming the hash of the one before it.
//!
//! An entry is immutable and its key holds its number, so a conditional put makes the chain single: whoever finds a number
//! taken by other bytes is not the writer any more. The first entry of an epoch names the hash of the epoch's start, and
//! that one the entry of an older epoch up to which it takes over; so the chain goes back to the first message.
//!
//! ```text
//! "MRMENTRY" or "MREPOCH\0"  version u16  length u32  named MessagePack map  Ed25519 of everything before (64 bytes)
//! ```
//!
//! Roll-ups of entries (`cp/`) do not exist yet: the newest entry is found by bisection, and a restore reads every entry.

use super::{
    binary::Binary32,
    key::{ArchiveKey, hex},
    layout::Place,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[cfg(test)]
mod tests;

/// The largest entry, in bytes: one names the tenants of at most [`super::segment::MAX_MESSAGES`] messages.
pub const MAX_ENTRY: usize = 2 << 20;
const VERSION: u16 = 1;
const SIGNATURE: usize = 64;
const HEAD: usize = 8 + 2 + 4;

/// One segment in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub cell: String,
    pub stream: String,
    pub epoch: u32,
    /// Its number within the epoch, from 1.
    pub idx: u64,
    /// Positions of the first and the last message.
    pub first: u64,
    pub last: u64,
    /// The key of the segment.
    pub segment: String,
    /// Bytes of the segment.
    pub length: u64,
    /// BLAKE3 of the segment.
    pub hash: Binary32,
    /// BLAKE3 of the entry before, or of the epoch's start.
    pub prev: Binary32,
    /// The least and the greatest store time, in microseconds UTC.
    pub from: i64,
    pub until: i64,
    /// The greatest store time of all messages up to the last: what a restore to a time goes by, since clocks step back.
    pub latest: i64,
    /// The tenants with messages here, [blinded](ArchiveKey::blinded).
    pub tenants: Vec<u64>,
    /// Messages that say that a person was erased.
    pub erasures: u64,
    /// The identity of the last message ([`super::record::identity`]): tells whether a log is the one that was archived.
    pub last_identity: Binary32,
    /// The position in the key directory up to which keys were copied to the provider before this entry: keys of all
    /// messages here are below it.
    pub keys: u64,
    /// The key that signed, by its id.
    pub signer: String,
}

/// How an epoch starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub cell: String,
    pub stream: String,
    pub epoch: u32,
    /// The last position taken over from older epochs; 0 for none.
    pub cut: u64,
    /// The identity of the message at the cut; zeros when there is none.
    pub cut_identity: Binary32,
    /// The greatest store time up to the cut, in microseconds UTC.
    pub latest: i64,
    /// The entry that holds the cut.
    pub parent: Option<Parent>,
    pub signer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub epoch: u32,
    pub idx: u64,
    /// BLAKE3 of that entry.
    pub hash: Binary32,
}

/// What can be signed into the chain.
pub trait Link: Serialize + DeserializeOwned {
    const MAGIC: &'static [u8; 8];

    fn signer(&self) -> &str;
}

impl Link for Entry {
    const MAGIC: &'static [u8; 8] = b"MRMENTRY";

    fn signer(&self) -> &str {
        &self.signer
    }
}

impl Link for EpochStart {
    const MAGIC: &'static [u8; 8] = b"MREPOCH\0";

    fn signer(&self) -> &str {
        &self.signer
    }
}

/// The bytes of a signed link. Equal links have equal bytes.
pub fn seal<L: Link>(key: &ArchiveKey, link: &L) -> Result<Bytes, EntryDamage> {
    let body = rmp_serde::to_vec_named(link).map_err(|_| EntryDamage::Unreadable)?;
    let length = u32::try_from(body.len()).map_err(|_| EntryDamage::Unreadable)?;
    let mut bytes = Vec::with_capacity(HEAD + body.len() + SIGNATURE);
    bytes.extend_from_slice(L::MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    let signature = key.sign(&bytes);
    bytes.extend_from_slice(&signature);
    if bytes.len() > MAX_ENTRY { Err(EntryDamage::Unreadable) } else { Ok(bytes.into()) }
}

/// A link whose signature is right.
pub fn open<L: Link>(key: &ArchiveKey, bytes: &[u8]) -> Result<L, EntryDamage> {
    if bytes.len() > MAX_ENTRY {
        return Err(EntryDamage::Unreadable);
    }
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(EntryDamage::Unreadable)?;
    let (head, body) = signed.split_first_chunk::<HEAD>().ok_or(EntryDamage::Unreadable)?;
    if &head[..8] != L::MAGIC {
        return Err(EntryDamage::Unreadable);
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != VERSION {
        return Err(EntryDamage::Version { version });
    }
    if u32::from_le_bytes([head[10], head[11], head[12], head[13]]) as usize != body.len() {
        return Err(EntryDamage::Unreadable);
    }
    let genuine = key.verify(signed, signature);
    // What is not signed is read only to say better what is wrong.
    let link = rmp_serde::from_slice::<L>(body);
    match link {
        Ok(link) if genuine => Ok(link),
        Ok(link) if link.signer() != hex(&key.id()) => {
            Err(EntryDamage::OtherKey { found: link.signer().chars().take(40).collect(), ours: hex(&key.id()) })
        }
        Ok(_) => Err(EntryDamage::Forged),
        Err(_) => Err(EntryDamage::Unreadable),
    }
}

/// What is wrong with the bytes of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryDamage {
    #[error("cannot be read as an entry: it is damaged")]
    Unreadable,
    #[error("has a format version {version} that this program does not know; read it with a newer one")]
    Version { version: u16 },
    #[error("was signed with the archive key {found}, and the key at hand is {ours}; bring the right key file")]
    OtherKey { found: String, ours: String },
    #[error("has a wrong signature: it was forged or changed")]
    Forged,
}

/// Goes along a chain and accepts only what continues it.
#[derive(Clone, Debug)]
pub struct Chain {
    place: Place,
    epoch: u32,
    next_idx: u64,
    next_first: u64,
    prev: Binary32,
    latest: i64,
}

impl Chain {
    /// Before the first entry of an epoch; `hash` is that of the start's bytes.
    pub fn start(place: &Place, start: &EpochStart, hash: blake3::Hash) -> Self {
        Self {
            place: place.clone(),
            epoch: start.epoch,
            next_idx: 1,
            next_first: start.cut + 1,
            prev: hash.into(),
            latest: start.latest,
        }
    }

    /// After an entry that is trusted because it is signed; `hash` is that of its bytes.
    pub fn after(place: &Place, entry: &Entry, hash: blake3::Hash) -> Self {
        Self {
            place: place.clone(),
            epoch: entry.epoch,
            next_idx: entry.idx + 1,
            next_first: entry.last + 1,
            prev: hash.into(),
            latest: entry.latest,
        }
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn next_idx(&self) -> u64 {
        self.next_idx
    }

    /// The position the next entry begins with.
    pub fn next_first(&self) -> u64 {
        self.next_first
    }

    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// The key of the next entry.
    pub fn next_key(&self) -> String {
        self.place.entry(self.epoch, self.next_idx)
    }

    /// The entry of a segment that continues the chain, and the key and bytes of its object.
    pub fn extend(
        &self,
        key: &ArchiveKey,
        written: &super::segment::Written,
        keys: u64,
    ) -> Result<(Entry, String, Bytes), EntryDamage> {
        let summary = &written.summary;
        let mut tenants: Vec<u64> = summary.tenants.iter().map(|tenant| key.blinded(tenant)).collect();
        tenants.sort_unstable();
        let entry = Entry {
            cell: self.place.cell().to_string(),
            stream: self.place.stream().to_owned(),
            epoch: self.epoch,
            idx: self.next_idx,
            first: summary.first,
            last: summary.last,
            segment: self.place.segment(self.epoch, summary.first, summary.last),
            length: written.bytes.len() as u64,
            hash: written.hash.into(),
            prev: self.prev,
            from: summary.from,
            until: summary.until,
            latest: self.latest.max(summary.until),
            tenants,
            erasures: summary.erasures,
            last_identity: summary.last_identity.into(),
            keys,
            signer: hex(&key.id()),
        };
        let bytes = seal(key, &entry)?;
        Ok((entry, self.next_key(), bytes))
    }

    /// Takes the next entry, or says what is wrong with it; then the chain stands where it stood.
    pub fn accept(&mut self, key: &ArchiveKey, object: &str, bytes: &[u8]) -> Result<Entry, Fault> {
        let expected = self.next_key();
        if object != expected {
            return Err(Fault::new(&expected, Wrong::Missing));
        }
        let fault = |wrong| Fault::new(object, wrong);
        let entry: Entry = open(key, bytes).map_err(|damage| fault(Wrong::Entry(damage)))?;
        let says = self.place.entry(entry.epoch, entry.idx);
        let own = entry.cell == self.place.cell().as_str() && entry.stream == self.place.stream() && says == object;
        if !own {
            let says = format!("{}/{}, epoch {}, entry {}", entry.cell, entry.stream, entry.epoch, entry.idx);
            return Err(fault(Wrong::Reordered { says }));
        }
        if entry.prev != self.prev {
            return Err(fault(Wrong::BrokenLink));
        }
        if entry.first != self.next_first || entry.last < entry.first {
            return Err(fault(Wrong::Gap { expected: self.next_first, found: entry.first }));
        }
        let consistent = entry.segment == self.place.segment(self.epoch, entry.first, entry.last)
            && entry.latest == self.latest.max(entry.until);
        if !consistent {
            return Err(fault(Wrong::Inconsistent));
        }
        *self = Self::after(&self.place, &entry, blake3::hash(bytes));
        Ok(entry)
    }
}

/// An object of the archive that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} {wrong}")]
pub struct Fault {
    /// Its key.
    pub object: String,
    pub wrong: Wrong,
}

impl Fault {
    pub fn new(object: &str, wrong: Wrong) -> Self {
        Self { object: object.to_owned(), wrong }
    }

    pub fn is_missing(&self) -> bool {
        self.wrong == Wrong::Missing
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("is missing")]
    Missing,
    #[error("{0}")]
    Entry(EntryDamage),
    #[error("is in the wrong place: it says that it is {says}")]
    Reordered { says: String },
    #[error("does not continue the entry before it: one of the two was replaced")]
    BrokenLink,
    #[error("begins at position {found} where {expected} should come")]
    Gap { expected: u64, found: u64 },
    #[error("contradicts itself")]
    Inconsistent,
    #[error("has {found} bytes and should have {expected}")]
    Length { expected: u64, found: u64 },
    #[error("has other bytes than its entry says: it was damaged or replaced")]
    OtherBytes,
    #[error("cannot be read: {0}")]
    Segment(super::segment::Damage),
    #[error("holds other positions than its entry says")]
    OtherPositions,
    #[error("is damaged, or was not written with this archive key")]
    Keys,
    #[error("is not the piece of the file that should be there: it was damaged or replaced")]
    Blob,
    #[error(
        "holds keys up to position {found} of the directory, and the log needs them up to {needed}: it was set back"
    )]
    KeysBehind { needed: u64, found: u64 },
}
