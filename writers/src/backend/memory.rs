//! A log in memory, for tests of everything above it. Keeps the same contract as JetStream.

use crate::store::{Commit, StoreError};
use bus_schema::{EventId, StoredEvent, subject::Subject};
use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    events: Vec<StoredEvent>,
    last: HashMap<String, u64>,
    ids: HashSet<EventId>,
    snapshots: HashMap<String, Bytes>,
}

impl MemoryStore {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Everything stored, oldest first.
    pub fn events(&self) -> Vec<StoredEvent> {
        self.log().events.clone()
    }

    pub(crate) fn load(&self, subject: &Subject, after: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let log = self.log();
        Ok(log.events.iter().filter(|event| event.seq > after && event.subject == *subject).cloned().collect())
    }

    pub(crate) fn last_events(&self, subjects: &[Subject]) -> Result<Vec<StoredEvent>, StoreError> {
        let log = self.log();
        let last = |subject: &Subject| log.events.iter().rfind(|event| event.subject == *subject).cloned();
        Ok(subjects.iter().filter_map(last).collect())
    }

    pub(crate) fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        let mut log = self.log();
        let first = log.events.len() as u64 + 1;
        let mut stored = Vec::new();
        for (message, seq) in commit.messages.into_iter().zip(first..) {
            if message.expect.is_some_and(|expect| log.last.get(&message.subject).copied().unwrap_or(0) != expect) {
                return Err(StoreError::Conflict);
            }
            let envelope = message.envelope.ok_or_else(|| StoreError::Misuse("an event without envelope".into()))?;
            if log.ids.contains(&envelope.event_id) {
                return Err(StoreError::Duplicate);
            }
            let subject = Subject::parse(&message.subject).map_err(|error| StoreError::Misuse(error.to_string()))?;
            stored.push(StoredEvent { seq, subject, envelope, body: message.body });
        }
        for event in stored {
            log.last.insert(event.subject.to_string(), event.seq);
            log.ids.insert(event.envelope.event_id);
            log.events.push(event);
        }
        Ok(first)
    }

    pub(crate) fn snapshot(&self, subject: &Subject) -> Option<Bytes> {
        self.log().snapshots.get(&subject.to_string()).cloned()
    }

    pub(crate) fn keep_snapshot(&self, subject: &Subject, body: Bytes) {
        self.log().snapshots.insert(subject.to_string(), body);
    }
}
