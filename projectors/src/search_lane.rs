//! Keeps the search index: follows the log for *which* records changed and takes *what* they are from the record views.
//!
//! So a record's document is always made from its present row, however often an event is met again, and the bodies of
//! events are not decoded a second time. The index's own checkpoint is in its commit.

use crate::{
    backend::tantivy::SearchIndex,
    lane::mark_cell,
    record_view::RecordView,
    search::{Change, SearchError},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, TenantId,
    bus::{Bus, Followed},
    catalog::Catalogued,
    keys::KeyDirectory,
    subject::Family,
};
use futures::future::BoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
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
/// How long the index waits for the record views before it looks at the world again.
const VIEW_PATIENCE: Duration = Duration::from_secs(30);

/// A collection that can be searched.
pub trait SearchSource: Send + Sync + 'static {
    fn collection(&self) -> &'static str;
    fn follows(&self, address: &Address) -> bool;
    /// The present documents of some records, or their deletion.
    fn changes<'a>(
        &'a self,
        views: &'a Views,
        keys: &'a KeyDirectory,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Change>, String>>;
}

/// A [`RecordView`] as a collection.
pub struct RecordSource<V>(PhantomData<fn() -> V>);

impl<V> Default for RecordSource<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<V: RecordView> SearchSource for RecordSource<V> {
    fn collection(&self) -> &'static str {
        V::NAME
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == V::Event::CONTEXT && address.aggregate == V::Event::AGGREGATE
    }

    fn changes<'a>(
        &'a self,
        views: &'a Views,
        keys: &'a KeyDirectory,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Change>, String>> {
        Box::pin(async move {
            let records = views.records::<V>(tenant, ids).await.map_err(|error| error.to_string())?;
            let needed: Vec<_> = records.iter().flatten().flat_map(|record| V::keys(&record.row)).collect();
            let ring = keys.load(tenant, &needed).await.map_err(|error| error.to_string())?;
            let change = |(id, record): (&Uuid, &Option<crate::Record<V::Row>>)| {
                let document = record.as_ref().and_then(|record| V::document(tenant, *id, record, &ring));
                match document {
                    Some(document) => Change::Put(document),
                    None => Change::Delete {
                        tenant: tenant.to_string(),
                        collection: V::NAME.to_owned(),
                        id: id.to_string(),
                    },
                }
            };
            Ok(ids.iter().zip(&records).map(change).collect())
        })
    }
}

/// The running index of a cell. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    index: SearchIndex,
    position: watch::Receiver<u64>,
    trouble: watch::Receiver<Option<String>>,
}

impl Search {
    /// Starts following the log from the index's checkpoint.
    pub fn start(
        index: SearchIndex,
        views: Views,
        keys: KeyDirectory,
        bus: Bus,
        sources: Vec<Arc<dyn SearchSource>>,
    ) -> Self {
        let cell = mark_cell(Family::Events, views.cell());
        let start = index.checkpoint(&cell).unwrap_or(0);
        let (positions, position) = watch::channel(start);
        let (troubles, trouble) = watch::channel(None);
        let lane = SearchLane { index: index.clone(), views, keys, bus, sources, cell, positions, troubles };
        tokio::spawn(async move {
            loop {
                if let Err(why) = lane.follow().await {
                    tracing::warn!(%why, "the search index was interrupted and goes on from its checkpoint");
                    lane.troubles.send_replace(Some(why));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
        Self { index, position, trouble }
    }

    pub fn index(&self) -> &SearchIndex {
        &self.index
    }

    /// Everything up to here can be found.
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Why the index does not go on.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Waits until everything up to a position can be found.
    pub async fn wait(&self, seq: u64, at_most: Duration) -> Result<(), ViewError> {
        let mut position = self.position.clone();
        match tokio::time::timeout(at_most, position.wait_for(|position| *position >= seq)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ViewError::Behind { view: "search".into(), position: self.position(), wanted: seq }),
        }
    }
}

struct SearchLane {
    index: SearchIndex,
    views: Views,
    keys: KeyDirectory,
    bus: Bus,
    sources: Vec<Arc<dyn SearchSource>>,
    cell: String,
    positions: watch::Sender<u64>,
    troubles: watch::Sender<Option<String>>,
}

/// What is applied but not committed yet.
struct Pending {
    upto: u64,
    since: Instant,
    erased: bool,
}

impl SearchLane {
    async fn follow(&self) -> Result<(), String> {
        let start = self.index.checkpoint(&self.cell).unwrap_or(0);
        let mut source =
            self.bus.follow(Family::Events, start + 1, Vec::new()).await.map_err(|error| error.to_string())?;
        let mut pending: Option<Pending> = None;
        let mut rhythm = RHYTHM;
        // A process that stopped may have left something to squeeze out; it costs little when there is nothing.
        let mut unpurged = true;
        let mut purged = Instant::now();
        loop {
            let patience = if pending.is_some() { Duration::from_millis(40) } else { PATIENCE };
            let batch = source.next_batch(BATCH, patience).await.map_err(|error| error.to_string())?;
            let quiet = batch.is_empty();
            if let Some((upto, erased)) = self.take(batch).await? {
                let open = pending.get_or_insert(Pending { upto, since: Instant::now(), erased: false });
                open.upto = upto;
                open.erased |= erased;
            }
            if let Some(ready) = pending.take_if(|open| quiet || open.since.elapsed() >= rhythm) {
                let began = Instant::now();
                let mark = BTreeMap::from([(self.cell.clone(), ready.upto)]);
                self.index.commit(mark).await.map_err(|error: SearchError| error.to_string())?;
                rhythm = (began.elapsed() * COMMIT_SHARE).clamp(RHYTHM, SLOWEST);
                self.positions.send_replace(ready.upto);
                unpurged |= ready.erased;
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

    /// Brings the index up to date with the records a batch touched. Gives the last position and whether a person was
    /// erased.
    async fn take(&self, batch: Vec<Followed>) -> Result<Option<(u64, bool)>, String> {
        let mut upto = None;
        let mut erased = false;
        let mut touched: BTreeMap<(usize, TenantId), BTreeSet<Uuid>> = BTreeMap::new();
        for followed in batch {
            // A message that is no event has no record; the view that meets it says so.
            let event = match followed {
                Ok(event) => event,
                Err(malformed) => {
                    upto = Some(malformed.seq);
                    continue;
                }
            };
            upto = Some(event.seq);
            // `contact.erased`, `order.buyer_erased`.
            erased |= event.envelope.kind.ends_with("erased");
            let source = self.sources.iter().position(|source| source.follows(&event.subject.address));
            if let (Some(source), Some(id)) = (source, event.subject.address.uuid()) {
                touched.entry((source, event.subject.tenant)).or_default().insert(id);
            }
        }
        let Some(upto) = upto else { return Ok(None) };
        let used: BTreeSet<usize> = touched.keys().map(|(source, _)| *source).collect();
        for source in used {
            let view = self.sources[source].collection();
            self.views.wait(view, upto, VIEW_PATIENCE).await.map_err(|error| error.to_string())?;
        }
        let mut changes = Vec::new();
        for ((source, tenant), ids) in touched {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            changes.extend(self.sources[source].changes(&self.views, &self.keys, &tenant, &ids).await?);
        }
        if !changes.is_empty() {
            self.index.apply(changes).await.map_err(|error| error.to_string())?;
        }
        Ok(Some((upto, erased)))
    }
}
