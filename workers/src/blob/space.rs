//! How many bytes each tenant has, with those that are on their way in: what quotas are held against.

use super::BlobError;
use bus_schema::TenantId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Spaces {
    known: Arc<Mutex<HashMap<TenantId, Space>>>,
    /// How long a count holds; for ever when absent.
    holds: Option<Duration>,
}

#[derive(Debug, Default)]
struct Space {
    /// Absent until the folder was counted.
    stored: Option<u64>,
    counted: Option<Instant>,
    incoming: u64,
}

impl Spaces {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Space>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that hold for so long, because others write too.
    pub(super) fn expiring(holds: Duration) -> Self {
        Self { holds: Some(holds), ..Self::default() }
    }

    pub(super) fn stored(&self, tenant: &TenantId) -> Option<u64> {
        let mut known = self.lock();
        let space = known.get_mut(tenant)?;
        if let (Some(holds), Some(counted)) = (self.holds, space.counted)
            && counted.elapsed() >= holds
        {
            space.stored = None;
        }
        space.stored
    }

    /// Keeps what was counted, unless another was first.
    pub(super) fn begin(&self, tenant: &TenantId, counted: u64) -> u64 {
        let mut known = self.lock();
        let space = known.entry(tenant.clone()).or_default();
        if space.stored.is_none() {
            space.counted = Some(Instant::now());
        }
        *space.stored.get_or_insert(counted)
    }

    pub(super) fn kept(&self, tenant: &TenantId, length: u64) {
        if let Some(stored) = self.lock().get_mut(tenant).and_then(|space| space.stored.as_mut()) {
            *stored += length;
        }
    }

    pub(super) fn removed(&self, tenant: &TenantId, length: u64) {
        if let Some(stored) = self.lock().get_mut(tenant).and_then(|space| space.stored.as_mut()) {
            *stored = stored.saturating_sub(length);
        }
    }

    /// Room for a file on its way in.
    pub(super) fn room(&self, tenant: &TenantId, quota: u64) -> Room {
        Room { spaces: self.clone(), tenant: tenant.clone(), quota, taken: 0 }
    }
}

/// Bytes a file on its way in has taken; given back when it is kept (and counted) or given up.
#[derive(Debug)]
pub(super) struct Room {
    spaces: Spaces,
    tenant: TenantId,
    quota: u64,
    taken: u64,
}

impl Room {
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), BlobError> {
        let mut spaces = self.spaces.lock();
        let space = spaces.entry(self.tenant.clone()).or_default();
        if space.stored.unwrap_or(0).saturating_add(space.incoming).saturating_add(bytes) > self.quota {
            return Err(BlobError::Quota { quota: self.quota });
        }
        space.incoming += bytes;
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(space) = self.spaces.lock().get_mut(&self.tenant) {
            space.incoming = space.incoming.saturating_sub(self.taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlobError, BlobStore};
    use bus_schema::{Micros, TenantId};

    #[tokio::test]
    async fn a_quota_counts_what_is_stored_and_what_comes_in() {
        let folder = tempfile::tempdir().unwrap();
        let (demo, other) = (TenantId::try_new("demo").unwrap(), TenantId::try_new("other").unwrap());
        let store = BlobStore::folder(folder.path().to_owned());
        let put = async |content: &[u8]| {
            let mut upload = store.receive_within(&demo, 100, 10).await?;
            upload.write(content).await?;
            upload.keep().await
        };
        let blob = put(b"123456").await.unwrap();
        put(b"123456").await.unwrap_err();
        assert_eq!(store.used(&demo).await.unwrap(), 6);
        let mut first = store.receive_within(&demo, 100, 10).await.unwrap();
        first.write(b"123").await.unwrap();
        let mut second = store.receive_within(&demo, 100, 10).await.unwrap();
        assert!(matches!(second.write(b"45").await, Err(BlobError::Quota { quota: 10 })), "the first takes room too");
        drop(first);
        second.write(b"45").await.unwrap();
        let mut neighbour = store.receive_within(&other, 100, 10).await.unwrap();
        neighbour.write(b"1234567890").await.unwrap();
        drop((second, neighbour));
        // Counted anew from the folder, and again when something goes.
        let store = BlobStore::folder(folder.path().to_owned());
        assert_eq!(store.used(&demo).await.unwrap(), 6);
        assert!(store.remove_older(&demo, &blob, Micros(i64::MAX)).await.unwrap());
        assert_eq!(store.used(&demo).await.unwrap(), 0);
        assert_eq!(store.tenants().await.unwrap(), [demo, other]);
    }
}
