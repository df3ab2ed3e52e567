//! Timelines through a lane over a store in memory. Events of other contexts are written as their JSON, the form the
//! view knows them by; that they decode proves that the names are right.

use super::*;
use crate::{
    backend::memory::MemoryStore,
    generation::Generation,
    harness::{KEY, sealed},
    lane,
    read_store::ReadStore,
};
use bus_schema::{
    Cell, CommandId, Envelope, StoredEvent, Subject,
    catalog::AGGREGATES,
    crm::contact::{
        AddressTaken, ConsentEvidence, ConsentGiven, ContactCreated, ContactDetails, ContactErased, ContactTagged,
        Purpose,
    },
};
use std::sync::Arc;

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
const ORDER: Uuid = Uuid::from_u128(0x0d);
const ENROLMENT: Uuid = Uuid::from_u128(0xe0);
const COURSE: Uuid = Uuid::from_u128(0xc0);

struct Log {
    memory: MemoryStore,
    views: Views,
    tenant: TenantId,
    events: Vec<StoredEvent>,
}

impl Log {
    async fn new() -> Self {
        let memory = MemoryStore::new();
        let store = ReadStore::Memory(memory.clone());
        let cell = Cell::try_new("eu1").unwrap();
        let views = Views::open(cell, store, vec![Arc::new(Timeline)]).await.unwrap();
        Self { memory, views, tenant: TenantId::try_new("acme").unwrap(), events: Vec::new() }
    }

    fn add(&mut self, aggregate: Uuid, event: impl Into<AnyEvent>) {
        let event: AnyEvent = event.into();
        let seq = self.events.len() as u64 + 1;
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        let home = AGGREGATES.iter().find(|spec| spec.kinds.iter().any(|kind| kind.kind == event.kind())).unwrap();
        let address = Address::new(home.context, home.aggregate, aggregate);
        self.events.push(StoredEvent {
            seq,
            subject: Subject::event(self.views.cell(), &self.tenant, address),
            envelope: Envelope {
                event_id: command.event(0),
                kind: event.kind().to_owned(),
                schema: event.schema(),
                at: Micros(seq as i64),
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

    fn contact(&mut self, id: Uuid, event: impl Into<ContactEvent>) {
        self.add(id, event.into());
    }

    fn other(&mut self, id: Uuid, kind: &str, body: &Value) {
        let event = AnyEvent::from_json(kind, body).unwrap();
        self.add(id, event.unwrap_or_else(|| panic!("{kind} is in the catalogue")));
    }

    /// One by one, then everything once more as one batch: nothing may change by repetition.
    async fn take(&self) {
        let mut rows = Vec::new();
        for batch in [1, self.events.len()] {
            let generation = Generation { view: TIMELINE.into(), version: 2, number: 0 };
            let slot = lane::Slot::new(Arc::new(Timeline), generation, 0);
            for events in self.events.chunks(batch) {
                let events = events.iter().cloned().map(Ok).collect();
                lane::take(self.views.store(), &slot, "eu1", events).await.unwrap();
            }
            let status = slot.status("serving");
            assert_eq!((status.paused, status.position), (None, self.events.len() as u64));
            rows.push(self.memory.dump());
        }
        assert_eq!(rows[0], rows[1]);
    }

    async fn kinds(&self, contact: Uuid) -> Vec<String> {
        let page = self.views.timeline(&self.tenant, contact, None, 100).await.unwrap();
        page.entries.into_iter().map(|(_, entry)| entry.kind).collect()
    }
}

fn created() -> ContactCreated {
    let details = ContactDetails { email: "ada@example.org".into(), ..Default::default() };
    ContactCreated { details: sealed(&details), home: ADA, tags: Vec::new(), import: None }
}

fn progress(captured: i64) -> Value {
    json!({
        "currency": "EUR", "total": 500, "captured": captured, "refunded": 0, "shipped": false, "cancelled": false
    })
}

fn placed(contact: Option<Uuid>) -> Value {
    let buyer = sealed(&ContactDetails { email: "ada@example.org".into(), ..Default::default() });
    let mut body = json!({ "buyer": buyer, "lines": [], "progress": progress(0) });
    if let (Some(contact), Some(fields)) = (contact, body.as_object_mut()) {
        fields.insert("contact".into(), json!(contact));
    }
    body
}

fn paid() -> Value {
    let amount = json!({ "amount": 500, "currency": "EUR" });
    json!({ "amount": amount, "method": "card", "reference": "pay-1", "progress": progress(500) })
}

/// Ada becomes known, buys, learns; Bob only learns; somebody unknown buys.
async fn log() -> Log {
    let mut log = Log::new().await;
    log.contact(ADA, created());
    log.contact(BOB, created());
    log.contact(ADA, ContactTagged { tag: "vip".into() });
    let evidence = ConsentEvidence { source: "form".into(), text_version: "1".into(), ip: None, given_at: Micros(1) };
    log.contact(ADA, ConsentGiven { purpose: Purpose::Marketing, evidence: sealed(&evidence) });
    log.contact(ADA, AddressTaken { by: BOB });
    log.other(ORDER, "order.placed", &placed(Some(ADA)));
    log.other(Uuid::from_u128(9), "order.placed", &placed(None));
    log.other(ORDER, "order.paid", &paid());
    log.other(Uuid::from_u128(9), "order.paid", &paid());
    for (id, contact) in [(ENROLMENT, ADA), (Uuid::from_u128(8), BOB)] {
        let body = json!({
            "course": COURSE, "contact": contact, "round": 1, "required": [COURSE], "source": "manual"
        });
        log.other(id, "enrolment.enrolled", &body);
    }
    log
}

#[tokio::test]
async fn everything_that_concerns_a_contact_newest_first() {
    let log = log().await;
    log.take().await;
    let page = log.views.timeline(&log.tenant, ADA, None, 100).await.unwrap();
    let shown: Vec<(u64, &str, Uuid)> =
        page.entries.iter().map(|(seq, entry)| (*seq, entry.kind.as_str(), entry.id)).collect();
    let expected = [
        (10, "enrolment.enrolled", ENROLMENT),
        (8, "order.paid", ORDER),
        (6, "order.placed", ORDER),
        (4, "contact.consent_given", ADA),
        (3, "contact.tagged", ADA),
        (1, "contact.created", ADA),
    ];
    assert_eq!((shown, page.more, page.erased_at), (expected.to_vec(), false, None));
    let summary = |index: usize| Value::Object(page.entries[index].1.summary.clone());
    assert_eq!(summary(0), json!({ "course": COURSE, "round": 1, "source": "manual" }));
    let amount = json!({ "amount": 500, "currency": "EUR" });
    assert_eq!(summary(1), json!({ "amount": amount, "method": "card", "progress": progress(500) }));
    assert_eq!(summary(2), json!({ "progress": progress(0) }));
    assert_eq!((summary(3), summary(4)), (json!({ "purpose": "marketing" }), json!({ "tag": "vip" })));
    assert_eq!(log.kinds(BOB).await, ["enrolment.enrolled", "contact.created"]);
    assert_eq!(log.kinds(ORDER).await, Vec::<String>::new());
}

#[tokio::test]
async fn pages_join_without_gap() {
    let log = log().await;
    log.take().await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = log.views.timeline(&log.tenant, ADA, after, 4).await.unwrap();
        seen.extend(page.entries.iter().map(|(seq, _)| *seq));
        after = seen.last().copied();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [10, 8, 6, 4, 3, 1]);
    let another = TenantId::try_new("other").unwrap();
    assert!(log.views.timeline(&another, ADA, None, 4).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn an_erased_person_leaves_kinds_and_times() {
    let mut log = log().await;
    log.contact(ADA, ContactErased { key: KEY });
    log.other(ORDER, "order.shipped", &json!({ "carrier": "post", "progress": progress(500) }));
    log.take().await;
    let page = log.views.timeline(&log.tenant, ADA, None, 100).await.unwrap();
    assert_eq!((page.erased_at, page.entries.len()), (Some(Micros(12)), 8));
    assert_eq!(log.kinds(ADA).await[..2], ["order.shipped", "contact.erased"]);
    let shown = page.entries.iter().map(|(_, entry)| serde_json::to_string(entry).unwrap()).collect::<String>();
    assert!(!shown.contains("example.org") && !shown.contains("sealed") && !shown.contains("pay-1"), "{shown}");
}

#[test]
fn summaries_name_kinds_and_fields_that_exist() {
    let kinds = || AGGREGATES.iter().filter(|spec| CONCERNED.contains(&(spec.context, spec.aggregate)));
    let known: Vec<&str> = kinds().flat_map(|spec| spec.kinds.iter().map(|kind| kind.kind)).collect();
    let mut listed: Vec<&str> = SUMMARIES.iter().map(|(kind, _)| *kind).collect();
    listed.sort_unstable();
    let mut expected = known.clone();
    expected.sort_unstable();
    assert_eq!(listed, expected, "each kind says what it shows, even if that is nothing");
}

#[tokio::test]
async fn a_mail_stands_in_the_timeline_of_who_got_it_and_of_nobody_else() {
    let mut log = log().await;
    let (chunk, campaign) = (Uuid::from_u128(0xc4), Uuid::from_u128(0xca));
    let window = |outcomes: Value| json!({"campaign": campaign, "number": 0, "epoch": 1, "outcomes": outcomes});
    // Recipients stand in the order of their ids: Ada, then Bob.
    let planned = json!({"campaign": campaign, "number": 0, "recipients": [ADA, BOB], "class": "marketing",
        "content_hash": "ab", "generation": 0});
    log.other(chunk, "chunk.planned", &planned);
    let attempting =
        json!({"campaign": campaign, "number": 0, "epoch": 1, "indexes": [0, 1], "again": 0, "lease_until": 9});
    log.other(chunk, "chunk.window_attempting", &attempting);
    let first = json!([{"index": 0, "fate": "accepted", "provider": "ses"}, {"index": 1, "fate": "deferred", "cause": "rcpt 450"}]);
    log.other(chunk, "chunk.window_outcome", &window(first));
    log.other(
        chunk,
        "chunk.window_outcome",
        &window(json!([{"index": 1, "fate": "unknown", "cause": "dot: connection lost"}])),
    );
    let proof =
        json!({"campaign": campaign, "number": 0, "entries": [{"index": 1, "accepted": true, "proof": "click"}]});
    log.other(chunk, "chunk.reconciled", &proof);
    log.take().await;
    assert_eq!(log.kinds(ADA).await[0], "campaign.accepted");
    assert_eq!(log.kinds(BOB).await[..3], ["campaign.accepted", "campaign.unknown", "enrolment.enrolled"]);
    let page = log.views.timeline(&log.tenant, BOB, None, 2).await.unwrap();
    let (_, unknown) = &page.entries[1];
    assert_eq!((unknown.context.as_str(), unknown.aggregate.as_str(), unknown.id), ("mail", "campaign", campaign));
    assert_eq!(Value::Object(unknown.summary.clone()), json!({"cause": "dot: connection lost"}));
}
