//! An aggregate with its revision and the ledger of the commands that made it.

use super::{Inner, WriteError, snapshot};
use crate::decider::Decider;
use bus_schema::{CommandId, StoredEvent, Subject, catalog::Catalogued};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Commands an aggregate remembers. A retry further back than this is met by the server's own window only.
const LEDGER: usize = 1_024;

/// An aggregate as of a position.
#[derive(Clone, Debug)]
pub struct Loaded<D> {
    pub state: D,
    /// Position of its last event; 0 when there is none.
    pub revision: u64,
    pub(super) ledger: Ledger,
    /// Events folded since the last snapshot.
    pub(super) unsaved: u32,
}

/// The commands that caused the aggregate's events, oldest first: the stream is its own idempotency ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger(VecDeque<Entry>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) command: CommandId,
    pub(super) fingerprint: Option<u64>,
    /// Position of the last event it caused here.
    pub(super) last: u64,
}

impl Ledger {
    pub(super) fn find(&self, command: CommandId) -> Option<&Entry> {
        self.0.iter().rev().find(|entry| entry.command == command)
    }

    pub(super) fn record(&mut self, command: CommandId, fingerprint: Option<u64>, last: u64) {
        match self.0.back_mut() {
            Some(entry) if entry.command == command => entry.last = last,
            _ => self.0.push_back(Entry { command, fingerprint, last }),
        }
        if self.0.len() > LEDGER {
            self.0.pop_front();
        }
    }
}

impl<D: Decider> Default for Loaded<D> {
    fn default() -> Self {
        Self { state: D::default(), revision: 0, ledger: Ledger::default(), unsaved: 0 }
    }
}

impl<D: Decider> Loaded<D> {
    pub(super) fn fold(&mut self, stored: &StoredEvent) -> Result<(), WriteError> {
        let event = stored.decode().map_err(|source| WriteError::Decode {
            subject: stored.subject.to_string(),
            seq: stored.seq,
            source,
        })?;
        let event = event.as_ref().and_then(D::Event::from_any).ok_or_else(|| WriteError::UnknownKind {
            subject: stored.subject.to_string(),
            seq: stored.seq,
            kind: stored.envelope.kind.clone(),
        })?;
        self.state.evolve(event);
        self.revision = stored.seq;
        self.unsaved += 1;
        self.ledger.record(stored.envelope.cause, stored.envelope.fingerprint, stored.seq);
        Ok(())
    }
}

/// Loads through the cache: what is cached is brought up to date by what the log has beyond it.
pub(super) async fn load<D: Decider>(inner: &Inner, subject: &Subject) -> Result<Arc<Loaded<D>>, WriteError> {
    let asked = Instant::now();
    let cached = inner.cache.get::<D>(subject);
    let mut loaded = match &cached {
        Some(cached) => Arc::clone(cached),
        None => Arc::new(snapshot::start(inner, subject).await?),
    };
    for stored in inner.store.load(subject, loaded.revision).await? {
        Arc::make_mut(&mut loaded).fold(&stored)?;
    }
    // What does not exist is not kept: ids made up from outside would push out what does.
    if loaded.revision > 0 {
        inner.cache.put(subject, loaded.clone(), asked);
    }
    Ok(loaded)
}

/// Loads without asking the log when it was asked less than `max_age` ago.
pub(super) async fn load_cached<D: Decider>(
    inner: &Inner,
    subject: &Subject,
    max_age: Duration,
) -> Result<Arc<Loaded<D>>, WriteError> {
    match inner.cache.get_confirmed::<D>(subject, max_age) {
        Some(loaded) => Ok(loaded),
        None => load(inner, subject).await,
    }
}

/// The aggregate as it was right after a position; for answering a retried command with its own answer.
pub(super) async fn load_until<D: Decider>(
    inner: &Inner,
    subject: &Subject,
    last: u64,
) -> Result<Loaded<D>, WriteError> {
    let mut loaded = Loaded::default();
    for stored in inner.store.load(subject, 0).await? {
        if stored.seq > last {
            break;
        }
        loaded.fold(&stored)?;
    }
    Ok(loaded)
}
