//! Keeps the search index: follows the log for *which* records changed and takes *what* they are from the views.
//!
//! So a record's document is always made from its present rows, however often an event is met again. There are two lanes, one
//! over the events and one over the facts; each has its own checkpoint, in the index's commit.

mod source;

pub use self::source::{RecordSource, SearchSource, Touch};

use crate::{
    backend::tantivy::SearchIndex,
    lane::mark_cell,
    search::SearchError,
    views::{ViewError, Views},
};
use bus_schema::{
    TenantId,
    bus::{Bus, Followed},
    keys::KeyDirectory,
    subject::Family,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

const BATCH: usize = 2_000;
const PATIENCE: Duration = Duration::from_millis(250);
/// The least time between two commits of the index while events keep coming.
const RHYTHM: Duration = Duration::from_millis(250);
/// The most of it, however long a commit took.
const SLOWEST: Duration = Duration::from_secs(2);
/// The next commit comes after so many times the last one's duration: they take a tenth of the time at most.
const COMMIT_SHARE: u32 = 10;
/// Erased persons' words are squeezed out of the index's files at most this often.
const PURGE_EVERY: Duration = Duration::from_secs(30);
/// How long the index waits for the views before it looks at the world again.
const VIEW_PATIENCE: Duration = Duration::from_secs(30);
/// Facts that change no document (page visits) move the checkpoint this often; after a death they are looked at again.
const IDLE_MARK: Duration = Duration::from_secs(10);

/// The running index of a cell. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    index: SearchIndex,
    events: Standing,
    facts: Standing,
}

/// How one lane stands.
#[derive(Clone)]
struct Standing {
    position: watch::Receiver<u64>,
    trouble: watch::Receiver<Option<String>>,
}

impl Search {
    /// Starts following the log from the index's checkpoints.
    pub fn start(
        index: SearchIndex,
        views: Views,
        keys: KeyDirectory,
        bus: Bus,
        sources: Vec<Arc<dyn SearchSource>>,
    ) -> Self {
        let fresh = Arc::new(Mutex::new(()));
        let lane = |family| {
            let cell = mark_cell(family, views.cell());
            let (positions, position) = watch::channel(index.checkpoint(&cell).unwrap_or(0));
            let (troubles, trouble) = watch::channel(None);
            let lane = SearchLane {
                index: index.clone(),
                views: views.clone(),
                keys: keys.clone(),
                bus: bus.clone(),
                sources: sources.clone(),
                fresh: fresh.clone(),
                family,
                cell,
                positions,
                troubles,
            };
            tokio::spawn(lane.run());
            Standing { position, trouble }
        };
        let (events, facts) = (lane(Family::Events), lane(Family::Facts));
        Self { index, events, facts }
    }

    pub fn index(&self) -> &SearchIndex {
        &self.index
    }

    /// Every event up to here can be found.
    pub fn position(&self) -> u64 {
        *self.events.position.borrow()
    }

    /// Why the index does not go on.
    pub fn trouble(&self) -> Option<String> {
        let facts = || self.facts.trouble.borrow().clone();
        self.events.trouble.borrow().clone().or_else(facts)
    }

    /// Waits until every event up to a position can be found.
    pub async fn wait(&self, seq: u64, at_most: Duration) -> Result<(), ViewError> {
        self.events.wait("search", seq, at_most).await
    }

    /// The same for the facts, whose positions are their own.
    pub async fn wait_for_facts(&self, seq: u64, at_most: Duration) -> Result<(), ViewError> {
        self.facts.wait("search over facts", seq, at_most).await
    }
}

impl Standing {
    async fn wait(&self, name: &str, seq: u64, at_most: Duration) -> Result<(), ViewError> {
        let mut position = self.position.clone();
        match tokio::time::timeout(at_most, position.wait_for(|position| *position >= seq)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ViewError::Behind { view: name.into(), position: *self.position.borrow(), wanted: seq }),
        }
    }
}

struct SearchLane {
    index: SearchIndex,
    views: Views,
    keys: KeyDirectory,
    bus: Bus,
    sources: Vec<Arc<dyn SearchSource>>,
    /// Held from reading rows until their documents are handed over, so that of two lanes that touch one record the one
    /// that comes last has read what the other did.
    fresh: Arc<Mutex<()>>,
    family: Family,
    cell: String,
    positions: watch::Sender<u64>,
    troubles: watch::Sender<Option<String>>,
}

/// What is applied but not committed yet.
struct Pending {
    since: Instant,
    taken: Taken,
}

/// What a batch was.
#[derive(Clone, Copy, Default)]
struct Taken {
    upto: u64,
    changed: bool,
    /// A person was.
    erased: bool,
}

impl SearchLane {
    async fn run(self) {
        loop {
            if let Err(why) = self.follow().await {
                tracing::warn!(%why, stream = self.cell, "the search index was interrupted and goes on from its checkpoint");
                self.troubles.send_replace(Some(why));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn follow(&self) -> Result<(), String> {
        let start = self.index.checkpoint(&self.cell).unwrap_or(0);
        let mut source =
            self.bus.follow(self.family, start + 1, Vec::new()).await.map_err(|error| error.to_string())?;
        let mut pending: Option<Pending> = None;
        let mut rhythm = RHYTHM;
        // A process that stopped may have left something to squeeze out; it costs little when there is nothing.
        let mut unpurged = self.family == Family::Events;
        let mut purged = Instant::now();
        let mut marked = Instant::now();
        loop {
            let patience = if pending.is_some() { Duration::from_millis(40) } else { PATIENCE };
            let batch = source.next_batch(BATCH, patience).await.map_err(|error| error.to_string())?;
            let quiet = batch.is_empty();
            if let Some(taken) = self.take(batch).await? {
                let open = pending.get_or_insert(Pending { since: Instant::now(), taken });
                open.taken.upto = taken.upto;
                open.taken.changed |= taken.changed;
                open.taken.erased |= taken.erased;
            }
            if let Some(Pending { taken, .. }) = pending.take_if(|open| quiet || open.since.elapsed() >= rhythm) {
                if taken.changed || self.family == Family::Events || marked.elapsed() >= IDLE_MARK {
                    let began = Instant::now();
                    let mark = BTreeMap::from([(self.cell.clone(), taken.upto)]);
                    self.index.commit(mark).await.map_err(|error: SearchError| error.to_string())?;
                    rhythm = (began.elapsed() * COMMIT_SHARE).clamp(RHYTHM, SLOWEST);
                    marked = Instant::now();
                }
                self.positions.send_replace(taken.upto);
                unpurged |= taken.erased;
            }
            if pending.is_none() {
                self.troubles.send_if_modified(|trouble| trouble.take().is_some());
            }
            // It waits for a quiet moment, but not for ever: an erased person has to go.
            let due = if quiet { PURGE_EVERY } else { PURGE_EVERY * 4 };
            if unpurged && pending.is_none() && purged.elapsed() >= due {
                self.index.purge_deleted().await.map_err(|error| error.to_string())?;
                (unpurged, purged) = (false, Instant::now());
            }
        }
    }

    /// Brings the index up to date with the records a batch touched. `None`: there was nothing.
    async fn take(&self, batch: Vec<Followed>) -> Result<Option<Taken>, String> {
        let mut taken = None;
        let mut touched: BTreeMap<(usize, TenantId), [BTreeSet<Uuid>; 2]> = BTreeMap::new();
        for followed in batch {
            let open: &mut Taken = taken.get_or_insert_default();
            // A message that is no event has no record; the view that meets it says so.
            let event = match followed {
                Ok(event) => event,
                Err(malformed) => {
                    open.upto = malformed.seq;
                    continue;
                }
            };
            open.upto = event.seq;
            // `contact.erased`, `order.buyer_erased`.
            open.erased |= event.envelope.kind.ends_with("erased");
            for (number, source) in self.concerned() {
                let (place, id) = match source.touches(&event) {
                    Some(Touch::Record(id)) => (0, id),
                    Some(Touch::Behind(id)) => (1, id),
                    None => continue,
                };
                touched.entry((number, event.subject.tenant.clone())).or_default()[place].insert(id);
            }
        }
        let Some(mut taken) = taken else { return Ok(None) };
        let used: BTreeSet<usize> = touched.keys().map(|(source, _)| *source).collect();
        for view in used.iter().flat_map(|source| self.sources[*source].views(self.family)) {
            self.views.wait(view, taken.upto, VIEW_PATIENCE).await.map_err(|error| error.to_string())?;
        }
        let fresh = self.fresh.lock().await;
        let mut changes = Vec::new();
        for ((source, tenant), [mut ids, behind]) in touched {
            let source = &self.sources[source];
            if !behind.is_empty() {
                let behind: Vec<Uuid> = behind.into_iter().collect();
                ids.extend(source.behind(&self.views, &tenant, &behind).await?);
            }
            let ids: Vec<Uuid> = ids.into_iter().collect();
            changes.extend(source.changes(&self.views, &self.keys, &tenant, &ids).await?);
        }
        taken.changed = !changes.is_empty();
        if taken.changed {
            self.index.apply(changes).await.map_err(|error| error.to_string())?;
        }
        drop(fresh);
        Ok(Some(taken))
    }

    /// The sources this stream concerns, each with its number.
    fn concerned(&self) -> impl Iterator<Item = (usize, &Arc<dyn SearchSource>)> {
        self.sources.iter().enumerate().filter(|(_, source)| !source.views(self.family).is_empty())
    }
}
