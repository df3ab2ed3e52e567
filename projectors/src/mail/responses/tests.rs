//! Responses through a lane over a store in memory.

use super::*;
use crate::{backend::memory::MemoryStore, generation::Generation, lane, read_store::ReadStore};
use bus_schema::{
    Actor, Cell, CommandId, Envelope, StoredEvent, Subject,
    events::EventSet,
    mail::response::{MailLeft, MailOpened, MailRef},
};
use std::sync::Arc;

const CAMPAIGN: Uuid = Uuid::from_u128(0xca);
const START: i64 = 1_767_225_600_000_000;
const HOUR: i64 = 3_600_000_000;

fn mail(contact: u128) -> MailRef {
    MailRef { campaign: CAMPAIGN, contact: Uuid::from_u128(contact), seat: None, generation: 0 }
}

fn opened(contact: u128, class: ResponseClass) -> ResponseEvent {
    MailOpened { mail: mail(contact), class, reason: "x".into(), origin: None }.into()
}

fn clicked(contact: u128, link: u16, target: &str, class: ResponseClass) -> ResponseEvent {
    MailClicked { mail: mail(contact), link, target: target.into(), class, reason: "x".into(), origin: None }.into()
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
async fn people_and_programs_are_counted_apart_and_each_receiver_once() {
    use ResponseClass::{Human, MachineMpp, Scanner};
    let memory = MemoryStore::new();
    let store = ReadStore::Memory(memory.clone());
    let views = Views::open(Cell::try_new("eu1").unwrap(), store.clone(), vec![Arc::new(Responses)]).await.unwrap();
    let left: ResponseEvent = MailLeft { mail: mail(2) }.into();
    let events: Vec<StoredEvent> = [
        (0, "acme", opened(1, MachineMpp)),
        (0, "acme", opened(1, Human)),
        (1, "acme", opened(1, Human)),
        (1, "acme", clicked(1, 0, "https://x.example/", Human)),
        (1, "acme", clicked(1, 0, "https://x.example/", Human)),
        (1, "acme", clicked(1, 3, "https://y.example/1", Human)),
        (1, "acme", clicked(2, 3, "https://y.example/2", Human)),
        (2, "acme", clicked(3, 0, "https://x.example/", Scanner)),
        (2, "acme", clicked(3, HONEYPOT, "https://news.example/", Scanner)),
        (2, "acme", left.clone()),
        (800, "acme", left),
        (0, "other", opened(1, Human)),
    ]
    .into_iter()
    .zip(1..)
    .map(|((hours, tenant, event), seq)| stored(seq, tenant, START + hours * HOUR, &event))
    .collect();
    let mut dumps = Vec::new();
    // One by one, all again as one batch, and all again from the middle: repetition changes nothing.
    for batch in [1, events.len(), 5] {
        let generation = Generation { view: RESPONSES.into(), version: 1, number: 0 };
        let slot = lane::Slot::new(Arc::new(Responses), generation, 0);
        for events in events.chunks(batch) {
            lane::take(&store, &slot, "fx.eu1", events.iter().cloned().map(Ok).collect()).await.unwrap();
        }
        assert_eq!(slot.status("serving").paused, None);
        dumps.push(memory.dump());
    }
    assert!(dumps[0] == dumps[1] && dumps[1] == dumps[2]);

    let acme = TenantId::try_new("acme").unwrap();
    let totals = views.response_totals(&acme, CAMPAIGN).await.unwrap();
    assert_eq!((totals.openers, totals.machine_openers, totals.clickers, totals.machine_clickers), (1, 1, 2, 1));
    assert_eq!((totals.left, totals.opens.human, totals.opens.machine()), (1, 2, 1));
    assert_eq!((totals.clicks.human, totals.clicks.scanner), (4, 2));
    let links = views.response_links(&acme, CAMPAIGN).await.unwrap();
    let shown: Vec<_> = links
        .iter()
        .map(|(number, link)| (*number, &link.target[..], link.varies, link.clicks.human, link.people))
        .collect();
    assert_eq!(shown, [(0, "https://x.example/", false, 2, 1), (3, "https://y.example/1", true, 2, 2)]);
    let hours = views.response_hours(&acme, CAMPAIGN, "2026-01").await.unwrap();
    let shown: Vec<_> = hours.iter().map(|(hour, row)| (&hour[..], row.openers, row.clickers, row.left)).collect();
    assert_eq!(shown, [("2026-01-01T00", 1, 0, 0), ("2026-01-01T01", 0, 2, 0), ("2026-01-01T02", 0, 0, 1)]);
    let contacts = [3, 1, 9].map(Uuid::from_u128);
    let people = views.responses_of(&acme, CAMPAIGN, &contacts).await.unwrap();
    assert!(people[0].clicked.is_none() && people[0].machine_clicked.is_some());
    assert_eq!(people[1].opened.map(|first| first.at), Some(Micros(START)));
    assert_eq!(people[2], Person::default());
    let other = TenantId::try_new("other").unwrap();
    assert_eq!(views.response_totals(&other, CAMPAIGN).await.unwrap().openers, 1);
}
