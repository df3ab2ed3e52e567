//! What a contact bought and learned, in sums that segments are made of.
//!
//! | table    | partition  | sort  | body                                  |
//! |----------|------------|-------|---------------------------------------|
//! | `people` | contact id | empty | [`Activity`]                          |
//! | `orders` | order id   | empty | whose it is, and what completed its payment |
//!
//! An order counts from the event that completed its payment on, once, and goes on counting when money goes back: it says who
//! has bought. An enrolment counts with its first round. Times are those of the events, the latest of them, so history that
//! was brought in stands where it belongs.
//!
//! No row holds personal data, and they stay after an erasure; search, which is what asks for them, has no contact then.

use crate::{
    positioned::{change, positioned, read},
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, RowKey},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    codec,
    learning::enrolment::EnrolmentEvent,
    shop::order::{OrderEvent, OrderProgress},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The name of the view.
pub const ACTIVITIES: &str = "activities";

const PEOPLE: &str = "people";
const ORDERS: &str = "orders";

/// What one contact did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    #[serde(rename = "v")]
    pub(super) seq: u64,
    /// Orders that were paid in full.
    pub orders: u64,
    /// When the latest of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_order_at: Option<Micros>,
    /// Courses they were ever enrolled in.
    pub enrolments: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_enrolled_at: Option<Micros>,
    /// The last time they ordered, paid, were enrolled or finished a lesson.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Micros>,
}

/// An order of a contact.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Order {
    #[serde(rename = "v")]
    seq: u64,
    #[serde(rename = "c")]
    contact: Uuid,
    /// The position of the event that completed its payment.
    #[serde(default, rename = "p", skip_serializing_if = "Option::is_none")]
    paid: Option<u64>,
}

positioned![Activity, Order];

/// The view.
#[derive(Debug, Default)]
pub struct Activities;

fn person(contact: Uuid) -> RowName {
    RowName::new(PEOPLE, contact.to_string(), Vec::new())
}

fn order(id: Uuid) -> RowName {
    RowName::new(ORDERS, id.to_string(), Vec::new())
}

/// The later of two times.
pub(super) fn latest(known: Option<Micros>, at: Micros) -> Option<Micros> {
    Some(known.map_or(at, |known| known.max(at)))
}

fn is_of<E: Catalogued>(address: &Address) -> bool {
    address.context == E::CONTEXT && address.aggregate == E::AGGREGATE
}

/// The contact a placed order names and how its money stands, for the two kinds that count.
fn bought(event: &OrderEvent) -> Option<(Option<Uuid>, &OrderProgress)> {
    match event {
        OrderEvent::Placed(placed) => Some((placed.contact, &placed.progress)),
        OrderEvent::Paid(paid) => Some((None, &paid.progress)),
        _ => None,
    }
}

/// The learner, and whether it is a first enrolment; `None` for what the learner did not do.
fn learned(event: &EnrolmentEvent) -> Option<(Uuid, Option<u32>)> {
    match event {
        EnrolmentEvent::Enrolled(enrolled) => Some((enrolled.contact, Some(enrolled.round))),
        EnrolmentEvent::LessonCompleted(done) => Some((done.contact, None)),
        EnrolmentEvent::Completed(done) => Some((done.contact, None)),
        EnrolmentEvent::Withdrawn(_) => None,
    }
}

/// What of an event concerns a contact: the contact itself, or the order whose contact it is.
pub(super) enum Concerns {
    Contact(Uuid),
    Order(Uuid),
}

pub(super) fn concerns(address: &Address, event: &AnyEvent) -> Option<Concerns> {
    if let Some(event) = OrderEvent::from_any(event) {
        bought(event)?;
        return address.uuid().map(Concerns::Order);
    }
    let (contact, _) = learned(EnrolmentEvent::from_any(event)?)?;
    Some(Concerns::Contact(contact))
}

/// Whether an event may concern a contact, before it is decoded.
pub(super) fn follows(address: &Address) -> bool {
    is_of::<OrderEvent>(address) || is_of::<EnrolmentEvent>(address)
}

impl Projection for Activities {
    fn name(&self) -> &'static str {
        ACTIVITIES
    }

    fn version(&self) -> u32 {
        1
    }

    fn follows(&self, address: &Address) -> bool {
        follows(address)
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        match concerns(&event.subject.address, &event.event) {
            Some(Concerns::Contact(contact)) => vec![person(contact)],
            Some(Concerns::Order(id)) => vec![order(id)],
            None => Vec::new(),
        }
    }

    fn reads_further(&self, event: &Recorded<AnyEvent>, rows: &Rows<'_>) -> Vec<RowName> {
        let Some(Concerns::Order(id)) = concerns(&event.subject.address, &event.event) else { return Vec::new() };
        let named = OrderEvent::from_any(&event.event).and_then(bought).and_then(|(contact, _)| contact);
        // A row that cannot be read is reported when it is applied.
        let known = || read::<Order>(rows, &order(id)).ok().flatten().map(|order| order.contact);
        named.or_else(known).map(person).into_iter().collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let (address, seq, at) = (&event.subject.address, event.seq, event.envelope.at);
        if let Some((named, progress)) = OrderEvent::from_any(&event.event).and_then(bought) {
            let refused = || ProjectionError::Event(format!("{} has no order's id", event.subject));
            let id = address.uuid().ok_or_else(refused)?;
            let known = read::<Order>(rows, &order(id))?.map(|order| order.contact);
            // An order without contact concerns nobody.
            let Some(contact) = named.or(known) else { return Ok(()) };
            let complete = !progress.cancelled && progress.captured >= progress.total;
            let row: Order = change(rows, order(id), seq, |row: &mut Order| {
                row.contact = contact;
                row.paid = row.paid.or(complete.then_some(seq));
            })?;
            change(rows, person(contact), seq, |activity: &mut Activity| {
                activity.last_at = latest(activity.last_at, at);
                if row.paid == Some(seq) {
                    activity.orders = activity.orders.saturating_add(1);
                    activity.last_order_at = latest(activity.last_order_at, at);
                }
            })?;
        } else if let Some((contact, round)) = EnrolmentEvent::from_any(&event.event).and_then(learned) {
            change(rows, person(contact), seq, |activity: &mut Activity| {
                activity.last_at = latest(activity.last_at, at);
                if let Some(round) = round {
                    activity.enrolments = activity.enrolments.saturating_add(u64::from(round == 1));
                    activity.last_enrolled_at = latest(activity.last_enrolled_at, at);
                }
            })?;
        }
        Ok(())
    }
}

/// Rows of one table of a view in the order of the ids.
pub(super) async fn rows_of<R: DeserializeOwned>(
    views: &Views,
    (view, table): (&str, &'static str),
    tenant: &TenantId,
    ids: &[Uuid],
) -> Result<Vec<Option<R>>, ViewError> {
    let table = views.serving(view)?.generation().table(table)?;
    let key = |id: &Uuid| RowKey {
        table: table.clone(),
        tenant: tenant.shared(),
        partition: id.to_string(),
        sort: Vec::new(),
    };
    let keys: Vec<RowKey> = ids.iter().map(key).collect();
    let rows = views.store().get_many(&keys).await?;
    rows.into_iter().map(|row| row.map(|row| codec::decode(&row.body).map_err(ViewError::Row)).transpose()).collect()
}

impl Views {
    /// What these contacts bought and learned, in their order.
    pub async fn activities(&self, tenant: &TenantId, contacts: &[Uuid]) -> Result<Vec<Activity>, ViewError> {
        let rows = rows_of(self, (ACTIVITIES, PEOPLE), tenant, contacts).await?;
        Ok(rows.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The contacts of these orders; orders without one are left out.
    pub async fn contacts_of_orders(&self, tenant: &TenantId, orders: &[Uuid]) -> Result<Vec<Uuid>, ViewError> {
        let rows = rows_of::<Order>(self, (ACTIVITIES, ORDERS), tenant, orders).await?;
        Ok(rows.into_iter().flatten().map(|order| order.contact).collect())
    }
}

#[cfg(test)]
mod tests;
