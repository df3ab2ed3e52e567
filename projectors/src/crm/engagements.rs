//! When a contact last opened or followed a mail, as a person: what segments ask about mails.
//!
//! | table    | partition  | sort  | body           |
//! |----------|------------|-------|----------------|
//! | `people` | contact id | empty | [`Engagement`] |
//!
//! Hits of programs (picture proxies, scanners, prefetching) are not here: they say nothing about the contact. It follows
//! facts, which have an order of their own, and so is a view beside [`super::activities`].

use super::activities::{latest, rows_of};
use crate::{
    positioned::{change, positioned},
    projection::{Projection, ProjectionError, RowName, Rows},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    mail::response::{ResponseClass, ResponseEvent},
    subject::Family,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of the view.
pub const ENGAGEMENTS: &str = "engagements";

const PEOPLE: &str = "people";

/// What one contact did with mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    #[serde(rename = "v")]
    pub(super) seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_opened_at: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_clicked_at: Option<Micros>,
}

positioned![Engagement];

/// The view.
#[derive(Debug, Default)]
pub struct Engagements;

/// Whether a fact may concern a contact, before it is decoded.
pub(super) fn follows(address: &Address) -> bool {
    address.context == ResponseEvent::CONTEXT && address.aggregate == ResponseEvent::AGGREGATE
}

/// The contact, if it was a person's hit.
pub(super) fn concerns(event: &AnyEvent) -> Option<Uuid> {
    let event = ResponseEvent::from_any(event)?;
    let human = match event {
        ResponseEvent::Opened(opened) => opened.class == ResponseClass::Human,
        ResponseEvent::Clicked(clicked) => clicked.class == ResponseClass::Human,
        ResponseEvent::Left(_) => false,
    };
    human.then(|| event.mail().contact)
}

fn person(contact: Uuid) -> RowName {
    RowName::new(PEOPLE, contact.to_string(), Vec::new())
}

impl Projection for Engagements {
    fn name(&self) -> &'static str {
        ENGAGEMENTS
    }

    fn version(&self) -> u32 {
        1
    }

    fn family(&self) -> Family {
        Family::Facts
    }

    fn follows(&self, address: &Address) -> bool {
        follows(address)
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        concerns(&event.event).map(person).into_iter().collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let Some(contact) = concerns(&event.event) else { return Ok(()) };
        let (seq, at) = (event.seq, event.envelope.at);
        let clicked = matches!(ResponseEvent::from_any(&event.event), Some(ResponseEvent::Clicked(_)));
        change(rows, person(contact), seq, |row: &mut Engagement| {
            let last = if clicked { &mut row.last_clicked_at } else { &mut row.last_opened_at };
            *last = latest(*last, at);
        })?;
        Ok(())
    }
}

impl Views {
    /// What these contacts did with mails, in their order.
    pub async fn engagements(&self, tenant: &TenantId, contacts: &[Uuid]) -> Result<Vec<Engagement>, ViewError> {
        let rows = rows_of(self, (ENGAGEMENTS, PEOPLE), tenant, contacts).await?;
        Ok(rows.into_iter().map(Option::unwrap_or_default).collect())
    }
}

#[cfg(test)]
mod tests;
