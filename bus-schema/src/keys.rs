//! The key directory: the keys under which persons' data is sealed, outside the log, so that they can be destroyed.
//!
//! A root key (from a KMS, or a local file) wraps one key per tenant; the tenant's key wraps one key per person and is
//! the secret of the tenant's claim hashes. Persons' keys are made ahead in batches ([`KeyDirectory::fresh`]), because
//! a key must be durable before the first event that is sealed with it, and a durable write costs as much as a command.

mod cache;
mod forgetting;
mod pool;
mod store;
mod wrap;

use crate::{
    bus::{AppendError, Bus},
    claim::ClaimHash,
    ids::{KeyId, TenantId},
    sealed::{Keyring, SealingKey, hex, keyed_hash},
};
use cache::{Cache, Epoch};
use forgetting::Hearing;
use pool::Pool;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};
pub use store::KeyError;
use store::{KeyStore, Slot};
pub use wrap::RootKey;

/// The key directory of one cell. Cheap to clone.
#[derive(Clone)]
pub struct KeyDirectory(Arc<Inner>);

struct Inner {
    root: RootKey,
    store: KeyStore,
    tenants: Mutex<HashMap<TenantId, Arc<TenantKey>>>,
    /// One that is forgotten is read again.
    cache: Mutex<Cache>,
    pool: Pool,
    _hearing: Option<Hearing>,
}

/// A tenant's key, unwrapped.
pub struct TenantKey {
    key: SealingKey,
}

impl TenantKey {
    /// A tenant's key with known bytes, for tests of deciders.
    pub fn fixed(secret: [u8; 32]) -> Self {
        Self { key: SealingKey::new(KeyId(uuid::Uuid::nil()), secret) }
    }

    /// The hash under which a unique value of this tenant is claimed. `what` keeps e-mails and slugs apart.
    pub fn claim(&self, what: &str, value: &str) -> ClaimHash {
        ClaimHash(hex(&keyed_hash(self.key.secret(), &[b"claim", what.as_bytes(), value.as_bytes()])[..16]))
    }

    /// The id of an aggregate that follows from a unique value, so that its creation is its own claim.
    pub fn derived_id(&self, what: &str, value: &str) -> uuid::Uuid {
        let hash = keyed_hash(self.key.secret(), &[b"id", what.as_bytes(), value.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Proves that this tenant made these bytes: 128 bits that nobody has without the key. `what` keeps links and others apart.
    pub fn seal_of(&self, what: &str, bytes: &[u8]) -> [u8; 16] {
        let hash = keyed_hash(self.key.secret(), &[b"seal", what.as_bytes(), bytes]);
        let mut seal = [0; 16];
        seal.copy_from_slice(&hash[..16]);
        seal
    }

    /// A short keyed fingerprint, for telling a retried request from another one.
    pub fn fingerprint(&self, value: &[u8]) -> u64 {
        let hash = keyed_hash(self.key.secret(), &[b"fingerprint", value]);
        hash.iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
    }
}

impl KeyDirectory {
    /// The directory on a cell's bus; within a tokio runtime.
    pub fn new(bus: Bus, root: RootKey) -> Self {
        Self::over(KeyStore::Bus(bus), root)
    }

    /// A directory that forgets everything with the process; for tests of other parts.
    pub fn in_memory() -> Self {
        Self::over(KeyStore::memory(), RootKey::random())
    }

    fn over(store: KeyStore, root: RootKey) -> Self {
        let cache = Mutex::new(Cache::new(Instant::now()));
        let (tenants, pool) = (Mutex::default(), Pool::default());
        Self(Arc::new_cyclic(|inner| {
            let _hearing = match &store {
                KeyStore::Bus(bus) => Some(forgetting::hear(bus.clone(), inner.clone())),
                KeyStore::Memory(_) => None,
            };
            Inner { root, store, tenants, cache, pool, _hearing }
        }))
    }

    /// The tenant's key; `None` when the tenant was never created or was erased.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<Arc<TenantKey>>, KeyError> {
        if let Some(key) = lock(&self.0.tenants).get(tenant) {
            return Ok(Some(key.clone()));
        }
        let Some((_, wrapped)) = self.0.store.read(tenant, &[Slot::Tenant]).await?.remove(&Slot::Tenant) else {
            return Ok(None);
        };
        let secret = wrap::unwrap(self.0.root.secret(), &Slot::Tenant.name(tenant), &wrapped)?;
        let key = Arc::new(TenantKey { key: SealingKey::new(KeyId(uuid::Uuid::nil()), secret) });
        lock(&self.0.tenants).insert(tenant.clone(), key.clone());
        Ok(Some(key))
    }

    /// Makes the tenant's key unless it has one.
    pub async fn create_tenant(&self, tenant: &TenantId) -> Result<Arc<TenantKey>, KeyError> {
        if let Some(key) = self.tenant(tenant).await? {
            return Ok(key);
        }
        let wrapped = wrap::wrap(self.0.root.secret(), &Slot::Tenant.name(tenant), &wrap::random_secret()?)?;
        match self.0.store.write(tenant, vec![(Slot::Tenant, wrapped)]).await {
            // Another process was first: its key is the tenant's.
            Ok(()) | Err(KeyError::Write(AppendError::Conflict)) => {}
            Err(error) => return Err(error),
        }
        self.tenant(tenant).await?.ok_or_else(|| KeyError::NoTenant(tenant.clone()))
    }

    /// A new person's key, durable already.
    pub async fn fresh(&self, tenant: &TenantId) -> Result<Arc<SealingKey>, KeyError> {
        if let Some(key) = self.take(tenant) {
            return Ok(key);
        }
        let _filling = self.0.pool.filling().await;
        if let Some(key) = self.take(tenant) {
            return Ok(key);
        }
        self.fill(tenant).await?;
        self.take(tenant).ok_or_else(|| KeyError::NoTenant(tenant.clone()))
    }

    /// A key of the pool. Half an empty pool is filled behind the caller's back, so that under load nobody waits for
    /// keys to become durable.
    fn take(&self, tenant: &TenantId) -> Option<Arc<SealingKey>> {
        let (key, low) = self.0.pool.take(tenant)?;
        if low {
            let (directory, tenant) = (self.clone(), tenant.clone());
            tokio::spawn(async move {
                let Some(_filling) = directory.0.pool.try_filling() else { return };
                if let Err(error) = directory.fill(&tenant).await {
                    tracing::warn!(%error, %tenant, "keys could not be made ahead");
                }
            });
        }
        Some(key)
    }

    async fn fill(&self, tenant: &TenantId) -> Result<(), KeyError> {
        let tenant_key = self.tenant(tenant).await?.ok_or_else(|| KeyError::NoTenant(tenant.clone()))?;
        let mut keys = Vec::new();
        let mut wrapped = Vec::new();
        for _ in 0..self.0.pool.next_size(tenant) {
            let key = SealingKey::new(KeyId::random(), wrap::random_secret()?);
            let slot = Slot::Person(key.id);
            wrapped.push((slot, wrap::wrap(tenant_key.key.secret(), &slot.name(tenant), key.secret())?));
            keys.push(Arc::new(key));
        }
        self.0.store.write(tenant, wrapped).await?;
        self.remember(&keys, None);
        self.0.pool.put(tenant, keys);
        Ok(())
    }

    /// The keys that still exist of those asked for.
    pub async fn load(&self, tenant: &TenantId, ids: &[KeyId]) -> Result<Keyring, KeyError> {
        let mut ring = Keyring::default();
        let mut missing = Vec::new();
        let epoch;
        {
            let mut cache = lock(&self.0.cache);
            cache.age(Instant::now());
            epoch = cache.epoch();
            for id in ids {
                match cache.get(*id) {
                    Some(key) => ring.insert(key),
                    None => missing.push(Slot::Person(*id)),
                }
            }
        }
        if missing.is_empty() {
            return Ok(ring);
        }
        missing.sort();
        missing.dedup();
        let Some(tenant_key) = self.tenant(tenant).await? else { return Ok(ring) };
        let mut loaded = Vec::new();
        for (slot, (_, wrapped)) in self.0.store.read(tenant, &missing).await? {
            let Slot::Person(id) = slot else { continue };
            let secret = wrap::unwrap(tenant_key.key.secret(), &slot.name(tenant), &wrapped)?;
            loaded.push(Arc::new(SealingKey::new(id, secret)));
        }
        self.remember(&loaded, Some(epoch));
        let cache = lock(&self.0.cache);
        loaded.into_iter().filter(|key| !cache.was_removed(key.id)).for_each(|key| ring.insert(key));
        drop(cache);
        Ok(ring)
    }

    /// Destroys a person's key: its bytes are overwritten in the directory. Doing it again changes nothing. Other processes that
    /// have read it are told to forget it, also when it is not known whether the directory has done so.
    pub async fn destroy(&self, tenant: &TenantId, id: KeyId) -> Result<(), KeyError> {
        lock(&self.0.cache).remove(id);
        let erased = self.0.store.erase(tenant, Slot::Person(id)).await;
        if let KeyStore::Bus(bus) = &self.0.store {
            forgetting::tell(bus, tenant, id).await;
        }
        erased
    }

    /// Keys that were read in an epoch are not kept when that is over: one of them may have been destroyed meanwhile.
    fn remember(&self, keys: &[Arc<SealingKey>], read_in: Option<Epoch>) {
        let (mut cache, now) = (lock(&self.0.cache), Instant::now());
        if read_in.is_some_and(|epoch| epoch != cache.epoch()) {
            return;
        }
        cache.age(now);
        keys.iter().for_each(|key| cache.insert(key.clone(), now));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> TenantId {
        TenantId::try_new("demo").unwrap()
    }

    #[tokio::test]
    async fn a_destroyed_key_is_gone_and_others_stay() {
        let keys = KeyDirectory::in_memory();
        assert!(matches!(keys.fresh(&demo()).await, Err(KeyError::NoTenant(_))));
        keys.create_tenant(&demo()).await.unwrap();
        let (one, two) = (keys.fresh(&demo()).await.unwrap(), keys.fresh(&demo()).await.unwrap());
        assert_ne!(one.id, two.id);
        keys.destroy(&demo(), one.id).await.unwrap();
        keys.destroy(&demo(), one.id).await.unwrap();
        let ring = keys.load(&demo(), &[one.id, two.id]).await.unwrap();
        assert!(ring.get(one.id).is_none() && ring.get(two.id).is_some());
    }

    #[tokio::test]
    async fn what_was_read_before_all_was_forgotten_is_not_kept() {
        let keys = KeyDirectory::in_memory();
        keys.create_tenant(&demo()).await.unwrap();
        let key = keys.fresh(&demo()).await.unwrap();
        let there = || lock(&keys.0.cache).get(key.id).is_some();
        let before = lock(&keys.0.cache).epoch();
        lock(&keys.0.cache).clear();
        keys.remember(std::slice::from_ref(&key), Some(before));
        assert!(!there(), "it may have been destroyed meanwhile");
        let now = lock(&keys.0.cache).epoch();
        keys.remember(std::slice::from_ref(&key), Some(now));
        assert!(there());
    }

    #[tokio::test]
    async fn claim_hashes_differ_by_tenant_and_by_what() {
        let keys = KeyDirectory::in_memory();
        let a = keys.create_tenant(&demo()).await.unwrap();
        let b = keys.create_tenant(&TenantId::try_new("other").unwrap()).await.unwrap();
        assert_ne!(a.claim("email", "x"), b.claim("email", "x"));
        assert_ne!(a.claim("email", "x"), a.claim("slug", "x"));
        assert_eq!(a.claim("email", "x"), a.claim("email", "x"));
    }

    #[tokio::test]
    async fn another_tenants_key_cannot_be_loaded() {
        let keys = KeyDirectory::in_memory();
        let other = TenantId::try_new("other").unwrap();
        keys.create_tenant(&demo()).await.unwrap();
        keys.create_tenant(&other).await.unwrap();
        let key = keys.fresh(&demo()).await.unwrap();
        *lock(&keys.0.cache) = Cache::new(Instant::now());
        assert!(keys.load(&other, &[key.id]).await.unwrap().is_empty());
    }
}
