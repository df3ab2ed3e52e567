//! Aggregates in memory. An entry may be old: the log's expectations decide, the cache only saves reading.

use super::Loaded;
use crate::decider::Decider;
use bus_schema::Subject;
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Aggregates kept; a state is a few hundred bytes.
const ENTRIES: usize = 20_000;

pub(super) struct Cache {
    entries: quick_cache::sync::Cache<Subject, Entry>,
    /// Held while an entry is compared and replaced, so that a slow reader never puts an older state over a newer one.
    replacing: Mutex<()>,
}

#[derive(Clone)]
struct Entry {
    loaded: Arc<dyn Any + Send + Sync>,
    /// The log had nothing newer at this moment.
    confirmed: Instant,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { entries: quick_cache::sync::Cache::new(ENTRIES), replacing: Mutex::new(()) }
    }

    pub(super) fn get<D: Decider>(&self, subject: &Subject) -> Option<Arc<Loaded<D>>> {
        self.entries.get(subject)?.loaded.downcast().ok()
    }

    /// What is there, if the log confirmed it within `max_age`.
    pub(super) fn get_confirmed<D: Decider>(&self, subject: &Subject, max_age: Duration) -> Option<Arc<Loaded<D>>> {
        let entry = self.entries.get(subject).filter(|entry| entry.confirmed.elapsed() < max_age)?;
        entry.loaded.downcast().ok()
    }

    /// Keeps the newer of what is there and what comes. `confirmed` is a moment at which the log had nothing newer than
    /// `loaded`: before the read or the commit began that found so.
    pub(super) fn put<D: Decider>(&self, subject: &Subject, loaded: Arc<Loaded<D>>, confirmed: Instant) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.entries.get(subject).and_then(|entry| {
            let present = entry.loaded.downcast::<Loaded<D>>().ok()?;
            Some((present.revision, entry.confirmed))
        });
        match present {
            Some((revision, _)) if revision > loaded.revision => {}
            Some((revision, before)) if revision == loaded.revision && before >= confirmed => {}
            _ => self.entries.insert(subject.clone(), Entry { loaded, confirmed }),
        }
    }

    pub(super) fn forget(&self, subject: &Subject) {
        self.entries.remove(subject);
    }
}
