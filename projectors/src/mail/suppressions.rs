//! Addresses that get no mail, as the people see them who look after the list, and as sending asks for them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    KeyId, Keyring, Micros, Revealed, Sealed, TenantId,
    mail::suppression::{SuppressedPerson, SuppressionEvent, SuppressionReason},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Suppressions;

/// An address on the list, or one that was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuppressionRow {
    /// `None` when its person was erased.
    pub person: Option<Sealed<SuppressedPerson>>,
    /// The reasons that were not lifted; those that ended by themselves too.
    pub holds: BTreeMap<SuppressionReason, HoldRow>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldRow {
    pub since: Micros,
    pub source: String,
    pub expires_at: Option<Micros>,
}

impl SuppressionRow {
    /// The gravest reason that holds now.
    pub fn reason(&self, now: Micros) -> Option<SuppressionReason> {
        let active = |hold: &HoldRow| hold.expires_at.is_none_or(|end| end > now);
        self.holds.iter().find(|(_, hold)| active(hold)).map(|(reason, _)| *reason)
    }

    /// The address in the clear; `None` after erasure.
    pub fn reveal(&self, keys: &Keyring) -> Option<SuppressedPerson> {
        match self.person.as_ref()?.open(keys) {
            Ok(Revealed::Known(person)) => Some(person),
            Ok(Revealed::Erased) | Err(_) => None,
        }
    }

    /// When the last reason ends by itself; `None`: one holds for good, or none is left.
    fn ends(&self) -> Option<Micros> {
        let ends: Option<Vec<Micros>> = self.holds.values().map(|hold| hold.expires_at).collect();
        ends?.into_iter().max()
    }
}

impl RecordView for Suppressions {
    const NAME: &'static str = "suppressions";
    const VERSION: u32 = 1;
    type Event = SuppressionEvent;
    type Row = SuppressionRow;

    fn fold(row: Option<SuppressionRow>, event: &SuppressionEvent, happening: &Happening) -> Option<SuppressionRow> {
        let mut row = row.unwrap_or(SuppressionRow { person: None, holds: BTreeMap::new() });
        match event {
            SuppressionEvent::Added(added) => {
                row.person = Some(added.person.clone());
                let (source, expires_at) = (added.source.clone(), added.expires_at);
                row.holds.insert(added.reason, HoldRow { since: happening.at, source, expires_at });
            }
            SuppressionEvent::Lifted(lifted) => _ = row.holds.remove(&lifted.reason),
            SuppressionEvent::AddressErased(_) => row.person = None,
        }
        Some(row)
    }

    fn keys(row: &SuppressionRow) -> Vec<KeyId> {
        row.person.iter().map(Sealed::key).collect()
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<SuppressionRow>, keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let email = row.reveal(keys).map(|person| person.email);
        let reasons = row.holds.keys().map(|reason| reason.as_str().to_owned()).collect();
        let mut fields = vec![
            ("reasons".to_owned(), FieldValue::Strs(reasons)),
            ("held".to_owned(), FieldValue::Bool(!row.holds.is_empty())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(row.ends().map(|end| ("expires_at".to_owned(), FieldValue::Time(end.0))));
        fields.extend(email.clone().map(|email| ("email".to_owned(), FieldValue::Str(email))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: email.map(|email| TextPart { weight: Weight::Heading, text: email }).into_iter().collect(),
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{KEY, at, given, keyring, sealed};
    use bus_schema::mail::suppression::{SuppressedAddressErased, SuppressionAdded, SuppressionLifted};

    fn person() -> Sealed<SuppressedPerson> {
        sealed(&SuppressedPerson { email: "ada@x.example".into(), note: None })
    }

    fn added(reason: SuppressionReason, expires_at: Option<Micros>) -> SuppressionEvent {
        SuppressionAdded { person: person(), reason, source: "report".into(), expires_at }.into()
    }

    fn hold(since: Micros, expires_at: Option<Micros>) -> HoldRow {
        HoldRow { since, source: "report".into(), expires_at }
    }

    #[tokio::test]
    async fn reasons_come_and_go_by_themselves() {
        use SuppressionReason::{Complaint, HardBounce};
        let lifted = SuppressionLifted { reason: Complaint, source: "not spam".into() };
        let events = [added(Complaint, None), added(HardBounce, Some(at(9))), lifted.into()];
        let holds = BTreeMap::from([(HardBounce, hold(at(1), Some(at(9))))]);
        let row = SuppressionRow { person: Some(person()), holds };
        let given = given::<Suppressions>(events);
        given.then_row(row.clone()).await;
        assert_eq!((row.reason(at(8)), row.reason(at(9))), (Some(HardBounce), None));
        let doc = given.document(&keyring()).await.unwrap();
        assert!(doc.fields.contains(&("email".to_owned(), FieldValue::Str("ada@x.example".into()))));
        assert!(doc.fields.contains(&("expires_at".to_owned(), FieldValue::Time(at(9).0))));
    }

    #[tokio::test]
    async fn an_erased_address_is_on_the_list_without_itself() {
        let events = [added(SuppressionReason::Manual, None), SuppressedAddressErased { key: KEY }.into()];
        let holds = BTreeMap::from([(SuppressionReason::Manual, hold(at(0), None))]);
        let given = given::<Suppressions>(events);
        given.then_row(SuppressionRow { person: None, holds }).await;
        let doc = given.document(&keyring()).await.unwrap();
        assert!(doc.text.is_empty() && doc.fields.iter().all(|(name, _)| name != "email"), "{doc:?}");
    }
}
