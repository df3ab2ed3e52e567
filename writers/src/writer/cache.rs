//! Aggregates in memory. An entry may be old: the log's expectations decide, the cache only saves reading.

use super::Loaded;
use crate::decider::Decider;
use bus_schema::Subject;
use std::{any::Any, sync::Arc};

/// Aggregates kept; a state is a few hundred bytes.
const ENTRIES: usize = 20_000;

pub(super) struct Cache(quick_cache::sync::Cache<Subject, Arc<dyn Any + Send + Sync>>);

impl Cache {
    pub(super) fn new() -> Self {
        Self(quick_cache::sync::Cache::new(ENTRIES))
    }

    pub(super) fn get<D: Decider>(&self, subject: &Subject) -> Option<Arc<Loaded<D>>> {
        self.0.get(subject)?.downcast().ok()
    }

    /// Keeps the newer of what is there and what comes.
    pub(super) fn put<D: Decider>(&self, subject: &Subject, loaded: Arc<Loaded<D>>) {
        if self.get::<D>(subject).is_none_or(|present| present.revision < loaded.revision) {
            self.0.insert(subject.clone(), loaded);
        }
    }

    pub(super) fn forget(&self, subject: &Subject) {
        self.0.remove(subject);
    }
}
