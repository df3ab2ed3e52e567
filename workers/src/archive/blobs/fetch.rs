//! Blobs back from a provider: into the files of a restored platform, or only looked at.

use super::{MAX_PIECE, Named, PIECE, Seen, folder, object, open, pieces};
use crate::{
    archive::{
        ArchiveError, ArchiveKey, ObjectError, ObjectStore, ObjectStorePort,
        manifest::{Fault, Wrong},
        object_store::MAX_LISTING,
        restore::Source,
    },
    blob::{BlobError, BlobStore, Upload},
};
use bus_schema::{
    AnyEvent, Cell,
    bus::{Bus, ReadError},
    cms::file::FileEvent,
    subject::Family,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Events of one read.
const READ: usize = 1_000;

/// What a restore of blobs did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobsRestored {
    /// Different blobs that are there now, those that were there before included.
    pub blobs: u64,
    pub bytes: u64,
}

/// Brings every blob that a restored log needs into the platform's files. To be called after the log was filled; can be
/// called again, then only what is missing is fetched. Each blob is checked against its hash before it is kept.
pub async fn restore_blobs(
    source: &Source,
    bus: &Bus,
    blobs: &BlobStore,
    mut progress: impl FnMut(u64) + Send,
) -> Result<BlobsRestored, BlobsNotRestored> {
    let mut done = BlobsRestored::default();
    for named in needed(bus).await?.values() {
        if !is_there(blobs, named).await? {
            let mut upload = blobs.receive(&named.tenant, named.size).await?;
            fetch(&source.store, &source.key, bus.cell(), named, Some(&mut upload)).await?;
            let kept = upload.keep().await?;
            if kept != named.blob {
                // It was whole when it was put, so another key holder wrote it. What is not needed must not stay.
                blobs.remove_older(&named.tenant, &kept, bus_schema::Micros(i64::MAX)).await?;
                return Err(damaged(&source.store, &folder(&source.key, bus.cell(), &named.tenant, &named.blob)).into());
            }
        }
        done.blobs += 1;
        done.bytes += named.size;
        progress(done.blobs);
    }
    Ok(done)
}

async fn is_there(blobs: &BlobStore, named: &Named) -> Result<bool, BlobError> {
    match blobs.open(&named.tenant, &named.blob).await {
        Ok(_) => Ok(true),
        Err(BlobError::Missing) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The blobs that files name which are not erased, each once.
async fn needed(bus: &Bus) -> Result<BTreeMap<String, Named>, BlobsNotRestored> {
    let filter = format!("{}.{}.*.cms.file.*", Family::Events.token(), bus.cell());
    let (mut files, mut from) = (BTreeMap::new(), 1);
    loop {
        let piece = bus.read_filtered(Family::Events, &filter, from, READ).await?;
        for stored in &piece.events {
            let subject = stored.subject.to_string();
            match stored.decode() {
                Ok(Some(AnyEvent::File(FileEvent::Uploaded(uploaded)))) => {
                    let named = Named {
                        position: stored.seq,
                        subject: subject.clone(),
                        tenant: stored.subject.tenant.clone(),
                        file: stored.subject.address.id.clone(),
                        blob: uploaded.blob.parse()?,
                        size: uploaded.size,
                    };
                    files.insert(subject, named);
                }
                Ok(Some(AnyEvent::File(FileEvent::Erased(_)))) => _ = files.remove(&subject),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(BlobsNotRestored::Unreadable { position: stored.seq }),
            }
        }
        if !piece.more {
            break;
        }
        from = piece.next;
    }
    Ok(files.into_values().map(|named| (format!("{}/{}", named.tenant, named.blob), named)).collect())
}

/// Reads all pieces of a blob; into an upload, if there is one.
async fn fetch(
    store: &ObjectStore,
    key: &ArchiveKey,
    cell: &Cell,
    named: &Named,
    mut into: Option<&mut Upload>,
) -> Result<(), BlobsNotRestored> {
    for number in 0..pieces(named.size) {
        let object = object(key, cell, &named.tenant, &named.blob, number);
        let found = match store.get(&object, MAX_PIECE).await {
            Ok(found) => found.bytes,
            Err(ObjectError::NotFound { .. }) => return Err(fault(store, &object, Wrong::Missing).into()),
            Err(ObjectError::TooLarge { .. }) => return Err(damaged(store, &object).into()),
            Err(error) => return Err(error.into()),
        };
        let text = open(key, &object, number, &found).ok_or_else(|| damaged(store, &object))?;
        let expected = named.size.saturating_sub(number * PIECE as u64).min(PIECE as u64);
        if text.len() as u64 != expected {
            return Err(damaged(store, &object).into());
        }
        if let Some(upload) = &mut into {
            upload.write(&text).await?;
        }
    }
    Ok(())
}

fn fault(store: &ObjectStore, object: &str, wrong: Wrong) -> ArchiveError {
    ArchiveError::Fault { provider: store.provider().to_owned(), fault: Fault::new(object, wrong) }
}

fn damaged(store: &ObjectStore, object: &str) -> ArchiveError {
    fault(store, object, Wrong::Blob)
}

/// What a verification found of blobs. They are looked at where segments are read back, because only events name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlobReport {
    pub found: u64,
    pub missing: u64,
    pub corrupt: u64,
}

/// Looks at every blob that was seen: all of it when `whole`, otherwise whether its pieces are there. Gives the faults too.
pub(in crate::archive) async fn check(
    store: &ObjectStore,
    key: &ArchiveKey,
    cell: &Cell,
    seen: &Seen,
    whole: bool,
) -> Result<(BlobReport, Vec<Fault>), ArchiveError> {
    let (mut report, mut faults) = (BlobReport::default(), Vec::new());
    let blobs: BTreeMap<_, _> = seen.files().map(|named| ((&named.tenant, &named.blob), named)).collect();
    for named in blobs.into_values() {
        let outcome =
            if whole { fetch(store, key, cell, named, None).await } else { present(store, key, cell, named).await };
        match outcome {
            Ok(()) => report.found += 1,
            Err(BlobsNotRestored::Archive(ArchiveError::Fault { fault, .. })) => {
                let count = if fault.is_missing() { &mut report.missing } else { &mut report.corrupt };
                *count += 1;
                faults.push(fault);
            }
            Err(BlobsNotRestored::Archive(error)) => return Err(error),
            Err(error) => return Err(ArchiveError::Stopped(error.to_string())),
        }
    }
    Ok((report, faults))
}

async fn present(store: &ObjectStore, key: &ArchiveKey, cell: &Cell, named: &Named) -> Result<(), BlobsNotRestored> {
    let (prefix, mut found, mut after) = (folder(key, cell, &named.tenant, &named.blob), 0, None::<String>);
    loop {
        let listing = store.list(&prefix, after.as_deref(), MAX_LISTING).await?;
        for listed in &listing.objects {
            if listed.key != object(key, cell, &named.tenant, &named.blob, found) {
                break;
            }
            found += 1;
        }
        after = listing.objects.last().map(|listed| listed.key.clone());
        if !listing.more || after.is_none() {
            break;
        }
    }
    if found < pieces(named.size) {
        let object = object(key, cell, &named.tenant, &named.blob, found);
        return Err(fault(store, &object, Wrong::Missing).into());
    }
    Ok(())
}

/// Why files are not whole after a restore. The log is; this part can be done again.
#[derive(Debug, thiserror::Error)]
pub enum BlobsNotRestored {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the restored log cannot be read: {0}")]
    Log(#[from] ReadError),
    #[error("the event at {position} names a file and cannot be read; restore with the version that wrote it")]
    Unreadable { position: u64 },
}

impl From<ObjectError> for BlobsNotRestored {
    fn from(error: ObjectError) -> Self {
        Self::Archive(error.into())
    }
}
