//! Given these events, the view shows this record: however they are delivered.
//!
//! A record view is only right if it does not depend on how the log reaches it. So every test here takes the events
//! into memory in one batch, one by one, cut in two at every place, all twice, and repeated from the start after every
//! event, as a lane does that comes back with an old checkpoint, and compares every stored row with its time.

use crate::{
    backend::memory::MemoryStore,
    generation::Generation,
    lane::{self, Slot},
    read_store::ReadStore,
    record_view::{Happening, Record, RecordProjection, RecordView, fold_record, record_name},
    search::Doc,
};
use bus_schema::{
    Actor, Address, Cell, CommandId, Envelope, KeyId, Keyring, Micros, Personal, Sealed, SealingKey, StoredEvent,
    Subject, TenantId, bus::Followed, catalog::Catalogued, codec, events::EventSet,
};
use std::{ops::Range, sync::Arc};
use uuid::Uuid;

/// The time of the first event: 2026-01-31T23:58:30Z, so that a few events later another month begins.
pub const NOW: Micros = Micros(1_769_903_910_000_000);
/// The record all events are of.
pub const ID: Uuid = Uuid::from_u128(0x1d);
/// The key every sealed value is under.
pub const KEY: KeyId = KeyId(Uuid::from_u128(0x4e));
/// Positions are this far apart: the log also has events of others.
const STEP: u64 = 3;

/// The time of the `index`-th event: a minute after the one before.
pub fn at(index: usize) -> Micros {
    NOW.plus_seconds(60 * i64::try_from(index).expect("a test has few events"))
}

fn key() -> Arc<SealingKey> {
    Arc::new(SealingKey::new(KEY, [7; 32]))
}

/// The keys at hand while the person is not erased.
pub fn keyring() -> Keyring {
    Keyring::default().with(key())
}

/// A value sealed as its aggregate would have sealed it.
pub fn sealed<T: Personal>(value: &T) -> Sealed<T> {
    Sealed::seal(&key(), "harness", value).expect("the harness key seals")
}

/// Starts from the events of one aggregate.
pub fn given<V: RecordView>(events: impl IntoIterator<Item = V::Event>) -> Given<V> {
    Given { events: events.into_iter().collect() }
}

/// Events to be delivered.
pub struct Given<V: RecordView> {
    events: Vec<V::Event>,
}

/// Every row of the view: table, place, time, body.
type Dump = Vec<(String, Vec<u8>, u64, Vec<u8>)>;

impl<V: RecordView> Given<V> {
    /// The record has this row; gives it with what every record has.
    pub async fn then_row(&self, expected: V::Row) -> Record<V::Row> {
        let record = self.record().await.expect("there is a record");
        assert_eq!(record.row, expected);
        let last = self.events.len() - 1;
        assert_eq!((record.revision, record.updated_at), (seq(last), at(last)));
        record
    }

    /// There is no record, and nothing of one is left behind.
    pub async fn then_no_row(&self) {
        assert_eq!(self.record().await, None);
        let rows = self.delivered_alike().await.dump();
        assert!(rows.iter().all(|(table, ..)| table.ends_with(".months")), "{rows:?}");
    }

    /// What search is told of the record.
    pub async fn document(&self, keys: &Keyring) -> Option<Doc> {
        let record = self.record().await?;
        V::document(&tenant(), ID, &record, keys)
    }

    /// The record after every way of delivery, which is also what reading the aggregate's history gives (`as_of`).
    async fn record(&self) -> Option<Record<V::Row>> {
        let stored = self.delivered_alike().await.record::<V>().await;
        let fold = |record, (index, event): (usize, &V::Event)| fold_record::<V>(record, event, &happening(index));
        assert_eq!(stored, self.events.iter().enumerate().fold(None, fold), "the view and the history agree");
        stored
    }

    /// Delivers in every way and compares all rows.
    async fn delivered_alike(&self) -> Stage {
        let all = 0..self.events.len();
        let reference = self.deliver([all.clone()]).await;
        let rows = reference.dump();
        let compare = |stage: Stage, how: String| assert_eq!(stage.dump(), rows, "delivered {how}");
        compare(self.deliver(all.clone().map(|index| index..index + 1)).await, "one by one".into());
        for cut in all.clone() {
            compare(self.deliver([0..cut, cut..all.end]).await, format!("in two batches, cut before {cut}"));
            compare(self.deliver([0..cut, 0..all.end]).await, format!("with what came before {cut} twice"));
        }
        compare(self.deliver([all.clone(), all.clone()]).await, "twice".into());
        compare(self.deliver(all.clone().flat_map(|end| [0..end + 1, 0..end + 1])).await, "again and again".into());
        compare(self.deliver(all.clone().chain(all).map(|index| index..index + 1)).await, "twice, one by one".into());
        reference
    }

    /// Delivers batches. One that does not go on where the last ended comes from a lane with an old checkpoint.
    async fn deliver(&self, batches: impl IntoIterator<Item = Range<usize>>) -> Stage {
        let stage = Stage::new::<V>();
        let mut slot = stage.slot::<V>(0);
        for batch in batches {
            if batch.start < batch.end && slot.position() >= seq(batch.start) {
                slot = stage.slot::<V>(batch.start.checked_sub(1).map_or(0, seq));
            }
            let events = batch.map(|index| stored(index, &self.events[index])).collect();
            lane::take(&stage.store(), &slot, "eu1", events).await.expect("memory takes every batch");
            let status = slot.status("serving");
            assert_eq!(status.paused, None);
        }
        stage
    }
}

/// A view in memory.
struct Stage {
    memory: MemoryStore,
    generation: Generation,
}

impl Stage {
    fn new<V: RecordView>() -> Self {
        let generation = Generation { view: V::NAME.into(), version: V::VERSION, number: 0 };
        Self { memory: MemoryStore::new(), generation }
    }

    fn store(&self) -> ReadStore {
        ReadStore::Memory(self.memory.clone())
    }

    fn slot<V: RecordView>(&self, position: u64) -> Slot {
        Slot::new(Arc::new(RecordProjection::<V>::default()), self.generation.clone(), position)
    }

    fn dump(&self) -> Dump {
        self.memory.dump()
    }

    async fn record<V: RecordView>(&self) -> Option<Record<V::Row>> {
        use crate::read_store::{ReadStorePort, RowKey};
        let name = record_name(ID);
        let table = self.generation.table(name.table).expect("a record table has a valid name");
        let key = RowKey { table, tenant: tenant().shared(), partition: name.partition, sort: name.sort };
        let row = self.store().get(&key).await.expect("memory can be read")?;
        Some(codec::decode(&row.body).expect("a record can be read"))
    }
}

fn tenant() -> TenantId {
    TenantId::try_new("acme").expect("a valid name")
}

fn seq(index: usize) -> u64 {
    STEP * (index as u64 + 1)
}

fn happening(index: usize) -> Happening {
    Happening { id: ID, seq: seq(index), at: at(index), actor: Actor::Visitor }
}

/// An event as the log gives it back.
fn stored<E: Catalogued>(index: usize, event: &E) -> Followed {
    let cell = Cell::try_new("eu1").expect("a valid name");
    let command = CommandId(Uuid::from_u128(index as u128));
    Ok(StoredEvent {
        seq: seq(index),
        subject: Subject::event(&cell, &tenant(), Address::new(E::CONTEXT, E::AGGREGATE, ID)),
        envelope: Envelope {
            event_id: command.event(0),
            kind: event.kind().to_owned(),
            schema: event.schema(),
            at: at(index),
            actor: Actor::Visitor,
            correlation: command.0,
            cause: command,
            fingerprint: None,
            key: Some(KEY),
            trace: None,
        },
        body: EventSet::encode(event).expect("an event can be written").into(),
    })
}
