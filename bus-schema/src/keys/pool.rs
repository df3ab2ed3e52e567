//! Keys made ahead, per tenant.

use super::lock;
use crate::{ids::TenantId, sealed::SealingKey};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

const FIRST: usize = 8;
const MOST: usize = 512;

/// Grows with use: a tenant that makes one contact gets a few keys, an import gets hundreds at a time.
#[derive(Default)]
pub(super) struct Pool {
    tenants: Mutex<HashMap<TenantId, Ready>>,
    filling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Ready {
    keys: Vec<Arc<SealingKey>>,
    last_size: usize,
}

impl Pool {
    /// A key, and whether it is time to make more before the rest is used up.
    pub(super) fn take(&self, tenant: &TenantId) -> Option<(Arc<SealingKey>, bool)> {
        let mut tenants = lock(&self.tenants);
        let ready = tenants.get_mut(tenant)?;
        let key = ready.keys.pop()?;
        Some((key, ready.keys.len() < ready.last_size / 2))
    }

    pub(super) fn put(&self, tenant: &TenantId, keys: Vec<Arc<SealingKey>>) {
        let mut tenants = lock(&self.tenants);
        let ready = tenants.entry(tenant.clone()).or_default();
        ready.last_size = keys.len();
        ready.keys.extend(keys);
    }

    pub(super) fn next_size(&self, tenant: &TenantId) -> usize {
        lock(&self.tenants).get(tenant).map_or(FIRST, |ready| (ready.last_size * 4).clamp(FIRST, MOST))
    }

    /// One filling at a time; those who wait find a full pool.
    pub(super) async fn filling(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.filling.lock().await
    }

    /// For filling ahead: `None` while somebody fills already.
    pub(super) fn try_filling(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.filling.try_lock().ok()
    }
}
