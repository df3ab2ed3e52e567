//! What operators look at: which workers are paused, which items are parked, which alarms are raised, in all tenants of
//! the cell. Few enough to be kept in memory, and made anew from the log at every start.

use bus_schema::{
    AnyEvent, Micros, StoredEvent, TenantId,
    bus::Bus,
    catalog::Catalogued,
    platform::{
        alarm::{AlarmEvent, AlarmRaised},
        parked_item::{ItemParked, ParkedItemEvent},
        worker::WorkerEvent,
    },
    subject::Family,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use uuid::Uuid;

/// Events read at once.
const BATCH: usize = 500;
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after the log could not be read.
const RETRY: Duration = Duration::from_millis(500);

/// A parked item that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedEntry {
    pub id: Uuid,
    pub tenant: TenantId,
    pub item: ItemParked,
    /// Somebody asked for another try, which has not ended yet.
    pub retrying: bool,
    /// How often it was parked.
    pub times: u32,
    /// When it was parked the last time.
    pub at: Micros,
    /// Position of the event that parked it first; the order of lists.
    pub first: u64,
}

/// An alarm that is raised.
#[derive(Clone, Debug, PartialEq)]
pub struct RaisedAlarm {
    pub id: Uuid,
    pub tenant: TenantId,
    pub alarm: AlarmRaised,
    pub at: Micros,
    /// Position of the event; the order of lists.
    pub first: u64,
}

#[derive(Debug, Default)]
struct State {
    paused: BTreeSet<String>,
    parked: HashMap<(TenantId, Uuid), ParkedEntry>,
    alarms: HashMap<(TenantId, Uuid), RaisedAlarm>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Everything up to here is in the state.
    seen: watch::Sender<u64>,
    caught_up: watch::Sender<bool>,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

impl Board {
    /// Begins to follow the log; ends when nobody holds the board any more.
    pub fn start(bus: Bus) -> Self {
        let (seen, caught_up) = (watch::Sender::new(0), watch::Sender::new(false));
        let board = Self(Arc::new(Inner { state: Mutex::default(), seen, caught_up }));
        let weak = Arc::downgrade(&board.0);
        tokio::spawn(async move {
            let filter =
                |aggregate: &str| format!("{}.{}.*.platform.{aggregate}.*", Family::Events.token(), bus.cell());
            let aggregates = [WorkerEvent::AGGREGATE, ParkedItemEvent::AGGREGATE, AlarmEvent::AGGREGATE];
            let filters: Vec<String> = aggregates.into_iter().map(filter).collect();
            let (mut source, mut next) = (None, 1);
            while let Some(inner) = weak.upgrade() {
                let board = Self(inner);
                let read = async {
                    let source = match &mut source {
                        Some(source) => source,
                        None => source.insert(bus.follow(Family::Events, next, filters.clone()).await?),
                    };
                    // Not to wait as long as there may be more keeps the first look short.
                    let patience = if *board.0.caught_up.borrow() { PATIENCE } else { Duration::ZERO };
                    source.next_batch(BATCH, patience).await
                };
                match read.await {
                    Ok(batch) => {
                        let more = batch.len() >= BATCH;
                        for followed in batch {
                            let seq = followed.as_ref().map_or_else(|malformed| malformed.seq, |event| event.seq);
                            if let Ok(event) = &followed {
                                board.apply(event);
                            }
                            next = seq + 1;
                            board.0.seen.send_replace(seq);
                        }
                        if !more {
                            board.0.caught_up.send_replace(true);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "what operators look at is not up to date");
                        source = None;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        });
        board
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, stored: &StoredEvent) {
        let (tenant, Some(id)) = (&stored.subject.tenant, stored.subject.address.uuid()) else { return };
        let (key, at, seq) = ((tenant.clone(), id), stored.envelope.at, stored.seq);
        let mut state = self.lock();
        match stored.decode() {
            Ok(Some(AnyEvent::Worker(WorkerEvent::Paused(paused)))) => _ = state.paused.insert(paused.worker),
            Ok(Some(AnyEvent::Worker(WorkerEvent::Resumed(resumed)))) => _ = state.paused.remove(&resumed.worker),
            Ok(Some(AnyEvent::ParkedItem(event))) => match event {
                ParkedItemEvent::Parked(item) => {
                    let before = state.parked.get(&key);
                    let (times, first) = before.map_or((1, seq), |entry| (entry.times + 1, entry.first));
                    let entry = ParkedEntry { id, tenant: tenant.clone(), item, retrying: false, times, at, first };
                    state.parked.insert(key, entry);
                }
                ParkedItemEvent::RetryRequested(_) => {
                    state.parked.entry(key).and_modify(|entry| entry.retrying = true);
                }
                ParkedItemEvent::Handled(_) | ParkedItemEvent::Dropped(_) => _ = state.parked.remove(&key),
            },
            Ok(Some(AnyEvent::Alarm(AlarmEvent::Raised(alarm)))) => {
                state.alarms.insert(key, RaisedAlarm { id, tenant: tenant.clone(), alarm, at, first: seq });
            }
            Ok(Some(AnyEvent::Alarm(AlarmEvent::Cleared(_)))) => _ = state.alarms.remove(&key),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, position = seq, "an event for operators cannot be read"),
        }
    }

    /// Returns when everything the log held at the start is known; false when that takes longer.
    pub async fn caught_up(&self, patience: Duration) -> bool {
        let mut caught_up = self.0.caught_up.subscribe();
        tokio::time::timeout(patience, caught_up.wait_for(|yes| *yes)).await.is_ok()
    }

    /// Returns when an event of one of these aggregates at this position is known; false when that takes longer.
    pub async fn wait(&self, position: u64, patience: Duration) -> bool {
        let mut seen = self.0.seen.subscribe();
        tokio::time::timeout(patience, seen.wait_for(|seen| *seen >= position)).await.is_ok()
    }

    /// Changes whenever something here may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.seen.subscribe()
    }

    pub fn is_paused(&self, worker: &str) -> bool {
        self.lock().paused.contains(worker)
    }

    /// Items parked by a worker, or by all, that have not ended; the oldest first.
    pub fn parked(&self, worker: Option<&str>) -> Vec<ParkedEntry> {
        let state = self.lock();
        let wanted = |entry: &&ParkedEntry| worker.is_none_or(|worker| entry.item.worker == worker);
        let mut entries: Vec<_> = state.parked.values().filter(wanted).cloned().collect();
        entries.sort_by_key(|entry| entry.first);
        entries
    }

    /// How many items each worker has parked.
    pub fn parked_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.lock().parked.values() {
            *counts.entry(entry.item.worker.clone()).or_default() += 1;
        }
        counts
    }

    /// One of them, whosever tenant it belongs to.
    pub fn parked_item(&self, id: Uuid) -> Option<ParkedEntry> {
        self.lock().parked.values().find(|entry| entry.id == id).cloned()
    }

    /// What a worker is asked to try again.
    pub fn retries(&self, worker: &str) -> Vec<ParkedEntry> {
        let mut entries = self.parked(Some(worker));
        entries.retain(|entry| entry.retrying);
        entries
    }

    /// The alarms that are raised; the oldest first.
    pub fn alarms(&self) -> Vec<RaisedAlarm> {
        let mut alarms: Vec<_> = self.lock().alarms.values().cloned().collect();
        alarms.sort_by_key(|alarm| alarm.first);
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        Actor, Address, Cell, CommandId, Envelope, EventId, Subject,
        platform::{
            alarm::AlarmCleared,
            parked_item::{ItemDropped, ItemRetryRequested},
            worker::{WorkerPaused, WorkerResumed},
        },
    };

    fn empty() -> Board {
        let (seen, caught_up) = (watch::Sender::new(0), watch::Sender::new(false));
        Board(Arc::new(Inner { state: Mutex::default(), seen, caught_up }))
    }

    fn tell<E: Catalogued>(board: &Board, tenant: &str, id: u128, seq: u64, event: impl Into<E>) {
        let event: E = event.into();
        let (cell, tenant) = (Cell::try_new("eu1").unwrap(), TenantId::try_new(tenant).unwrap());
        let envelope = Envelope {
            event_id: EventId(Uuid::from_u128(seq.into())),
            kind: event.kind().into(),
            schema: event.schema(),
            at: Micros(seq as i64),
            actor: Actor::System("test".into()),
            correlation: Uuid::nil(),
            cause: CommandId(Uuid::nil()),
            fingerprint: None,
            key: None,
            trace: None,
        };
        let subject = Subject::event(&cell, &tenant, Address::new(E::CONTEXT, E::AGGREGATE, Uuid::from_u128(id)));
        board.apply(&StoredEvent { seq, subject, envelope, body: event.encode().unwrap().into() });
    }

    fn item(worker: &str) -> ItemParked {
        ItemParked {
            worker: worker.into(),
            position: 1,
            event: EventId(Uuid::nil()),
            kind: "order.paid".into(),
            subject: "shop.order.x".into(),
            attempts: 3,
            cause: "why".into(),
        }
    }

    #[test]
    fn an_item_is_listed_until_it_has_ended() {
        let board = empty();
        tell::<ParkedItemEvent>(&board, "a", 2, 7, item("letters"));
        tell::<ParkedItemEvent>(&board, "b", 1, 5, item("imports"));
        let listed: Vec<_> = board.parked(None).into_iter().map(|entry| entry.first).collect();
        assert_eq!(listed, [5, 7], "the oldest first, of all tenants");
        assert_eq!(board.parked_counts(), BTreeMap::from([("imports".to_owned(), 1), ("letters".to_owned(), 1)]));
        tell::<ParkedItemEvent>(&board, "a", 2, 8, ItemRetryRequested {});
        assert_eq!(board.retries("letters").len(), 1);
        tell::<ParkedItemEvent>(&board, "a", 2, 9, item("letters"));
        let again = board.parked_item(Uuid::from_u128(2)).unwrap();
        assert_eq!((again.times, again.first, again.retrying), (2, 7, false));
        tell::<ParkedItemEvent>(&board, "a", 2, 10, ItemDropped { reason: String::new() });
        assert!(board.parked(Some("letters")).is_empty());
    }

    #[test]
    fn pauses_and_alarms_hold_until_they_are_taken_back() {
        let board = empty();
        let (worker, reason) = ("letters".to_owned(), String::new());
        tell::<WorkerEvent>(&board, "a", 1, 1, WorkerPaused { worker: worker.clone(), reason });
        assert!(board.is_paused("letters") && !board.is_paused("imports"));
        tell::<WorkerEvent>(&board, "a", 1, 2, WorkerResumed { worker });
        assert!(!board.is_paused("letters"));
        let alarm = AlarmRaised { what: "overdue".into(), about: "x".into(), text: "late".into() };
        tell::<AlarmEvent>(&board, "b", 1, 3, alarm.clone());
        assert_eq!(board.alarms()[0].alarm, alarm);
        tell::<AlarmEvent>(&board, "a", 1, 4, AlarmCleared {});
        assert_eq!(board.alarms().len(), 1, "the same id in another tenant is another alarm");
        tell::<AlarmEvent>(&board, "b", 1, 5, AlarmCleared {});
        assert!(board.alarms().is_empty());
    }
}
