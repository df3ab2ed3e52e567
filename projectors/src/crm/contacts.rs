//! Contacts as people look at them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight, grammar::Filterable, literal::FieldType},
};
use bus_schema::{
    KeyId, Keyring, Micros, Revealed, Sealed, TenantId,
    crm::contact::{ConsentEvidence, ConsentRequest, ContactDetails, ContactEvent, Purpose},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub struct Contacts;

/// What lists of contacts and saved segments may be filtered by. Search knows each of them.
pub const FILTERABLE: Filterable = &[
    ("email", FieldType::Keyword),
    ("first_name", FieldType::Text),
    ("last_name", FieldType::Text),
    ("company", FieldType::Text),
    ("city", FieldType::Text),
    ("country", FieldType::Keyword),
    ("tags", FieldType::Keyword),
    ("consents.marketing", FieldType::Bool),
    ("consents.service", FieldType::Bool),
    ("pending_consents.marketing", FieldType::Bool),
    ("pending_consents.service", FieldType::Bool),
    ("import", FieldType::Id),
    ("created_at", FieldType::Time),
    ("updated_at", FieldType::Time),
    ("orders_count", FieldType::Integer),
    ("last_order_at", FieldType::Time),
    ("enrolments_count", FieldType::Integer),
    ("last_enrolled_at", FieldType::Time),
    ("last_opened_at", FieldType::Time),
    ("last_clicked_at", FieldType::Time),
    ("last_activity_at", FieldType::Time),
];

/// Those of [`FILTERABLE`] that are not the record's own: [`super::contact_source`] adds them.
pub const OF_ACTIVITY: [&str; 7] = [
    "orders_count",
    "last_order_at",
    "enrolments_count",
    "last_enrolled_at",
    "last_opened_at",
    "last_clicked_at",
    "last_activity_at",
];

/// Those that facts change: who asks for them waits for the facts too.
pub const OF_FACTS: [&str; 3] = ["last_opened_at", "last_clicked_at", "last_activity_at"];

/// A contact; what is personal is sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactRow {
    /// `None` after erasure.
    pub details: Option<Sealed<ContactDetails>>,
    pub tags: BTreeSet<String>,
    pub consents: BTreeMap<Purpose, Consent>,
    /// Asked for and not confirmed; some may have expired.
    pub pending: BTreeMap<Purpose, PendingConsent>,
    pub import: Option<Uuid>,
}

/// A consent in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    pub recorded_at: Micros,
    pub evidence: Sealed<ConsentEvidence>,
}

/// A consent that was asked for at a form and is not confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingConsent {
    pub asked_at: Micros,
    pub expires_at: Micros,
    pub request: Sealed<ConsentRequest>,
}

impl ContactRow {
    /// The details in the clear, `None` after erasure.
    pub fn reveal(&self, keys: &Keyring) -> Option<ContactDetails> {
        match self.details.as_ref()?.open(keys) {
            Ok(Revealed::Known(details)) => Some(details),
            Ok(Revealed::Erased) | Err(_) => None,
        }
    }
}

impl RecordView for Contacts {
    const NAME: &'static str = "contacts";
    const VERSION: u32 = 2;
    type Event = ContactEvent;
    type Row = ContactRow;

    fn fold(row: Option<ContactRow>, event: &ContactEvent, happening: &Happening) -> Option<ContactRow> {
        if let ContactEvent::Created(created) = event {
            return Some(ContactRow {
                details: Some(created.details.clone()),
                tags: created.tags.iter().cloned().collect(),
                consents: BTreeMap::new(),
                pending: BTreeMap::new(),
                import: created.import,
            });
        }
        // Without a contact this is the home of an address only, which nobody looks at.
        let mut row = row?;
        match event {
            ContactEvent::Changed(changed) => row.details = Some(changed.details.clone()),
            ContactEvent::Tagged(tagged) => _ = row.tags.insert(tagged.tag.clone()),
            ContactEvent::Untagged(untagged) => _ = row.tags.remove(&untagged.tag),
            ContactEvent::ConsentAsked(asked) => {
                let (asked_at, expires_at, request) = (asked.at, asked.expires_at, asked.request.clone());
                row.pending.insert(asked.purpose, PendingConsent { asked_at, expires_at, request });
            }
            ContactEvent::ConsentGiven(given) => {
                row.pending.remove(&given.purpose);
                let consent = Consent { recorded_at: happening.at, evidence: given.evidence.clone() };
                row.consents.insert(given.purpose, consent);
            }
            ContactEvent::ConsentWithdrawn(withdrawn) => {
                row.consents.remove(&withdrawn.purpose);
                row.pending.remove(&withdrawn.purpose);
            }
            ContactEvent::Erased(_) => {
                let (consents, pending) = (BTreeMap::new(), BTreeMap::new());
                row = ContactRow { details: None, tags: BTreeSet::new(), consents, pending, import: row.import };
            }
            ContactEvent::Created(_) | ContactEvent::AddressTaken(_) | ContactEvent::AddressReleased(_) => {}
        }
        Some(row)
    }

    fn keys(row: &ContactRow) -> Vec<KeyId> {
        row.details.iter().map(Sealed::key).collect()
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<ContactRow>, keys: &Keyring) -> Option<Doc> {
        let details = record.row.reveal(keys)?;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let name = format!("{} {}", text(&details.first_name), text(&details.last_name)).trim().to_owned();
        let body = [&details.email, &text(&details.company), &text(&details.city), &text(&details.notes)]
            .map(String::as_str)
            .join(" ");
        let mut fields = vec![
            ("email".to_owned(), FieldValue::Str(details.email.clone())),
            ("tags".to_owned(), FieldValue::Strs(record.row.tags.iter().cloned().collect())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
            ("consents.marketing".to_owned(), FieldValue::Bool(record.row.consents.contains_key(&Purpose::Marketing))),
            ("consents.service".to_owned(), FieldValue::Bool(record.row.consents.contains_key(&Purpose::Service))),
        ];
        for (field, purpose) in [("marketing", Purpose::Marketing), ("service", Purpose::Service)] {
            let pending = record.row.pending.contains_key(&purpose);
            fields.push((format!("pending_consents.{field}"), FieldValue::Bool(pending)));
        }
        let optional = [
            ("first_name", &details.first_name),
            ("last_name", &details.last_name),
            ("company", &details.company),
            ("city", &details.city),
            ("country", &details.country),
        ];
        for (field, value) in optional {
            fields.extend(value.clone().map(|value| (field.to_owned(), FieldValue::Str(value))));
        }
        fields.extend(record.row.import.map(|import| ("import".to_owned(), FieldValue::Str(import.to_string()))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![TextPart { weight: Weight::Heading, text: name }, TextPart { weight: Weight::Body, text: body }],
            fields,
        })
    }
}

#[cfg(test)]
mod tests;
