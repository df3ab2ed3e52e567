//! What happened with a contact: its own events, its orders, its enrolments and its mails, newest first.
//!
//! | table     | partition  | sort                    | body                             |
//! |-----------|------------|-------------------------|----------------------------------|
//! | `entries` | contact id | position, newest first  | [`TimelineEntry`]                |
//! | `orders`  | order id   | empty                   | the contact who placed the order |
//! | `chunks`  | chunk id   | empty                   | the recipients of the chunk      |
//! | `erased`  | contact id | empty                   | the time of the erasure          |
//!
//! Only the first event of an order names its contact; `orders` leads there from the later ones. Every event of an
//! enrolment names it. Of a campaign there is one entry for each end of a contact's mail ([`mails`]), not for each attempt:
//! those are at the campaign's recipient.
//!
//! No row holds personal data: an entry has the kind, the time, the actor and a few fields chosen by kind, none of them
//! sealed. So **after an erasure the rows stay**, kinds and times being what a tenant must account for (that a consent was
//! withdrawn, that an order was refunded), but a reader shows them without actor and summary: see
//! [`TimelinePage::erased_at`].
//!
//! Events of other contexts are read by the names of their fields, which are the stored form and as stable as a golden; but
//! those of chunks by their types, since a campaign has many.

use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, RowKey, Scan},
    sort_key::{Order, SortKey},
    views::{ViewError, Views},
};
use bus_schema::{
    Actor, Address, AnyEvent, Micros, Recorded, TenantId, catalog::Catalogued, codec, crm::contact::ContactEvent,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

mod mails;

/// The name of the view.
pub const TIMELINE: &str = "timeline";

const ENTRIES: &str = "entries";
const ORDERS: &str = "orders";
const ERASED: &str = "erased";

/// The other aggregates that concern a contact.
const CONCERNED: [(&str, &str); 2] = [("shop", "order"), ("learning", "enrolment")];

/// What a summary shows of other contexts' events. None of these fields may hold personal data; texts that people write
/// freely (reasons, references) are left out.
const SUMMARIES: &[(&str, &[&str])] = &[
    ("order.placed", &["progress"]),
    ("order.paid", &["amount", "method", "progress"]),
    ("order.shipped", &["carrier", "progress"]),
    ("order.cancelled", &["progress"]),
    ("order.refunded", &["amount", "progress"]),
    ("order.returned", &["pieces", "progress"]),
    ("order.buyer_erased", &["progress"]),
    ("enrolment.enrolled", &["course", "round", "source"]),
    ("enrolment.lesson_completed", &["course", "round", "lesson", "score", "progress"]),
    ("enrolment.completed", &["course", "round"]),
    ("enrolment.withdrawn", &["course", "round", "reason"]),
];

/// One event that concerns a contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub kind: String,
    pub at: Micros,
    pub actor: Actor,
    pub context: String,
    pub aggregate: String,
    /// Of the aggregate: the contact, the order, the enrolment.
    pub id: Uuid,
    /// Fields by name, by kind.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub summary: Map<String, Value>,
}

/// A page of a timeline, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelinePage {
    /// Entries by their position in the log.
    pub entries: Vec<(u64, TimelineEntry)>,
    /// Whether there are older ones.
    pub more: bool,
    /// When the person was erased: entries are then to be shown without actor and summary.
    pub erased_at: Option<Micros>,
}

/// The view.
#[derive(Debug, Default)]
pub struct Timeline;

fn order(id: Uuid) -> RowName {
    RowName::new(ORDERS, id.to_string(), Vec::new())
}

fn erased(contact: Uuid) -> RowName {
    RowName::new(ERASED, contact.to_string(), Vec::new())
}

fn place(seq: u64) -> Vec<u8> {
    SortKey::new().u64(seq, Order::Desc).finish()
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, ProjectionError> {
    codec::encode(row).map_err(|error| ProjectionError::Row(error.to_string()))
}

/// What an event of the contact itself shows. `None`: the event is about an address, not about the person.
fn summary_of_contact(event: &ContactEvent) -> Option<Value> {
    Some(match event {
        ContactEvent::Created(created) => match created.import {
            Some(import) => json!({ "import": import }),
            None => json!({}),
        },
        ContactEvent::Changed(changed) => match changed.import {
            Some(import) => json!({ "import": import }),
            None => json!({}),
        },
        ContactEvent::Tagged(tagged) => json!({ "tag": tagged.tag }),
        ContactEvent::Untagged(untagged) => json!({ "tag": untagged.tag }),
        ContactEvent::ConsentAsked(asked) => json!({ "purpose": asked.purpose }),
        ContactEvent::ConsentGiven(given) => json!({ "purpose": given.purpose }),
        ContactEvent::ConsentWithdrawn(withdrawn) => json!({ "purpose": withdrawn.purpose }),
        ContactEvent::Erased(_) => json!({}),
        ContactEvent::AddressTaken(_) | ContactEvent::AddressReleased(_) => return None,
    })
}

/// The named fields of an event of another context that are there.
fn summary_of(kind: &str, fields: &Map<String, Value>) -> Map<String, Value> {
    let shown = SUMMARIES.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, shown)| *shown);
    shown.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone()))).collect()
}

fn is_order(address: &Address) -> bool {
    (address.context.as_str(), address.aggregate.as_str()) == CONCERNED[0]
}

impl Projection for Timeline {
    fn name(&self) -> &'static str {
        TIMELINE
    }

    fn version(&self) -> u32 {
        2
    }

    fn follows(&self, address: &Address) -> bool {
        let is = |(context, aggregate): (&str, &str)| address.context == context && address.aggregate == aggregate;
        is((ContactEvent::CONTEXT, ContactEvent::AGGREGATE)) || CONCERNED.into_iter().any(is) || mails::follows(address)
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        if let Some(chunk) = mails::reads(event) {
            return vec![chunk];
        }
        let address = &event.subject.address;
        address.uuid().filter(|_| is_order(address)).map(order).into_iter().collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let (address, at) = (&event.subject.address, event.envelope.at);
        let refused = || ProjectionError::Event(format!("{} is not an event of {TIMELINE}", event.envelope.kind));
        let id = address.uuid().ok_or_else(refused)?;
        if mails::follows(address) {
            return mails::apply(id, event, rows);
        }
        let (contact, summary) = if let Some(own) = ContactEvent::from_any(&event.event) {
            let Some(Value::Object(summary)) = summary_of_contact(own) else { return Ok(()) };
            if let ContactEvent::Erased(_) = own {
                rows.put(erased(id), encode(&at)?);
            }
            (id, summary)
        } else {
            let Value::Object(fields) = event.event.to_json() else { return Err(refused()) };
            let named = fields.get("contact").and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok());
            let known = || rows.get(&order(id)).and_then(|body| Uuid::from_slice(&body).ok());
            // An order without contact concerns nobody.
            let Some(contact) = named.or_else(known) else { return Ok(()) };
            if named.is_some() && is_order(address) {
                rows.put(order(id), contact.as_bytes().to_vec());
            }
            (contact, summary_of(&event.envelope.kind, &fields))
        };
        let entry = TimelineEntry {
            kind: event.envelope.kind.clone(),
            at,
            actor: event.envelope.actor.clone(),
            context: address.context.clone(),
            aggregate: address.aggregate.clone(),
            id,
            summary,
        };
        rows.put(RowName::new(ENTRIES, contact.to_string(), place(event.seq)), encode(&entry)?);
        Ok(())
    }
}

impl Views {
    /// What happened with a contact, newest first, before the position `after`.
    pub async fn timeline(
        &self,
        tenant: &TenantId,
        contact: Uuid,
        after: Option<u64>,
        limit: usize,
    ) -> Result<TimelinePage, ViewError> {
        let table = |name| Ok::<_, ViewError>(self.serving(TIMELINE)?.generation().table(name)?);
        let mut scan = Scan::new(table(ENTRIES)?, tenant.shared(), contact.to_string(), limit.saturating_add(1));
        if let Some(after) = after {
            scan = scan.after(place(after));
        }
        let mut found = self.store().scan(&scan).await?.rows;
        let more = found.len() > limit;
        found.truncate(limit);
        let read = |row: crate::read_store::StoredRow| {
            // The row's time is the event's position and the row's slot.
            Ok((row.ts >> 8, codec::decode(&row.body).map_err(ViewError::Row)?))
        };
        let entries = found.into_iter().map(read).collect::<Result<_, ViewError>>()?;
        let RowName { table: name, partition, sort } = erased(contact);
        let key = RowKey { table: table(name)?, tenant: tenant.shared(), partition, sort };
        let gone = self.store().get(&key).await?;
        let erased_at = gone.map(|row| codec::decode(&row.body)).transpose().map_err(ViewError::Row)?;
        Ok(TimelinePage { entries, more, erased_at })
    }
}

#[cfg(test)]
mod tests;
