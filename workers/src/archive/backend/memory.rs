//! Objects in memory, with the promises of the contract; for tests.

use crate::archive::object_store::{
    Listed, Listing, MAX_LISTING, Object, ObjectError, ObjectStorePort, Put, Replace, Tag, checked,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt,
    ops::{Bound, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Objects = BTreeMap<String, (Bytes, u64)>;

/// Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct MemoryObjects {
    provider: Arc<str>,
    /// Bytes with the number of the write that made them.
    objects: Arc<Mutex<(Objects, u64)>>,
}

impl MemoryObjects {
    pub fn new(provider: &str) -> Self {
        Self { provider: provider.into(), objects: Arc::default() }
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Changes or removes an object behind everybody's back, as a damaged disk or an intruder would. For tests.
    pub fn tamper(&self, key: &str, change: impl FnOnce(Option<Bytes>) -> Option<Bytes>) {
        let mut guard = self.lock();
        let (objects, writes) = &mut *guard;
        *writes += 1;
        match change(objects.get(key).map(|(bytes, _)| bytes.clone())) {
            Some(bytes) => _ = objects.insert(key.to_owned(), (bytes, *writes)),
            None => _ = objects.remove(key),
        }
    }

    /// All keys, in order. For tests.
    pub fn keys(&self) -> Vec<String> {
        self.lock().0.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, (Objects, u64)> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, key: &str) -> ObjectError {
        ObjectError::NotFound { provider: self.provider.to_string(), key: key.to_owned() }
    }

    fn too_large(&self, key: &str, length: usize, limit: usize) -> ObjectError {
        let (length, limit) = (length as u64, limit as u64);
        ObjectError::TooLarge { provider: self.provider.to_string(), key: key.to_owned(), length, limit }
    }
}

impl fmt::Debug for MemoryObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryObjects({}, {} objects)", self.provider, self.lock().0.len())
    }
}

fn tag(write: u64) -> Tag {
    Tag(format!("\"{write}\""))
}

impl ObjectStorePort for MemoryObjects {
    async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectError> {
        checked(key)?;
        let mut guard = self.lock();
        let (objects, writes) = &mut *guard;
        if objects.contains_key(key) {
            return Ok(Put::AlreadyThere);
        }
        *writes += 1;
        objects.insert(key.to_owned(), (bytes, *writes));
        Ok(Put::Created(tag(*writes)))
    }

    async fn replace(&self, key: &str, bytes: Bytes, expected: &Tag) -> Result<Replace, ObjectError> {
        checked(key)?;
        let mut guard = self.lock();
        let (objects, writes) = &mut *guard;
        match objects.get_mut(key).filter(|(_, write)| tag(*write) == *expected) {
            None => Ok(Replace::Changed),
            Some(object) => {
                *writes += 1;
                *object = (bytes, *writes);
                Ok(Replace::Replaced(tag(*writes)))
            }
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Object, ObjectError> {
        let guard = self.lock();
        let (bytes, write) = guard.0.get(key).ok_or_else(|| self.missing(key))?;
        if bytes.len() > limit {
            return Err(self.too_large(key, bytes.len(), limit));
        }
        Ok(Object { bytes: bytes.clone(), tag: tag(*write) })
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let guard = self.lock();
        let (bytes, _) = guard.0.get(key).ok_or_else(|| self.missing(key))?;
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (within(range.start), within(range.end));
        if start >= end { Err(self.missing(key)) } else { Ok(bytes.slice(start..end)) }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let limit = limit.clamp(1, MAX_LISTING);
        let guard = self.lock();
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let from = guard.0.range::<str, _>((start, Bound::Unbounded));
        let mut found = from
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, (bytes, _))| Listed { key: key.clone(), length: bytes.len() as u64 });
        let objects: Vec<_> = found.by_ref().take(limit).collect();
        Ok(Listing { more: found.next().is_some(), objects })
    }
}
