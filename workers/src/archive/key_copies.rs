//! Copies of the key directory at a provider: with them a restored log can be read, except for what was erased.
//!
//! The log is immutable and so are its archives; persons are erased by destroying their keys. So keys are the one thing that
//! must not be copied into anything immutable. They lie in objects of [`CHUNK`] positions of the key stream each, encrypted
//! with the archive key (inside, every key is still wrapped by its tenant's key, and that one by the root key, which no
//! provider ever holds). A chunk is replaced, by a write conditional on its last state, when it grows or when a key of it was
//! destroyed; an older write that comes late cannot win.
//!
//! - [`KeyCopies::cover`] runs before every entry of a manifest: a message is archived only after the key it is sealed with, so the
//!   copies are never older than the log they open. The entry notes the position, so copies that were set back are noticed.
//! - [`KeyCopies::sweep`] removes what was destroyed. The key stream says how many values were erased from it; when that number
//!   changes every chunk is compared. A pass reads the whole key stream (about 130 bytes a key), at most once in
//!   [`SWEEP_EVERY`].
//! - Between an erasure and the end of its sweep, and for as long as a provider is away, its copy still holds the key. Therefore a
//!   restore holds back every key that any archived event, of any epoch and also behind the restored point, says is
//!   destroyed.
//!
//! The bucket must not keep old versions under `KEYS_*`, and must not lock them: that would keep erased keys.

use super::{
    ArchiveKey, ObjectError, ObjectStore, ObjectStorePort,
    binary::Binary,
    layout::{key_chunk, key_chunks},
    object_store::{Put, Replace, Tag},
};
use crate::worker::Worker;
use bus_schema::{
    bus::{Bus, LatestValue, ReadError, StreamError},
    ids::Cell,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Positions of the key stream in one object.
pub const CHUNK: u64 = 2_048;
/// The least time between two sweeps.
pub const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The kind of the key stream on the bus.
pub(super) const KIND: &str = "keys";

const MAGIC: &[u8; 8] = b"MRKEYS\0\x01";
/// The largest chunk, in bytes.
const MAX_CHUNK: usize = 4 << 20;
/// Keys read from the bus at once.
const READ: usize = 1_000;
/// How often a chunk that somebody else changed is looked at again before it is an error.
const ROUNDS: usize = 5;

/// The copies of a cell's keys at one provider. Cheap to clone; all archivers of a provider share one.
#[derive(Clone)]
pub struct KeyCopies(Arc<Inner>);

struct Inner {
    bus: Bus,
    store: ObjectStore,
    key: Arc<ArchiveKey>,
    epoch: u32,
    /// Writes go one after the other: each reads the key stream after the one before has ended.
    known: Mutex<Known>,
    newest: Newest,
}

/// The chunk that grows and the one before it, as far as they were read: cutting a busy log into segments covers the same chunk
/// many times. The copies at all providers share them, and are not at the same one when it comes to its end.
#[derive(Clone, Default)]
pub struct Newest(Arc<Mutex<[Reached; 2]>>);

#[derive(Default)]
struct Reached {
    number: u64,
    /// What was erased from the key stream before this was read. When it changes nothing of this can be trusted.
    erased: u64,
    upto: u64,
    keys: Vec<KeyCopy>,
}

#[derive(Default)]
struct Known {
    /// Everything up to here was copied by this process.
    upto: u64,
    /// What was erased when the last sweep began.
    swept: Option<u64>,
    chunks: HashMap<u64, ChunkState>,
}

struct ChunkState {
    tag: Tag,
    content: blake3::Hash,
}

/// The content of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) epoch: u32,
    pub(super) number: u64,
    /// Everything of this chunk up to this position of the key stream is here, unless it was erased.
    pub(super) upto: u64,
    /// Emptied for good: a newer epoch holds what is left.
    pub(super) retired: bool,
    pub(super) keys: Vec<KeyCopy>,
}

/// One wrapped key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyCopy {
    /// Its position in the key stream.
    n: u64,
    /// `keys.<cell>.<tenant>.<slot>`
    pub(super) s: String,
    #[serde(with = "wrapped")]
    pub(super) b: Vec<u8>,
}

mod wrapped {
    use super::Binary;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Binary(bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Binary::deserialize(deserializer).map(|bytes| bytes.0.to_vec())
    }
}

impl KeyCopies {
    pub fn new(bus: Bus, store: ObjectStore, key: Arc<ArchiveKey>, epoch: u32) -> Self {
        Self::sharing(bus, store, key, epoch, Newest::default())
    }

    /// The same, reading the key stream together with the copies at other providers.
    pub fn sharing(bus: Bus, store: ObjectStore, key: Arc<ArchiveKey>, epoch: u32, newest: Newest) -> Self {
        Self(Arc::new(Inner { bus, store, key, epoch, known: Mutex::default(), newest }))
    }

    /// Copies every key that is durable now; the position up to which they are.
    pub async fn cover(&self) -> Result<u64, KeyCopyError> {
        let mut known = self.0.known.lock().await;
        let last = self.0.bus.latest_state(KIND).await?.last;
        if last < known.upto {
            return Err(KeyCopyError::SetBack { copied: known.upto, last });
        }
        if last > known.upto {
            for number in known.upto / CHUNK..=(last - 1) / CHUNK {
                self.copy(&mut known, number).await?;
            }
            known.upto = last;
        }
        Ok(last)
    }

    /// Makes every chunk equal to what the key stream holds, when something was erased since the last time; then empties the
    /// chunks of older epochs. `false`: there was nothing to do.
    pub async fn sweep(&self) -> Result<bool, KeyCopyError> {
        let erased = self.0.bus.latest_state(KIND).await?;
        if self.0.known.lock().await.swept == Some(erased.erased) {
            return Ok(false);
        }
        let last = self.cover().await?;
        for number in 0..last.div_ceil(CHUNK) {
            // Between chunks the archivers may go on.
            self.copy(&mut *self.0.known.lock().await, number).await?;
        }
        self.retire_older().await?;
        self.0.known.lock().await.swept = Some(erased.erased);
        Ok(true)
    }

    /// Sweeps for as long as the answer is held.
    pub fn start_sweeper(&self) -> Worker {
        let copies = self.clone();
        Worker::start("key-copies", |mut stop| async move {
            while !stop.is_asked() {
                match copies.sweep().await {
                    Ok(_) => {}
                    Err(error) => {
                        let provider = copies.0.store.provider();
                        tracing::warn!(provider, %error, "destroyed keys are not swept out of their copies yet");
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(SWEEP_EVERY) => {}
                    () = stop.asked() => {}
                }
            }
        })
    }

    /// Brings one chunk to the state of the key stream.
    async fn copy(&self, known: &mut Known, number: u64) -> Result<(), KeyCopyError> {
        let object = key_chunk(self.0.bus.cell(), self.0.epoch, number);
        for _ in 0..ROUNDS {
            let chunk = self.live(number).await?;
            let bytes = seal(&self.0.key, &object, &chunk)?;
            let content = blake3::hash(&bytes);
            if let Some(state) = known.chunks.get(&number).filter(|state| state.content == content) {
                tracing::trace!(object, tag = ?state.tag, "a chunk of keys is as it should be");
                return Ok(());
            }
            let tag = match known.chunks.remove(&number) {
                Some(state) => Some(state.tag),
                None => match self.found(&object).await? {
                    Some((tag, theirs)) if theirs == bytes => {
                        known.chunks.insert(number, ChunkState { tag, content });
                        return Ok(());
                    }
                    Some((tag, _)) => Some(tag),
                    None => None,
                },
            };
            let written = match tag {
                None => match self.0.store.put_new(&object, bytes).await? {
                    Put::Created(tag) => Some(tag),
                    Put::AlreadyThere => None,
                },
                Some(tag) => match self.0.store.replace(&object, bytes, &tag).await? {
                    Replace::Replaced(tag) => Some(tag),
                    Replace::Changed => None,
                },
            };
            if let Some(tag) = written {
                known.chunks.insert(number, ChunkState { tag, content });
                return Ok(());
            }
        }
        Err(KeyCopyError::Contended { object })
    }

    async fn found(&self, object: &str) -> Result<Option<(Tag, Bytes)>, ObjectError> {
        match self.0.store.get(object, MAX_CHUNK).await {
            Ok(found) => Ok(Some((found.tag, found.bytes))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the key stream holds of a chunk now.
    async fn live(&self, number: u64) -> Result<Chunk, KeyCopyError> {
        let (first, end) = (number * CHUNK + 1, (number + 1) * CHUNK);
        let mut newest = self.0.newest.0.lock().await;
        let newest = &mut newest[usize::from(!number.is_multiple_of(2))];
        // Before the values: one that is written meanwhile may be here and not be promised, and one that is erased
        // meanwhile is noticed the next time.
        let state = self.0.bus.latest_state(KIND).await?;
        let upto = state.last.min(end);
        let grown = newest.number == number && newest.erased == state.erased && newest.upto >= first;
        let reached = if grown { std::mem::take(newest) } else { Reached::default() };
        let (mut keys, mut from) = (reached.keys, first.max(reached.upto + 1));
        while from <= upto {
            let (values, more) = self.0.bus.latest_from(KIND, from, READ).await?;
            let Some(last) = values.last().map(|value| value.seq) else { break };
            let copy = |value: LatestValue| KeyCopy { n: value.seq, s: value.subject, b: value.body.to_vec() };
            keys.extend(values.into_iter().filter(|value| value.seq <= upto).map(copy));
            if !more {
                break;
            }
            from = last + 1;
        }
        *newest = Reached { number, erased: state.erased, upto, keys: keys.clone() };
        Ok(Chunk { epoch: self.0.epoch, number, upto, retired: false, keys })
    }

    async fn retire_older(&self) -> Result<(), KeyCopyError> {
        let prefix = key_chunks(self.0.bus.cell());
        let ours = format!("{prefix}{:08}/", self.0.epoch);
        let mut after: Option<String> = None;
        loop {
            let listing = self.0.store.list(&prefix, after.as_deref(), super::object_store::MAX_LISTING).await?;
            for object in listing.objects.iter().filter(|object| object.key < ours) {
                let Some((tag, bytes)) = self.found(&object.key).await? else { continue };
                let chunk = open(&self.0.key, &object.key, &bytes)
                    .ok_or_else(|| KeyCopyError::Unreadable { object: object.key.clone() })?;
                if !chunk.retired {
                    let empty = Chunk { retired: true, keys: Vec::new(), ..chunk };
                    let sealed = seal(&self.0.key, &object.key, &empty)?;
                    // Should it have changed meanwhile, the next sweep does it.
                    _ = self.0.store.replace(&object.key, sealed, &tag).await?;
                }
            }
            after = listing.objects.last().map(|object| object.key.clone());
            if !listing.more || after.is_none() {
                return Ok(());
            }
        }
    }
}

/// `MRKEYS`, salt, length when open, ciphertext; bound to the object's key, so that no chunk can be passed off as another.
fn seal(key: &ArchiveKey, object: &str, chunk: &Chunk) -> Result<Bytes, KeyCopyError> {
    let large = || KeyCopyError::TooLarge { object: object.to_owned() };
    let open = rmp_serde::to_vec_named(chunk).map_err(|_| large())?;
    let salt = key.salt([object.as_bytes(), open.as_slice()]);
    let sealed = key.cipher(&salt).seal(0, object.as_bytes(), &open).ok_or_else(large)?;
    let bytes = [MAGIC.as_slice(), &salt, &sealed].concat();
    if bytes.len() > MAX_CHUNK { Err(large()) } else { Ok(bytes.into()) }
}

/// `None`: damaged, or not written with this archive key, or in another place.
pub(super) fn open(key: &ArchiveKey, object: &str, bytes: &[u8]) -> Option<Chunk> {
    let (salt, sealed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    let open = key.cipher(salt).open(0, object.as_bytes(), sealed)?;
    rmp_serde::from_slice(&open).ok()
}

/// The largest object [`open`] takes.
pub(super) const LARGEST: usize = MAX_CHUNK;

/// The epoch and number in a chunk's key.
pub(super) fn place_of(cell: &Cell, object: &str) -> Option<(u32, u64)> {
    let (epoch, number) = object.strip_prefix(&key_chunks(cell))?.split_once('/')?;
    let (epoch, number) = (epoch.parse().ok()?, number.parse().ok()?);
    (key_chunk(cell, epoch, number) == object).then_some((epoch, number))
}

/// Why keys could not be copied now.
#[derive(Debug, thiserror::Error)]
pub enum KeyCopyError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("the key directory cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("the key directory cannot be read: {0}")]
    Stream(#[from] StreamError),
    #[error("{object} is written by somebody else too: another platform writes this archive. One of the two must stop")]
    Contended { object: String },
    #[error("{object} is damaged, or was not written with this archive key")]
    Unreadable { object: String },
    #[error("{object} would be larger than the {MAX_CHUNK} bytes copies of keys may have")]
    TooLarge { object: String },
    #[error("the key directory ends at {last}, and keys were copied up to {copied}: it was set back")]
    SetBack { copied: u64, last: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_open_only_in_their_place_and_with_their_key() {
        let key = ArchiveKey::from_secret(&[7; 32]);
        let cell = Cell::try_new("eu1").unwrap();
        let object = key_chunk(&cell, 1, 3);
        assert_eq!(place_of(&cell, &object), Some((1, 3)));
        assert_eq!(place_of(&cell, "eu1/KEYS_eu1/1/3"), None);
        let copy = KeyCopy { n: 6_145, s: "keys.eu1.demo.tenant".into(), b: vec![1, 2, 3] };
        let chunk = Chunk { epoch: 1, number: 3, upto: 6_145, retired: false, keys: vec![copy] };
        let bytes = seal(&key, &object, &chunk).unwrap();
        assert_eq!(bytes, seal(&key, &object, &chunk).unwrap(), "equal content, equal bytes");
        assert_eq!(open(&key, &object, &bytes), Some(chunk));
        assert_eq!(open(&key, &key_chunk(&cell, 1, 4), &bytes), None);
        assert_eq!(open(&ArchiveKey::from_secret(&[8; 32]), &object, &bytes), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(open(&key, &object, &damaged), None);
        }
    }
}
