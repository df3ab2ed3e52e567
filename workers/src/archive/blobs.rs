//! Uploaded files at a provider: copied before the event that names them counts as archived, brought back by a restore, looked
//! at by a verification.
//!
//! A blob is cut into pieces of [`PIECE`] bytes, `{cell}/blob/{tenant}/{blob}/{piece:06}`. Tenant and blob are blinded: the
//! hash of a known file must not tell a provider who has it. A piece is encrypted like a segment, under a salt that follows
//! from its content, so that it is put again with the same bytes whenever the answer was lost, and by whichever archiver.
//! Pieces never change and are never deleted here.
//!
//! **What a blob that is missing means.** Files that were erased have none; the log says so, and their events are archived
//! without. Any other missing blob is damage of the data directory: the archiver stands before its event and says which
//! one, until the blob is back or the file is erased.

mod fetch;
mod named;

pub(super) use fetch::check;
pub use fetch::{BlobReport, BlobsRestored, restore_blobs};
pub(super) use named::Seen;

use super::{ArchiveKey, ObjectError, ObjectStore, ObjectStorePort, object_store::Put};
use crate::blob::{BlobError, BlobId, BlobStore};
use bus_schema::{
    Cell, TenantId,
    bus::{Bus, ReadError, StoredMessage},
    subject::Family,
};
use bytes::Bytes;
use named::Named;
use std::{
    collections::HashSet,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes of one piece before encryption.
pub const PIECE: usize = 4 << 20;
const MAGIC: &[u8; 8] = b"MRBLOB\0\x01";
const SALT: usize = 32;
/// The largest piece as it lies at the provider.
const MAX_PIECE: usize = MAGIC.len() + SALT + PIECE + 16;
/// Blobs that are known to be at the provider, so that a file that is uploaded often is asked for once.
const KNOWN: usize = 10_000;

/// Copies blobs to one provider.
#[derive(Clone)]
pub struct BlobCopies {
    bus: Bus,
    blobs: BlobStore,
    store: ObjectStore,
    key: Arc<ArchiveKey>,
    known: Arc<Mutex<HashSet<(TenantId, BlobId)>>>,
}

impl BlobCopies {
    /// `blobs`: the files of this platform.
    pub fn new(bus: Bus, blobs: BlobStore, store: ObjectStore, key: Arc<ArchiveKey>) -> Self {
        Self { bus, blobs, store, key, known: Arc::default() }
    }

    /// Returns when every blob that these messages need is at the provider.
    pub(super) async fn cover(&self, messages: &[Arc<StoredMessage>]) -> Result<(), NotCovered> {
        for named in messages.iter().filter_map(|message| Named::of(message)) {
            let named = named.map_err(|position| NotCovered::Unreadable { position })?;
            let known = (named.tenant.clone(), named.blob.clone());
            if self.known().contains(&known) {
                continue;
            }
            self.copy(&named).await?;
            let mut all = self.known();
            if all.len() >= KNOWN {
                all.clear();
            }
            all.insert(known);
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<(TenantId, BlobId)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn copy(&self, named: &Named) -> Result<(), NotCovered> {
        let file = match self.blobs.open(&named.tenant, &named.blob).await {
            Ok(file) => file,
            Err(BlobError::Missing) if self.is_erased(named).await? => return Ok(()),
            Err(error) => return Err(NotCovered::Blob { position: named.position, file: named.file.clone(), error }),
        };
        let file = Arc::new(Mutex::new(file));
        for piece in 0..pieces(named.size) {
            let (file, key, object) = (file.clone(), self.key.clone(), self.object(named, piece));
            let (blob, named_at) = (named.blob.clone(), named.position);
            let sealed = tokio::task::spawn_blocking(move || {
                let mut text = Vec::new();
                let file = &mut *file.lock().unwrap_or_else(PoisonError::into_inner);
                file.take(PIECE as u64).read_to_end(&mut text)?;
                seal(&key, &object, &blob, piece, &text).map(|bytes| (object, bytes))
            });
            let failed = |source| {
                let error = BlobError::Io { what: "read", source };
                NotCovered::Blob { position: named_at, file: named.file.clone(), error }
            };
            let (object, bytes) =
                sealed.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed)?;
            self.put(&object, bytes).await?;
        }
        Ok(())
    }

    fn object(&self, named: &Named, piece: u64) -> String {
        object(&self.key, self.bus.cell(), &named.tenant, &named.blob, piece)
    }

    async fn put(&self, object: &str, bytes: Bytes) -> Result<(), NotCovered> {
        if let Put::Created(_) = self.store.put_new(object, bytes.clone()).await? {
            return Ok(());
        }
        // Our own earlier put, or that of the archiver of an earlier epoch: the content decides.
        match self.store.get(object, MAX_PIECE).await {
            Ok(found) if found.bytes == bytes => Ok(()),
            Ok(_) | Err(ObjectError::TooLarge { .. }) => Err(NotCovered::OtherBytes { object: object.to_owned() }),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_erased(&self, named: &Named) -> Result<bool, NotCovered> {
        let events = self.bus.read_subject(Family::Events, &named.subject, 0).await?;
        Ok(events.iter().any(|event| event.envelope.kind == bus_schema::cms::file::ERASED))
    }
}

fn pieces(size: u64) -> u64 {
    size.div_ceil(PIECE as u64).max(1)
}

/// Everything of a blob at a provider begins so.
fn folder(key: &ArchiveKey, cell: &Cell, tenant: &TenantId, blob: &BlobId) -> String {
    let name = key.salt([&b"blob name"[..], tenant.as_str().as_bytes(), blob.as_str().as_bytes()]);
    format!("{cell}/blob/{:016x}/{}/", key.blinded(tenant.as_str()), super::key::hex(&name))
}

fn object(key: &ArchiveKey, cell: &Cell, tenant: &TenantId, blob: &BlobId, piece: u64) -> String {
    format!("{}{piece:06}", folder(key, cell, tenant, blob))
}

fn seal(key: &ArchiveKey, object: &str, blob: &BlobId, piece: u64, text: &[u8]) -> std::io::Result<Bytes> {
    let salt = key.salt([&b"blob piece"[..], object.as_bytes(), blob.as_str().as_bytes(), text]);
    let sealed = key.cipher(&salt).seal(piece, object.as_bytes(), text);
    let sealed = sealed.ok_or_else(|| std::io::Error::other("the piece is too large to be encrypted"))?;
    Ok([&MAGIC[..], &salt, &sealed].concat().into())
}

/// `None`: damaged, in the wrong place, or of another key.
fn open(key: &ArchiveKey, object: &str, piece: u64, bytes: &[u8]) -> Option<Vec<u8>> {
    let (salt, sealed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<SALT>()?;
    key.cipher(salt).open(piece, object.as_bytes(), sealed)
}

/// Why messages cannot count as archived yet; tried again until they can.
#[derive(Debug, thiserror::Error)]
pub enum NotCovered {
    #[error("the event at {position} names a file and cannot be read; a newer version wrote it")]
    Unreadable { position: u64 },
    #[error(
        "the bytes of file {file}, which the event at {position} names, cannot be read: {error}. Bring the folder `files` of the \
         data directory back, or erase the file"
    )]
    Blob { position: u64, file: String, error: BlobError },
    #[error("{object} has other bytes at the provider than the file here: it was damaged there")]
    OtherBytes { object: String },
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("the log cannot be read: {0}")]
    Log(#[from] ReadError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_same_bytes_every_time_and_open_only_in_their_place() {
        let (key, cell) = (ArchiveKey::from_secret(&[7; 32]), Cell::try_new("eu1").unwrap());
        let (demo, other) = (TenantId::try_new("demo").unwrap(), TenantId::try_new("other").unwrap());
        let blob: BlobId = "ab".repeat(32).parse().unwrap();
        let at = object(&key, &cell, &demo, &blob, 3);
        assert!(at.starts_with("eu1/blob/") && at.ends_with("/000003") && !at.contains(blob.as_str()), "{at}");
        assert_ne!(folder(&key, &cell, &demo, &blob), folder(&key, &cell, &other, &blob));
        let sealed = seal(&key, &at, &blob, 3, b"text").unwrap();
        assert_eq!(sealed, seal(&key, &at, &blob, 3, b"text").unwrap());
        assert_eq!(open(&key, &at, 3, &sealed).unwrap(), b"text");
        assert!(open(&key, &at, 2, &sealed).is_none());
        assert!(open(&key, &object(&key, &cell, &demo, &blob, 4), 3, &sealed).is_none());
        assert!(open(&ArchiveKey::from_secret(&[8; 32]), &at, 3, &sealed).is_none());
        let mut damaged = sealed.to_vec();
        damaged[50] ^= 1;
        assert!(open(&key, &at, 3, &damaged).is_none() && open(&key, &at, 3, b"").is_none());
        assert_eq!((pieces(0), pieces(1), pieces(PIECE as u64), pieces(PIECE as u64 + 1)), (1, 1, 1, 2));
    }
}
