//! Orders and enrolments through a lane over a store in memory.

use super::*;
use crate::{backend::memory::MemoryStore, generation::Generation, harness::sealed, lane, read_store::ReadStore};
use bus_schema::{
    Actor, Cell, CommandId, Currency, Envelope, Money, StoredEvent, Subject,
    events::EventSet,
    learning::enrolment::{Enrolled, EnrolmentSource, LessonCompleted, WithdrawalReason, Withdrawn},
    shop::order::{BuyerDetails, OrderCancelled, OrderPaid, OrderPlaced},
};
use std::sync::Arc;

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
const COURSE: Uuid = Uuid::from_u128(0xc0);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn progress(total: i64, captured: i64, cancelled: bool) -> OrderProgress {
    let currency = Currency::try_new("EUR").unwrap();
    OrderProgress { captured, cancelled, ..OrderProgress::new(Money { amount: total, currency }) }
}

fn placed(contact: Option<Uuid>, total: i64) -> OrderEvent {
    let buyer = sealed(&BuyerDetails::default());
    OrderPlaced { contact, buyer, lines: Vec::new(), progress: progress(total, 0, false) }.into()
}

fn paid(total: i64, captured: i64) -> OrderEvent {
    let progress = progress(total, captured, false);
    let amount = Money { amount: captured, currency: progress.currency };
    OrderPaid { amount, method: "card".into(), reference: captured.to_string(), progress }.into()
}

fn cancelled() -> OrderEvent {
    OrderCancelled { reason: String::new(), progress: progress(500, 500, true) }.into()
}

fn enrolled(contact: Uuid, round: u32) -> EnrolmentEvent {
    let (required, optional, source) = (Vec::new(), Vec::new(), EnrolmentSource::Manual);
    Enrolled { course: COURSE, contact, round, required, optional, source, seat: false }.into()
}

fn lesson(contact: Uuid) -> EnrolmentEvent {
    LessonCompleted { course: COURSE, contact, round: 1, lesson: id(1), score: None, progress: 50 }.into()
}

fn withdrawn(contact: Uuid) -> EnrolmentEvent {
    Withdrawn { course: COURSE, contact, round: 1, reason: WithdrawalReason::Other }.into()
}

struct Log(Vec<StoredEvent>);

impl Log {
    fn add<E: Catalogued>(&mut self, tenant: &str, aggregate: u128, at: i64, event: &E) {
        let seq = self.0.len() as u64 * 2 + 1;
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        let address = Address::new(E::CONTEXT, E::AGGREGATE, id(aggregate));
        self.0.push(StoredEvent {
            seq,
            subject: Subject::event(&Cell::try_new("eu1").unwrap(), &TenantId::try_new(tenant).unwrap(), address),
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
        });
    }
}

/// Takes the events in batches of this size into an empty store, from the start each time it is told to repeat.
async fn take(events: &[StoredEvent], batches: &[usize]) -> (Views, Vec<(String, Vec<u8>, u64, Vec<u8>)>) {
    let memory = MemoryStore::new();
    let store = ReadStore::Memory(memory.clone());
    let views = Views::open(Cell::try_new("eu1").unwrap(), store.clone(), vec![Arc::new(Activities)]).await.unwrap();
    for batch in batches {
        let generation = Generation { view: ACTIVITIES.into(), version: 1, number: 0 };
        let slot = lane::Slot::new(Arc::new(Activities), generation, 0);
        for events in events.chunks(*batch) {
            lane::take(&store, &slot, "eu1", events.iter().cloned().map(Ok).collect()).await.unwrap();
        }
        assert_eq!(slot.status("serving").paused, None);
    }
    let rows = memory.dump();
    (views, rows)
}

#[tokio::test]
async fn orders_count_when_they_are_paid_and_enrolments_once_a_course() {
    let mut log = Log(Vec::new());
    log.add("acme", 1, 10, &placed(Some(ADA), 500));
    log.add("acme", 1, 20, &paid(500, 200));
    log.add("acme", 2, 30, &placed(None, 500));
    log.add("acme", 2, 31, &paid(500, 500));
    log.add("acme", 1, 40, &paid(500, 500));
    // Nothing is to be paid of it.
    log.add("acme", 3, 50, &placed(Some(ADA), 0));
    log.add("acme", 1, 60, &cancelled());
    // History that was brought in later is older.
    log.add("acme", 4, 5, &placed(Some(ADA), 100));
    log.add("acme", 4, 6, &paid(100, 100));
    log.add("acme", 9, 70, &enrolled(BOB, 1));
    log.add("acme", 9, 80, &lesson(BOB));
    log.add("acme", 9, 90, &withdrawn(BOB));
    log.add("acme", 9, 95, &enrolled(BOB, 2));
    log.add("other", 1, 99, &placed(Some(ADA), 0));
    let (views, rows) = take(&log.0, &[log.0.len()]).await;
    let acme = TenantId::try_new("acme").unwrap();
    let people = views.activities(&acme, &[ADA, BOB, COURSE]).await.unwrap();
    let shown = |one: &Activity| (one.orders, one.last_order_at, one.enrolments, one.last_enrolled_at, one.last_at);
    let at = |at| Some(Micros(at));
    assert_eq!(shown(&people[0]), (3, at(50), 0, None, at(50)));
    assert_eq!(shown(&people[1]), (0, None, 1, at(95), at(95)));
    assert_eq!(people[2], Activity::default());
    let other = TenantId::try_new("other").unwrap();
    let people = views.activities(&other, &[ADA, BOB]).await.unwrap();
    assert_eq!((shown(&people[0]), people[1]), ((1, at(99), 0, None, at(99)), Activity::default()));
    assert_eq!(views.contacts_of_orders(&acme, &[id(1), id(2), id(4)]).await.unwrap(), [ADA, ADA]);
    // However the log reaches it, the rows are the same, also when all of it comes again.
    for batches in [&[1][..], &[3], &[1, 14], &[2, 5, 1], &[14, 14]] {
        assert_eq!(take(&log.0, batches).await.1, rows, "in batches of {batches:?}");
    }
}
