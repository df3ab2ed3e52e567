//! The usual view: one record per aggregate, folded from its events, and its places in lists.

use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    sort_key::{Order, SortKey},
};
use bus_schema::{Actor, Address, AnyEvent, KeyId, Keyring, Micros, Recorded, TenantId, catalog::Catalogued, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use uuid::Uuid;

/// The table of the records themselves: partition is the id, sort is empty.
pub const RECORDS: &str = "records";
/// The table of all records, newest first.
pub const NEWEST: &str = "newest";
/// The months in which [`NEWEST`] has rows, so that its partitions stay bounded.
pub const MONTHS: &str = "months";

/// How an aggregate is shown.
pub trait RecordView: Send + Sync + 'static {
    /// The collection's name, also in the API: `contacts`.
    const NAME: &'static str;
    const VERSION: u32;
    type Event: Catalogued;
    /// What is stored. Personal data stays sealed in it; readers open it.
    type Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + std::fmt::Debug;

    /// The record after an event; `None`: there is no record (any more).
    fn fold(row: Option<Self::Row>, event: &Self::Event, happening: &Happening) -> Option<Self::Row>;

    /// Places in lists beside newest-first, each a table of its own. No personal data: these rows are in the clear.
    fn entries(_id: Uuid, _row: &Self::Row) -> Vec<Entry> {
        Vec::new()
    }

    /// The keys that open the record's sealed values.
    fn keys(_row: &Self::Row) -> Vec<KeyId> {
        Vec::new()
    }

    /// What search and filters know of a record. `None`: nothing (an erased person).
    fn document(tenant: &TenantId, id: Uuid, record: &Record<Self::Row>, keys: &Keyring) -> Option<crate::search::Doc>;
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The part of the table's name behind the generation: `by_slug`.
    pub table: &'static str,
    pub partition: String,
    pub sort: Vec<u8>,
}

/// When and by whom, for folds that show it.
#[derive(Clone, Debug)]
pub struct Happening {
    pub id: Uuid,
    pub seq: u64,
    pub at: Micros,
    pub actor: Actor,
}

impl Happening {
    pub fn of<E>(event: &Recorded<E>, id: Uuid) -> Self {
        Self { id, seq: event.seq, at: event.envelope.at, actor: event.envelope.actor.clone() }
    }
}

/// A row with what every record has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<R> {
    /// Position of the aggregate's last event: the ETag.
    #[serde(rename = "v")]
    pub revision: u64,
    /// Position of its first event.
    #[serde(rename = "f")]
    pub first: u64,
    #[serde(rename = "c")]
    pub created_at: Micros,
    #[serde(rename = "u")]
    pub updated_at: Micros,
    #[serde(rename = "r")]
    pub row: R,
}

/// Folds one more event into a record. Also what `as_of` uses over an aggregate's history.
pub fn fold_record<V: RecordView>(
    record: Option<Record<V::Row>>,
    event: &V::Event,
    happening: &Happening,
) -> Option<Record<V::Row>> {
    let (first, created_at) =
        record.as_ref().map_or((happening.seq, happening.at), |record| (record.first, record.created_at));
    let row = V::fold(record.map(|record| record.row), event, happening)?;
    Some(Record { revision: happening.seq, first, created_at, updated_at: happening.at, row })
}

/// A [`RecordView`] as a projection.
pub struct RecordProjection<V>(PhantomData<fn() -> V>);

impl<V> Default for RecordProjection<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

pub(crate) fn record_name(id: Uuid) -> RowName {
    RowName::new(RECORDS, id.to_string(), Vec::new())
}

pub(crate) fn newest_sort(first: u64, id: Uuid) -> Vec<u8> {
    SortKey::new().u64(first, Order::Desc).id(id.into_bytes(), Order::Asc).finish()
}

fn month_name(at: Micros) -> RowName {
    RowName::new(MONTHS, "all", month(at))
}

/// The month of a time, as [`MONTHS`] names it.
pub(crate) fn month(at: Micros) -> String {
    at.to_string().chars().take(7).collect()
}

impl<V: RecordView> Projection for RecordProjection<V> {
    fn name(&self) -> &'static str {
        V::NAME
    }

    fn version(&self) -> u32 {
        V::VERSION
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == V::Event::CONTEXT && address.aggregate == V::Event::AGGREGATE
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        let record = event.subject.address.uuid().map(record_name);
        record.into_iter().chain([month_name(event.envelope.at)]).collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let (Some(id), Some(domain)) = (event.subject.address.uuid(), V::Event::from_any(&event.event)) else {
            return Err(ProjectionError::Event(format!("{} is not an event of {}", event.envelope.kind, V::NAME)));
        };
        let name = record_name(id);
        let before: Option<Record<V::Row>> = match rows.get(&name) {
            Some(body) => Some(codec::decode(&body).map_err(|error| ProjectionError::Row(error.to_string()))?),
            None => None,
        };
        // A row from beyond this event: another lane was here already.
        if before.as_ref().is_some_and(|record| record.revision >= event.seq) {
            return Ok(());
        }
        let old_entries = before.as_ref().map(|record| places::<V>(id, record)).unwrap_or_default();
        let after = fold_record::<V>(before, domain, &Happening::of(event, id));
        let new_entries = after.as_ref().map(|record| places::<V>(id, record)).unwrap_or_default();
        for gone in old_entries.iter().filter(|entry| !new_entries.contains(entry)) {
            rows.delete(RowName::new(gone.table, gone.partition.clone(), gone.sort.clone()));
        }
        for new in new_entries.iter().filter(|entry| !old_entries.contains(entry)) {
            rows.put(RowName::new(new.table, new.partition.clone(), new.sort.clone()), id.as_bytes().to_vec());
        }
        match after {
            Some(record) => {
                // Written once: a scan of the months passes over every version a row ever had.
                let month = month_name(event.envelope.at);
                if old_entries.is_empty() && rows.get(&month).is_none() {
                    rows.put(month, Vec::new());
                }
                let body = codec::encode(&record).map_err(|error| ProjectionError::Row(error.to_string()))?;
                rows.put(name, body);
            }
            None if !old_entries.is_empty() => rows.delete(name),
            None => {}
        }
        Ok(())
    }
}

fn places<V: RecordView>(id: Uuid, record: &Record<V::Row>) -> Vec<Entry> {
    let newest = Entry { table: NEWEST, partition: month(record.created_at), sort: newest_sort(record.first, id) };
    std::iter::once(newest).chain(V::entries(id, &record.row)).collect()
}
