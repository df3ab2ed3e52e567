//! What came back about the mails of a campaign: bounces, complaints, deliveries.
//!
//! | table    | partition               | sort  | body                          |
//! |----------|-------------------------|-------|-------------------------------|
//! | `people` | campaign id, contact id | empty | [`Returned`]: one receiver    |
//! | `totals` | campaign id             | empty | [`FeedbackTotals`]            |
//!
//! What changes in the totals follows from each event alone, so rows that are ahead of others are right too.

use super::receivers::{self, PEOPLE, TOTALS, person_partition};
use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    codec,
    mail::feedback::{BounceKind, FeedbackEvent},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The name of the view.
pub const FEEDBACK: &str = "feedback";

/// What came back about one receiver's mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    #[serde(rename = "v")]
    pub seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Bounce>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Micros>,
    /// Absent again when it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complained_at: Option<Micros>,
}

/// The gravest bounce that was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    pub kind: BounceKind,
    pub at: Micros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Returned {
    /// Whether any of it proves that the mail had been taken from us.
    pub fn proves_acceptance(&self) -> bool {
        self.bounce.is_some() || self.delivered_at.is_some() || self.complained_at.is_some()
    }
}

/// Receivers of a campaign by what came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackTotals {
    #[serde(rename = "v")]
    pub seq: u64,
    /// Bounced for good.
    pub permanent: u64,
    pub transient: u64,
    pub undetermined: u64,
    pub delivered: u64,
    pub complained: u64,
}

impl FeedbackTotals {
    fn of(&mut self, kind: BounceKind) -> &mut u64 {
        match kind {
            BounceKind::Permanent => &mut self.permanent,
            BounceKind::Transient => &mut self.transient,
            BounceKind::Undetermined => &mut self.undetermined,
        }
    }

    fn apply(&mut self, event: &FeedbackEvent) {
        match event {
            FeedbackEvent::Bounced(bounced) => {
                if let Some(before) = bounced.instead_of {
                    let left = self.of(before).saturating_sub(1);
                    *self.of(before) = left;
                }
                *self.of(bounced.kind) += 1;
            }
            FeedbackEvent::Delivered(_) => self.delivered += 1,
            FeedbackEvent::Complained(_) => self.complained += 1,
            FeedbackEvent::ComplaintWithdrawn(_) => self.complained = self.complained.saturating_sub(1),
        }
    }
}

/// The view.
#[derive(Debug, Default)]
pub struct Feedback;

fn names(event: &FeedbackEvent) -> [RowName; 2] {
    let mail = event.mail();
    let person = RowName::new(PEOPLE, person_partition(mail.campaign, mail.contact), Vec::new());
    [person, RowName::new(TOTALS, mail.campaign.to_string(), Vec::new())]
}

impl Projection for Feedback {
    fn name(&self) -> &'static str {
        FEEDBACK
    }

    fn version(&self) -> u32 {
        1
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == FeedbackEvent::CONTEXT && address.aggregate == FeedbackEvent::AGGREGATE
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        FeedbackEvent::from_any(&event.event).map(|event| names(event).to_vec()).unwrap_or_default()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let refused = || ProjectionError::Event(format!("{} is not an event of {FEEDBACK}", event.envelope.kind));
        let domain = FeedbackEvent::from_any(&event.event).ok_or_else(refused)?;
        let (seq, at) = (event.seq, event.envelope.at);
        let [person_name, totals_name] = names(domain);
        let mut person: Returned = read(rows, &person_name)?;
        if person.seq < seq {
            match domain {
                FeedbackEvent::Bounced(bounced) => {
                    person.bounce = Some(Bounce { kind: bounced.kind, at, status: bounced.status.clone() });
                }
                FeedbackEvent::Delivered(_) => person.delivered_at = Some(at),
                FeedbackEvent::Complained(_) => person.complained_at = Some(at),
                FeedbackEvent::ComplaintWithdrawn(_) => person.complained_at = None,
            }
            person.seq = seq;
            rows.put(person_name, encode(&person)?);
        }
        let mut totals: FeedbackTotals = read(rows, &totals_name)?;
        if totals.seq < seq {
            totals.apply(domain);
            totals.seq = seq;
            rows.put(totals_name, encode(&totals)?);
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned + Default>(rows: &Rows<'_>, name: &RowName) -> Result<T, ProjectionError> {
    let body = rows.get(name).map(|body| codec::decode(&body)).transpose();
    Ok(body.map_err(|error| ProjectionError::Row(error.to_string()))?.unwrap_or_default())
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, ProjectionError> {
    codec::encode(row).map_err(|error| ProjectionError::Row(error.to_string()))
}

impl Views {
    /// What came back about these receivers of a campaign, in their order; at most a page of the read store.
    pub async fn feedback_of(
        &self,
        tenant: &TenantId,
        campaign: Uuid,
        contacts: &[Uuid],
    ) -> Result<Vec<Returned>, ViewError> {
        receivers::people(self, FEEDBACK, tenant, campaign, contacts).await
    }

    /// Receivers of a campaign by what came back.
    pub async fn feedback_totals(&self, tenant: &TenantId, campaign: Uuid) -> Result<FeedbackTotals, ViewError> {
        receivers::totals(self, FEEDBACK, tenant, campaign).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::memory::MemoryStore, generation::Generation, lane, read_store::ReadStore};
    use bus_schema::{
        Actor, Cell, CommandId, Envelope, StoredEvent, Subject,
        events::EventSet,
        mail::{
            feedback::{ComplaintWithdrawn, MailBounced, MailComplained, MailDelivered, feedback_id},
            response::MailRef,
        },
    };
    use std::sync::Arc;

    const CAMPAIGN: Uuid = Uuid::from_u128(0xca);

    fn mail(contact: u128) -> MailRef {
        MailRef { campaign: CAMPAIGN, contact: Uuid::from_u128(contact), seat: None, generation: 0 }
    }

    fn bounced(contact: u128, kind: BounceKind, instead_of: Option<BounceKind>) -> FeedbackEvent {
        MailBounced { mail: mail(contact), kind, instead_of, status: Some("5.1.1".into()), via: "dsn".into() }.into()
    }

    fn stored(seq: u64, event: &FeedbackEvent) -> StoredEvent {
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        let address = Address::new("mail", "feedback", feedback_id(&event.mail()));
        StoredEvent {
            seq,
            subject: Subject::event(&Cell::try_new("eu1").unwrap(), &TenantId::try_new("acme").unwrap(), address),
            envelope: Envelope {
                event_id: command.event(0),
                kind: EventSet::kind(event).to_owned(),
                schema: event.schema(),
                at: Micros(seq as i64),
                actor: Actor::System("mail feedback".into()),
                correlation: CAMPAIGN,
                cause: command,
                fingerprint: None,
                key: None,
                trace: None,
            },
            body: event.encode().unwrap().into(),
        }
    }

    #[tokio::test]
    async fn receivers_are_counted_by_the_gravest_that_came_back() {
        let memory = MemoryStore::new();
        let store = ReadStore::Memory(memory.clone());
        let cell = Cell::try_new("eu1").unwrap();
        let views = Views::open(cell, store.clone(), vec![Arc::new(Feedback)]).await.unwrap();
        let via = || "dsn".to_owned();
        let complained = |contact| MailComplained { mail: mail(contact), kind: "abuse".into(), via: via() }.into();
        let events: [FeedbackEvent; 6] = [
            bounced(1, BounceKind::Transient, None),
            bounced(1, BounceKind::Permanent, Some(BounceKind::Transient)),
            MailDelivered { mail: mail(2), via: via() }.into(),
            complained(2),
            complained(3),
            ComplaintWithdrawn { mail: mail(3), via: via() }.into(),
        ];
        let events: Vec<_> = events.iter().zip(1..).map(|(event, seq)| stored(seq, event)).collect();
        let mut dumps = Vec::new();
        for batch in [1, events.len()] {
            let generation = Generation { view: FEEDBACK.into(), version: 1, number: 0 };
            let slot = lane::Slot::new(Arc::new(Feedback), generation, 0);
            for events in events.chunks(batch) {
                lane::take(&store, &slot, "eu1", events.iter().cloned().map(Ok).collect()).await.unwrap();
            }
            assert_eq!(slot.status("serving").paused, None);
            dumps.push(memory.dump());
        }
        assert_eq!(dumps[0], dumps[1]);
        let tenant = TenantId::try_new("acme").unwrap();
        let totals = views.feedback_totals(&tenant, CAMPAIGN).await.unwrap();
        let expected =
            FeedbackTotals { seq: 6, permanent: 1, transient: 0, undetermined: 0, delivered: 1, complained: 1 };
        assert_eq!(totals, expected);
        let contacts = [1, 2, 3, 4].map(Uuid::from_u128);
        let people = views.feedback_of(&tenant, CAMPAIGN, &contacts).await.unwrap();
        assert_eq!(people[0].bounce.as_ref().map(|bounce| bounce.kind), Some(BounceKind::Permanent));
        assert!(people[1].complained_at.is_some() && people[2].complained_at.is_none());
        let proofs: Vec<bool> = people.iter().map(Returned::proves_acceptance).collect();
        assert_eq!(proofs, [true, true, false, false]);
        let other = TenantId::try_new("other").unwrap();
        assert_eq!(views.feedback_totals(&other, CAMPAIGN).await.unwrap(), FeedbackTotals::default());
    }
}
