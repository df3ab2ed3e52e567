//! Hits through a lane over a store in memory.

use super::*;
use crate::{backend::memory::MemoryStore, generation::Generation, lane, read_store::ReadStore};
use bus_schema::{
    Actor, Cell, CommandId, Envelope, StoredEvent, Subject,
    events::EventSet,
    mail::response::{MailClicked, MailLeft, MailOpened, MailRef},
};
use std::sync::Arc;

fn mail(contact: u128) -> MailRef {
    MailRef { campaign: Uuid::from_u128(0xca), contact: Uuid::from_u128(contact), seat: None, generation: 0 }
}

fn opened(contact: u128, class: ResponseClass) -> ResponseEvent {
    MailOpened { mail: mail(contact), class, reason: "x".into(), origin: None }.into()
}

fn clicked(contact: u128, class: ResponseClass) -> ResponseEvent {
    MailClicked { mail: mail(contact), link: 0, target: "https://x/".into(), class, reason: "x".into(), origin: None }
        .into()
}

fn stored(seq: u64, tenant: &str, at: i64, event: &ResponseEvent) -> StoredEvent {
    let command = CommandId(Uuid::from_u128(u128::from(seq)));
    let address = Address::new(ResponseEvent::CONTEXT, ResponseEvent::AGGREGATE, "b1");
    StoredEvent {
        seq,
        subject: Subject::fact(&Cell::try_new("eu1").unwrap(), &TenantId::try_new(tenant).unwrap(), address),
        envelope: Envelope {
            event_id: command.event(0),
            kind: EventSet::kind(event).to_owned(),
            schema: event.schema(),
            at: Micros(at),
            actor: Actor::Visitor,
            correlation: command.0,
            cause: command,
            fingerprint: None,
            key: None,
            trace: None,
        },
        body: event.encode().unwrap().into(),
    }
}

#[tokio::test]
async fn only_people_count_and_the_latest_time_stays() {
    use ResponseClass::{Human, MachineMpp, Prefetch, Scanner, Unknown};
    let left: ResponseEvent = MailLeft { mail: mail(3) }.into();
    let events: Vec<StoredEvent> = [
        (10, "acme", opened(1, Human)),
        (30, "acme", opened(1, Human)),
        (20, "acme", opened(1, Human)),
        (90, "acme", opened(1, MachineMpp)),
        (40, "acme", clicked(1, Human)),
        (91, "acme", clicked(1, Scanner)),
        (92, "acme", opened(2, Prefetch)),
        (93, "acme", clicked(2, Unknown)),
        (94, "acme", left),
        (95, "other", opened(2, Human)),
    ]
    .into_iter()
    .zip(1..)
    .map(|((at, tenant, event), seq)| stored(seq, tenant, at, &event))
    .collect();
    let memory = MemoryStore::new();
    let store = ReadStore::Memory(memory.clone());
    let views = Views::open(Cell::try_new("eu1").unwrap(), store.clone(), vec![Arc::new(Engagements)]).await.unwrap();
    let mut dumps = Vec::new();
    for batch in [1, events.len(), 3] {
        let generation = Generation { view: ENGAGEMENTS.into(), version: 1, number: 0 };
        let slot = lane::Slot::new(Arc::new(Engagements), generation, 0);
        for events in events.chunks(batch) {
            lane::take(&store, &slot, "fx.eu1", events.iter().cloned().map(Ok).collect()).await.unwrap();
        }
        assert_eq!(slot.status("serving").paused, None);
        dumps.push(memory.dump());
    }
    assert!(dumps[0] == dumps[1] && dumps[1] == dumps[2]);
    let contacts = [1, 2, 3].map(Uuid::from_u128);
    let acme = views.engagements(&TenantId::try_new("acme").unwrap(), &contacts).await.unwrap();
    assert_eq!((acme[0].last_opened_at, acme[0].last_clicked_at), (Some(Micros(30)), Some(Micros(40))));
    assert_eq!((acme[1], acme[2]), (Engagement::default(), Engagement::default()));
    let other = views.engagements(&TenantId::try_new("other").unwrap(), &contacts).await.unwrap();
    assert_eq!((other[0], other[1].last_opened_at), (Engagement::default(), Some(Micros(95))));
}
