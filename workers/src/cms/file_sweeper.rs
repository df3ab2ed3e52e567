//! Removes blobs that no file needs: those of uploads that never became a file, and those of erased files.
//!
//! A blob is durable before the event that names it, so a crash between the two leaves a blob nobody names. What history
//! names stays, deleted files too, until the file is erased. A blob that was kept again within the [`GRACE`] is never
//! removed, so an upload of the same bytes and a sweep cannot meet.

use crate::{
    blob::{BlobError, BlobStore},
    worker::{Stop, Worker},
};
use bus_schema::{
    AnyEvent, TenantId,
    bus::{Bus, ReadError},
    cms::file::FileEvent,
    subject::Family,
    time::Clock,
};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// How long a blob may lie without an event.
const GRACE: Duration = Duration::from_secs(24 * 3600);
const RHYTHM: Duration = Duration::from_secs(6 * 3600);
/// After a start, other things come first.
const BEGIN: Duration = Duration::from_secs(60);
/// Events of one read.
const PIECE: usize = 1_000;
/// Blobs removed for one tenant in one sweep.
const MOST: usize = 10_000;

/// Starts the sweeper over the blobs of files.
pub fn start(bus: Bus, blobs: BlobStore, clock: Clock) -> Worker {
    Worker::start("file-sweeper", |stop| run(bus, blobs, clock, stop))
}

async fn run(bus: Bus, blobs: BlobStore, clock: Clock, mut stop: Stop) {
    let mut wait = BEGIN;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.asked() => return,
        }
        wait = RHYTHM;
        stop.pass().await;
        let tenants = match blobs.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(%error, "the folder of files cannot be swept now");
                continue;
            }
        };
        for tenant in tenants {
            if stop.is_asked() {
                return;
            }
            match sweep(&bus, &blobs, &clock, &tenant, GRACE).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(%tenant, removed, "removed blobs that no file needs"),
                Err(error) => tracing::warn!(%tenant, %error, "the files of a tenant cannot be swept now"),
            }
        }
    }
}

/// Removes what a tenant does not need; how many that were.
pub async fn sweep(
    bus: &Bus,
    blobs: &BlobStore,
    clock: &Clock,
    tenant: &TenantId,
    grace: Duration,
) -> Result<usize, SweepError> {
    let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    let before = clock.now().plus_seconds(-seconds);
    // Listed before the log is read: what becomes a file meanwhile is either younger or found in the log.
    let mut old = blobs.older(tenant, before).await?;
    if old.is_empty() {
        return Ok(0);
    }
    let needed = needed(bus, tenant).await?;
    old.retain(|blob| !needed.contains(blob.as_str()));
    let mut removed = 0;
    for blob in old.into_iter().take(MOST) {
        removed += usize::from(blobs.remove_older(tenant, &blob, before).await?);
    }
    Ok(removed)
}

/// The blobs that files of a tenant name which are not erased, out of the log itself: a view might be behind.
async fn needed(bus: &Bus, tenant: &TenantId) -> Result<HashSet<String>, SweepError> {
    let filter = format!("{}.{}.{tenant}.cms.file.*", Family::Events.token(), bus.cell());
    let (mut blobs, mut from) = (HashMap::new(), 1);
    loop {
        let piece = bus.read_filtered(Family::Events, &filter, from, PIECE).await?;
        for stored in &piece.events {
            let file = stored.subject.address.id.clone();
            match stored.decode() {
                Ok(Some(AnyEvent::File(FileEvent::Uploaded(uploaded)))) => _ = blobs.insert(file, uploaded.blob),
                Ok(Some(AnyEvent::File(FileEvent::Erased(_)))) => _ = blobs.remove(&file),
                Ok(Some(_)) => {}
                // What cannot be read may name any blob.
                Ok(None) | Err(_) => return Err(SweepError::Unknown { position: stored.seq }),
            }
        }
        if !piece.more {
            return Ok(blobs.into_values().collect());
        }
        from = piece.next;
    }
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the event at {position} cannot be read, so it is not known what is needed")]
    Unknown { position: u64 },
}
