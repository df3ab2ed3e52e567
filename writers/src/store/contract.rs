//! What every event store must do. Run over the memory store here and over a real nats-server in `tests`.

use super::{Commit, EventStore, StoreError};
use bus_schema::{
    Actor, Address, AnyEvent, Cell, CommandId, Envelope, Micros, Subject, TenantId,
    bus::Outgoing,
    claim::{ClaimEvent, ClaimTaken},
    ids::random_uuid,
};

/// Runs every check. Each uses subjects of its own, so one store serves them all.
pub async fn run_all(store: &EventStore, cell: &Cell) {
    stores_in_order_and_loads_the_tail(store, cell).await;
    refuses_a_moved_subject(store, cell).await;
    is_all_or_nothing(store, cell).await;
    knows_an_event_id_again(store, cell).await;
    keeps_tenants_apart(store, cell).await;
    keeps_concurrent_commits_apart(store, cell).await;
    gives_the_last_of_each(store, cell).await;
    keeps_the_newest_snapshot(store, cell).await;
}

fn tenant(name: &str) -> TenantId {
    TenantId::try_new(name).expect("a valid name")
}

fn subject(cell: &Cell, of: &str) -> Subject {
    Subject::event(cell, &tenant(of), Address::new("claim", "contract", random_uuid()))
}

fn message(subject: &Subject, expect: Option<u64>, event: bus_schema::EventId) -> Outgoing {
    let event_body = AnyEvent::Claim(ClaimEvent::Taken(ClaimTaken { owner: event.to_string() }));
    let envelope = Envelope {
        event_id: event,
        kind: event_body.kind().into(),
        schema: event_body.schema(),
        at: Micros(1),
        actor: Actor::Visitor,
        correlation: event.0,
        cause: CommandId(event.0),
        fingerprint: None,
        key: None,
        trace: None,
    };
    let body = event_body.encode().expect("a small event").into();
    Outgoing { subject: subject.to_string(), envelope: Some(envelope), body, expect }
}

fn fresh(subject: &Subject, expect: Option<u64>) -> Outgoing {
    message(subject, expect, CommandId::random().event(0))
}

async fn stores_in_order_and_loads_the_tail(store: &EventStore, cell: &Cell) {
    let at = subject(cell, "demo");
    let messages = vec![fresh(&at, Some(0)), fresh(&at, None), fresh(&at, None)];
    let ids: Vec<_> = messages.iter().filter_map(|m| m.envelope.as_ref().map(|e| e.event_id)).collect();
    let first = store.commit(Commit { messages }).await.expect("a commit to an empty subject");
    let loaded = store.load(&at, 0).await.expect("a load");
    assert_eq!(loaded.iter().map(|e| e.envelope.event_id).collect::<Vec<_>>(), ids, "order of a commit");
    assert_eq!(loaded.iter().map(|e| e.seq).collect::<Vec<_>>(), [first, first + 1, first + 2], "contiguous positions");
    let tail = store.load(&at, first).await.expect("a load of the tail");
    assert_eq!(tail.len(), 2, "load gives what is after the position");
    assert!(matches!(tail[0].decode(), Ok(Some(AnyEvent::Claim(_)))), "bodies come back");
}

async fn refuses_a_moved_subject(store: &EventStore, cell: &Cell) {
    let at = subject(cell, "demo");
    let seq = store.commit(Commit { messages: vec![fresh(&at, Some(0))] }).await.expect("the first");
    for wrong in [0, seq + 1, seq.saturating_sub(1)] {
        let outcome = store.commit(Commit { messages: vec![fresh(&at, Some(wrong))] }).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "expectation {wrong} on a subject at {seq}: {outcome:?}");
    }
    store.commit(Commit { messages: vec![fresh(&at, Some(seq))] }).await.expect("the right expectation");
    assert_eq!(store.load(&at, 0).await.expect("a load").len(), 2);
}

async fn is_all_or_nothing(store: &EventStore, cell: &Cell) {
    let (one, two) = (subject(cell, "demo"), subject(cell, "demo"));
    store.commit(Commit { messages: vec![fresh(&two, Some(0))] }).await.expect("the obstacle");
    let outcome = store.commit(Commit { messages: vec![fresh(&one, Some(0)), fresh(&two, Some(0))] }).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    assert!(store.load(&one, 0).await.expect("a load").is_empty(), "nothing of a refused commit is stored");
}

async fn knows_an_event_id_again(store: &EventStore, cell: &Cell) {
    let (one, two) = (subject(cell, "demo"), subject(cell, "demo"));
    let id = CommandId::random().event(0);
    store.commit(Commit { messages: vec![message(&one, Some(0), id)] }).await.expect("the first");
    let outcome = store.commit(Commit { messages: vec![message(&two, Some(0), id)] }).await;
    assert!(matches!(outcome, Err(StoreError::Duplicate)), "{outcome:?}");
    assert!(store.load(&two, 0).await.expect("a load").is_empty());
}

async fn keeps_tenants_apart(store: &EventStore, cell: &Cell) {
    let address = Address::new("claim", "contract", random_uuid());
    let (one, two) = ("demo", "demo-2");
    let one = Subject::event(cell, &tenant(one), address.clone());
    let two = Subject::event(cell, &tenant(two), address);
    store.commit(Commit { messages: vec![fresh(&one, Some(0))] }).await.expect("one tenant");
    assert!(store.load(&two, 0).await.expect("a load").is_empty(), "the same id of another tenant is another subject");
    store.commit(Commit { messages: vec![fresh(&two, Some(0))] }).await.expect("the other tenant");
}

async fn keeps_concurrent_commits_apart(store: &EventStore, cell: &Cell) {
    let contested = subject(cell, "demo");
    let commits = (0..64).map(|index| {
        let own = subject(cell, "demo");
        let contested = contested.clone();
        async move {
            // Every fourth fights for one subject; the others must not suffer from it.
            let messages = if index % 4 == 0 {
                vec![fresh(&contested, Some(0))]
            } else {
                vec![fresh(&own, Some(0)), fresh(&own, None)]
            };
            (index, own, store.commit(Commit { messages }).await)
        }
    });
    let outcomes = futures::future::join_all(commits).await;
    let won = outcomes.iter().filter(|(index, _, outcome)| index % 4 == 0 && outcome.is_ok()).count();
    assert_eq!(won, 1, "one winner of a contested subject");
    for (index, own, outcome) in outcomes {
        if index % 4 != 0 {
            let first = outcome.unwrap_or_else(|error| panic!("an innocent commit failed: {error}"));
            let loaded = store.load(&own, 0).await.expect("a load");
            assert_eq!(loaded.iter().map(|e| e.seq).collect::<Vec<_>>(), [first, first + 1]);
        }
    }
}

async fn gives_the_last_of_each(store: &EventStore, cell: &Cell) {
    let (one, two, none) = (subject(cell, "demo"), subject(cell, "demo"), subject(cell, "demo"));
    store.commit(Commit { messages: vec![fresh(&one, Some(0)), fresh(&one, None)] }).await.expect("one");
    store.commit(Commit { messages: vec![fresh(&two, Some(0))] }).await.expect("two");
    let mut last = store.last_events(&[one.clone(), none, two.clone()]).await.expect("the last of each");
    last.sort_by_key(|event| event.seq);
    assert_eq!(last.iter().map(|event| event.subject.clone()).collect::<Vec<_>>(), [one.clone(), two]);
    assert_eq!(last[0].seq, store.load(&one, 0).await.expect("a load")[1].seq);
}

async fn keeps_the_newest_snapshot(store: &EventStore, cell: &Cell) {
    let at = subject(cell, "demo");
    assert!(store.snapshot(&at).await.expect("no snapshot").is_none());
    store.keep_snapshot(&at, "one".into()).await.expect("kept");
    store.keep_snapshot(&at, "two".into()).await.expect("kept");
    assert_eq!(store.snapshot(&at).await.expect("a snapshot").as_deref(), Some(b"two".as_slice()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryStore;

    #[tokio::test]
    async fn the_memory_store_keeps_the_contract() {
        let cell = Cell::try_new("eu1").expect("a cell");
        run_all(&EventStore::Memory(MemoryStore::default()), &cell).await;
    }
}
