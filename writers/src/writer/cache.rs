//! Aggregates in memory. An entry may be old: the log's expectations decide, the cache only saves reading.

use super::Loaded;
use crate::decider::{Decider, USUAL_BYTES};
use bus_schema::Subject;
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Usual aggregates that are kept. Those that take more leave room for fewer: a chunk of a campaign takes as much as fifty.
const ENTRIES: usize = 20_000;

pub(super) struct Cache {
    entries: quick_cache::sync::Cache<Subject, Entry, ByBytes>,
    /// Held while an entry is compared and replaced, so that a slow reader never puts an older state over a newer one.
    replacing: Mutex<()>,
}

#[derive(Clone)]
struct Entry {
    loaded: Arc<dyn Any + Send + Sync>,
    /// The log had nothing newer at this moment.
    confirmed: Instant,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<Subject, Entry> for ByBytes {
    fn weight(&self, _: &Subject, entry: &Entry) -> u64 {
        entry.bytes
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        let entries = quick_cache::sync::Cache::with_weighter(ENTRIES, (ENTRIES * USUAL_BYTES) as u64, ByBytes);
        Self { entries, replacing: Mutex::new(()) }
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
            _ => {
                let bytes = loaded.state.bytes().max(USUAL_BYTES) as u64;
                self.entries.insert(subject.clone(), Entry { loaded, confirmed, bytes });
            }
        }
    }

    pub(super) fn forget(&self, subject: &Subject) {
        self.entries.remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::chunk::Chunk;
    use bus_schema::{
        Address, Cell, TenantId,
        mail::{campaign::ConsentPurpose, chunk::ChunkPlanned},
    };
    use uuid::Uuid;

    #[test]
    fn large_states_leave_room_for_fewer() {
        let mut chunk = Chunk::default();
        let planned = ChunkPlanned {
            campaign: Uuid::nil(),
            number: 0,
            recipients: (1..=500).map(Uuid::from_u128).collect(),
            class: ConsentPurpose::Marketing,
            content_hash: "x".into(),
            generation: 0,
        };
        chunk.evolve(&planned.into());
        assert!((16_000..40_000).contains(&chunk.bytes()), "{}", chunk.bytes());
        let cache = Cache::new();
        let subject = |number: u128| {
            let tenant = TenantId::try_new("demo").unwrap();
            Subject::event(&Cell::try_new("eu1").unwrap(), &tenant, Address::new("mail", "chunk", number))
        };
        let count = 2_000;
        for number in 0..count {
            let loaded = Loaded { state: chunk.clone(), revision: 1, ..Loaded::default() };
            cache.put(&subject(number), Arc::new(loaded), Instant::now());
        }
        let kept = (0..count).filter(|number| cache.get::<Chunk>(&subject(*number)).is_some()).count();
        assert!((100..ENTRIES * USUAL_BYTES / 16_000).contains(&kept), "{kept}");
    }
}
