//! Campaigns as people look at them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Keyring, Micros, TenantId,
    mail::campaign::{CampaignContent, CampaignEvent, ConsentPurpose, Segment, SendCounts},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Campaigns;

/// How far a campaign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    Draft,
    Scheduled,
    /// Launched.
    Sending,
    Paused,
    Finished,
    Cancelled,
}

impl CampaignStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Sending => "sending",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }
}

/// When it goes out, and the zone its author thinks in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    pub at: Micros,
    pub time_zone: String,
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignRow {
    pub name: String,
    pub status: CampaignStatus,
    pub segment: Option<Segment>,
    pub content: Option<CampaignContent>,
    /// Only while it is scheduled.
    pub departure: Option<Departure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<Journey>,
}

/// A campaign since it was launched. What became of each recipient is in the view of recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    pub launched_at: Micros,
    /// Once its audience is frozen.
    pub recipients: Option<u64>,
    /// Why it is paused, when the platform paused it.
    pub trouble: Option<String>,
    /// Once it is finished.
    pub finished_at: Option<Micros>,
    pub counts: Option<SendCounts>,
}

impl CampaignRow {
    fn travels(&mut self, change: impl FnOnce(&mut Journey)) {
        if let Some(journey) = &mut self.journey {
            change(journey);
        }
    }
}

/// The word of a purpose, also in filters.
pub fn purpose_word(purpose: ConsentPurpose) -> &'static str {
    match purpose {
        ConsentPurpose::Service => "service",
        ConsentPurpose::Marketing => "marketing",
    }
}

impl RecordView for Campaigns {
    const NAME: &'static str = "campaigns";
    const VERSION: u32 = 1;
    type Event = CampaignEvent;
    type Row = CampaignRow;

    fn fold(row: Option<CampaignRow>, event: &CampaignEvent, happening: &Happening) -> Option<CampaignRow> {
        if let CampaignEvent::Created(created) = event {
            let (name, status) = (created.name.clone(), CampaignStatus::Draft);
            return Some(CampaignRow { name, status, segment: None, content: None, departure: None, journey: None });
        }
        let mut row = row?;
        match event {
            CampaignEvent::AudienceSet(set) => row.segment = Some(set.segment.clone()),
            CampaignEvent::ContentSet(set) => row.content = Some(set.content.clone()),
            CampaignEvent::Scheduled(scheduled) => {
                row.status = CampaignStatus::Scheduled;
                row.departure = Some(Departure { at: scheduled.at, time_zone: scheduled.time_zone.clone() });
            }
            CampaignEvent::Unscheduled(_) => {
                row.status = CampaignStatus::Draft;
                row.departure = None;
            }
            CampaignEvent::Cancelled(_) => {
                row.status = CampaignStatus::Cancelled;
                row.departure = None;
            }
            CampaignEvent::Launched(launched) => {
                row.status = CampaignStatus::Sending;
                row.departure = None;
                if let (Some(filter), Some(segment)) = (&launched.filter, &mut row.segment) {
                    segment.filter.clone_from(filter);
                }
                row.journey = Some(Journey {
                    launched_at: launched.at,
                    recipients: None,
                    trouble: None,
                    finished_at: None,
                    counts: None,
                });
            }
            CampaignEvent::AudienceFrozen(frozen) => {
                row.travels(|journey| journey.recipients = Some(frozen.recipients))
            }
            CampaignEvent::Paused(paused) => {
                row.status = CampaignStatus::Paused;
                row.travels(|journey| journey.trouble.clone_from(&paused.trouble));
            }
            CampaignEvent::Resumed(_) => {
                row.status = CampaignStatus::Sending;
                row.travels(|journey| journey.trouble = None);
            }
            CampaignEvent::Finished(finished) => {
                row.status = CampaignStatus::Finished;
                row.travels(|journey| {
                    journey.finished_at = Some(happening.at);
                    journey.counts = Some(finished.counts);
                });
            }
            CampaignEvent::Retried(_) => {
                row.status = CampaignStatus::Sending;
                row.travels(|journey| journey.finished_at = None);
            }
            CampaignEvent::Created(_) => {}
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<CampaignRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let content = row.content.as_ref();
        let body = content.map(|content| format!("{} {}", content.subject, content.preheader)).unwrap_or_default();
        let mut fields = vec![
            ("name".to_owned(), FieldValue::Str(row.name.clone())),
            ("status".to_owned(), FieldValue::Str(row.status.as_str().to_owned())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(content.map(|content| ("subject".to_owned(), FieldValue::Str(content.subject.clone()))));
        let purpose = row.segment.as_ref().map(|segment| purpose_word(segment.purpose));
        fields.extend(purpose.map(|word| ("purpose".to_owned(), FieldValue::Str(word.to_owned()))));
        let saved = row.segment.as_ref().and_then(|segment| segment.saved);
        fields.extend(saved.map(|saved| ("segment".to_owned(), FieldValue::Str(saved.to_string()))));
        fields.extend(row.departure.as_ref().map(|out| ("scheduled_at".to_owned(), FieldValue::Time(out.at.0))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: row.name.clone() },
                TextPart { weight: Weight::Body, text: body },
            ],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;
    use bus_schema::mail::campaign::{
        AudienceFrozen, AudienceSet, CampaignCancelled, CampaignCreated, CampaignFinished, CampaignLaunched,
        CampaignPaused, CampaignResumed, CampaignScheduled, CampaignUnscheduled, ContentSet,
    };

    const AT: Micros = Micros(1_800_000_000_000_000);

    fn scheduled() -> CampaignEvent {
        CampaignScheduled { at: AT, time_zone: "Europe/Berlin".into() }.into()
    }

    #[tokio::test]
    async fn a_campaign_is_a_draft_scheduled_and_cancelled() {
        let segment = Segment { filter: r#"{"tags":"vip"}"#.into(), purpose: ConsentPurpose::Marketing, saved: None };
        let content = CampaignContent { subject: "Spring".into(), ..Default::default() };
        let mut events = vec![
            CampaignCreated { name: "Spring sale".into() }.into(),
            AudienceSet { segment: segment.clone() }.into(),
            ContentSet { content: content.clone() }.into(),
        ];
        let row = CampaignRow {
            name: "Spring sale".into(),
            status: CampaignStatus::Draft,
            segment: Some(segment),
            content: Some(content),
            departure: None,
            journey: None,
        };
        given::<Campaigns>(events.clone()).then_row(row.clone()).await;
        events.push(scheduled());
        let (status, departure) = (CampaignStatus::Scheduled, Departure { at: AT, time_zone: "Europe/Berlin".into() });
        let given_all = given::<Campaigns>(events.clone());
        given_all.then_row(CampaignRow { status, departure: Some(departure), ..row.clone() }).await;
        let document = given_all.document(&Keyring::default()).await.unwrap();
        assert!(document.fields.contains(&("scheduled_at".into(), FieldValue::Time(AT.0))));
        assert!(document.fields.contains(&("purpose".into(), FieldValue::Str("marketing".into()))));
        events.push(CampaignUnscheduled {}.into());
        given::<Campaigns>(events.clone()).then_row(row.clone()).await;
        events.extend([scheduled(), CampaignCancelled {}.into()]);
        given::<Campaigns>(events).then_row(CampaignRow { status: CampaignStatus::Cancelled, ..row }).await;
    }

    #[tokio::test]
    async fn a_campaign_on_its_way_is_paused_and_finishes() {
        let mut events = vec![
            CampaignCreated { name: "Spring sale".into() }.into(),
            scheduled(),
            CampaignLaunched { scheduled: AT, at: AT, filter: None }.into(),
            AudienceFrozen { chunks: 1, recipients: 3 }.into(),
            CampaignPaused { trouble: Some("the provider takes nothing".into()) }.into(),
        ];
        let paused = given::<Campaigns>(events.clone());
        let mut journey = Journey {
            launched_at: AT,
            recipients: Some(3),
            trouble: Some("the provider takes nothing".into()),
            finished_at: None,
            counts: None,
        };
        let mut row = CampaignRow {
            name: "Spring sale".into(),
            status: CampaignStatus::Paused,
            segment: None,
            content: None,
            departure: None,
            journey: Some(journey.clone()),
        };
        paused.then_row(row.clone()).await;
        let counts = SendCounts { accepted: 2, unknown: 1, ..SendCounts::default() };
        events.extend([CampaignResumed {}.into(), CampaignFinished { counts }.into()]);
        (journey.trouble, journey.counts, journey.finished_at) = (None, Some(counts), Some(crate::harness::at(6)));
        (row.status, row.journey) = (CampaignStatus::Finished, Some(journey));
        given::<Campaigns>(events).then_row(row).await;
    }
}
