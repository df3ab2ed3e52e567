//! Saved segments as people look at them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Keyring, TenantId,
    crm::segment::{SegmentDefinition, SegmentEvent},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Segments;

/// A segment. One that was deleted has no row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentRow {
    pub definition: SegmentDefinition,
}

impl RecordView for Segments {
    const NAME: &'static str = "segments";
    const VERSION: u32 = 1;
    type Event = SegmentEvent;
    type Row = SegmentRow;

    fn fold(row: Option<SegmentRow>, event: &SegmentEvent, _happening: &Happening) -> Option<SegmentRow> {
        match event {
            SegmentEvent::Created(created) => Some(SegmentRow { definition: created.definition.clone() }),
            SegmentEvent::Changed(changed) => row.map(|_| SegmentRow { definition: changed.definition.clone() }),
            SegmentEvent::Deleted(_) => None,
        }
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<SegmentRow>, _keys: &Keyring) -> Option<Doc> {
        let SegmentDefinition { name, description, .. } = &record.row.definition;
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: name.clone() },
                TextPart { weight: Weight::Body, text: description.clone() },
            ],
            fields: vec![
                ("name".to_owned(), FieldValue::Str(name.clone())),
                ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
                ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;
    use bus_schema::crm::segment::{SegmentChanged, SegmentCreated, SegmentDeleted};

    fn definition(filter: &str) -> SegmentDefinition {
        SegmentDefinition { name: "Vip".into(), description: "the best".into(), filter: filter.into() }
    }

    #[tokio::test]
    async fn a_segment_is_what_it_was_changed_to_until_it_is_deleted() {
        let created = SegmentEvent::from(SegmentCreated { definition: definition("{}") });
        let changed = SegmentEvent::from(SegmentChanged { definition: definition(r#"{"tags":"vip"}"#) });
        let row = SegmentRow { definition: definition(r#"{"tags":"vip"}"#) };
        given::<Segments>([created.clone(), changed.clone()]).then_row(row).await;
        given::<Segments>([created, changed, SegmentDeleted {}.into()]).then_no_row().await;
    }
}
