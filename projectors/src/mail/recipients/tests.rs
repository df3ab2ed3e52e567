//! Recipients through a lane over a store in memory.

use super::*;
use crate::{backend::memory::MemoryStore, generation::Generation, lane, read_store::ReadStore};
use bus_schema::{
    Actor, Cell, CommandId, Envelope, StoredEvent, Subject,
    events::EventSet,
    mail::{
        campaign::ConsentPurpose,
        chunk::{
            ChunkClaimed, ChunkDone, ChunkPlanned, ChunkReconciled, ChunkReopened, Outcome, Proof, WindowAttempting,
            WindowOutcome, chunk_id,
        },
    },
};
use std::sync::Arc;

const CAMPAIGN: Uuid = Uuid::from_u128(0xca);

struct Log {
    memory: MemoryStore,
    views: Views,
    tenant: TenantId,
    events: Vec<StoredEvent>,
}

impl Log {
    async fn new() -> Self {
        let memory = MemoryStore::new();
        let cell = Cell::try_new("eu1").unwrap();
        let views = Views::open(cell, ReadStore::Memory(memory.clone()), vec![Arc::new(Recipients)]).await.unwrap();
        Self { memory, views, tenant: TenantId::try_new("acme").unwrap(), events: Vec::new() }
    }

    fn add(&mut self, event: impl Into<ChunkEvent>) {
        let event: ChunkEvent = event.into();
        let seq = self.events.len() as u64 + 1;
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        let place = event.place();
        let address = Address::new("mail", "chunk", chunk_id(place.campaign, place.number));
        self.events.push(StoredEvent {
            seq,
            subject: Subject::event(self.views.cell(), &self.tenant, address),
            envelope: Envelope {
                event_id: command.event(0),
                kind: event.kind().to_owned(),
                schema: event.schema(),
                at: Micros(seq as i64),
                actor: Actor::System("campaigns".into()),
                correlation: command.0,
                cause: command,
                fingerprint: None,
                key: None,
                trace: None,
            },
            body: event.encode().unwrap().into(),
        });
    }

    /// One by one, then everything once more as one batch: nothing may change by repetition.
    async fn take(&self) {
        let mut rows = Vec::new();
        for batch in [1, self.events.len()] {
            let generation = Generation { view: RECIPIENTS.into(), version: 1, number: 0 };
            let slot = lane::Slot::new(Arc::new(Recipients), generation, 0);
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

    async fn all(&self, state: Option<SendState>, limit: usize) -> Vec<Recipient> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.views.recipients(&self.tenant, CAMPAIGN, state, after, limit).await.unwrap();
            assert!(page.recipients.len() <= limit);
            found.extend(page.recipients);
            match page.next {
                Some(next) => after = Some(next.to_string().parse().unwrap()),
                None => return found,
            }
        }
    }
}

fn planned(number: u32, recipients: std::ops::Range<u128>) -> ChunkPlanned {
    ChunkPlanned {
        campaign: CAMPAIGN,
        number,
        recipients: recipients.map(Uuid::from_u128).collect(),
        class: ConsentPurpose::Marketing,
        content_hash: "ab".into(),
        generation: 0,
    }
}

fn attempting(number: u32, indexes: &[u16], again: u16) -> WindowAttempting {
    let (indexes, lease_until) = (indexes.to_vec(), Micros(0));
    WindowAttempting { campaign: CAMPAIGN, number, epoch: 1, indexes, again, lease_until }
}

fn outcome(number: u32, fates: &[(u16, Fate)]) -> WindowOutcome {
    let outcomes = fates.iter().map(|(index, fate)| Outcome {
        cause: (*fate == Fate::Rejected).then(|| "rcpt 550 5.1.1".into()),
        ..Outcome::new(*index, *fate)
    });
    WindowOutcome { campaign: CAMPAIGN, number, epoch: 1, outcomes: outcomes.collect() }
}

#[tokio::test]
async fn every_recipient_has_a_state_and_the_counts_add_up() {
    use Fate::*;
    let mut log = Log::new().await;
    log.add(planned(0, 0..500));
    log.add(planned(1, 500..540));
    log.add(ChunkClaimed { campaign: CAMPAIGN, number: 0, worker: "one".into(), epoch: 1, lease_until: Micros(0) });
    log.add(attempting(0, &[0, 31, 32, 499], 0));
    log.add(outcome(0, &[(0, Accepted), (31, Deferred), (32, Unsent), (499, Rejected)]));
    log.add(attempting(0, &[1, 31, 33], 1));
    log.add(outcome(0, &[(1, Skipped), (31, Unknown), (33, Accepted)]));
    log.add(attempting(1, &[0, 1], 0));
    log.add(ChunkDone { campaign: CAMPAIGN, number: 0, epoch: 1 });
    log.take().await;
    let counts = log.views.recipient_counts(&log.tenant, CAMPAIGN).await.unwrap().unwrap();
    let expected =
        Counts { seq: 8, planned: 533, attempting: 2, accepted: 2, rejected: 1, deferred: 0, unknown: 1, skipped: 1 };
    assert_eq!(counts, expected);
    for limit in [7, 32, 200, 1_000] {
        let all = log.all(None, limit).await;
        let contacts: Vec<u128> = all.iter().map(|recipient| recipient.contact.as_u128()).collect();
        assert_eq!(contacts, (0..540).collect::<Vec<_>>(), "limit {limit}");
        let rejected = log.all(Some(SendState::Rejected), limit).await;
        assert_eq!((rejected.len(), rejected[0].cause.as_deref()), (1, Some("rcpt 550 5.1.1")));
        assert_eq!(rejected[0].contact.as_u128(), 499);
        let accepted: Vec<u128> =
            log.all(Some(SendState::Accepted), limit).await.iter().map(|found| found.contact.as_u128()).collect();
        assert_eq!(accepted, [0, 33]);
    }
    for state in SendState::ALL {
        let mut counts = counts;
        assert_eq!(log.all(Some(state), 50).await.len() as u64, *counts.of(state), "{state:?}");
        assert_eq!(SendState::from_name(state.as_str()), Some(state));
    }
}

#[tokio::test]
async fn other_campaigns_and_wrong_cursors_give_nothing() {
    let mut log = Log::new().await;
    log.add(planned(0, 0..10));
    log.take().await;
    let other = log.views.recipients(&log.tenant, Uuid::from_u128(1), None, None, 50).await.unwrap();
    assert_eq!(other, RecipientPage { recipients: vec![], next: None });
    assert_eq!(log.views.recipient_counts(&log.tenant, Uuid::from_u128(1)).await.unwrap(), None);
    for bad in ["", "-", "x-1", "1-100", "1", "11111111111111111-1", &"1".repeat(30)] {
        assert!(bad.parse::<RecipientCursor>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_retry_and_a_proof_move_those_they_name() {
    use Fate::*;
    let mut log = Log::new().await;
    log.add(planned(0, 0..5));
    log.add(attempting(0, &[0, 1, 2, 3, 4], 0));
    log.add(outcome(0, &[(0, Accepted), (1, Rejected), (2, Deferred), (3, Unknown), (4, Unknown)]));
    log.add(ChunkDone { campaign: CAMPAIGN, number: 0, epoch: 1 });
    let entry = |index, accepted, proof| Reconciled { index, accepted, proof, provider_id: None };
    let entries = vec![entry(3, true, Proof::Click), entry(4, false, Proof::ProviderLog)];
    log.add(ChunkReconciled { campaign: CAMPAIGN, number: 0, entries });
    let (deferred, rejected, unknown) = (vec![2, 4], vec![1], vec![]);
    log.add(ChunkReopened { campaign: CAMPAIGN, number: 0, round: 1, deferred, rejected, unknown });
    log.add(attempting(0, &[1, 2], 0));
    log.add(outcome(0, &[(1, Accepted), (2, Rejected)]));
    log.take().await;
    let counts = log.views.recipient_counts(&log.tenant, CAMPAIGN).await.unwrap().unwrap();
    let expected = Counts { seq: 8, planned: 1, accepted: 3, rejected: 1, ..Counts::default() };
    assert_eq!(counts, expected);
    let all = log.all(None, 50).await;
    let states: Vec<&str> = all.iter().map(|recipient| recipient.state.as_str()).collect();
    assert_eq!(states, ["accepted", "accepted", "rejected", "accepted", "planned"]);
    assert_eq!(all[3].cause.as_deref(), Some("reconciled by click"));
}
