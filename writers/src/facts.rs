//! Facts: many, append-only, decided by nobody (a page visit, a mail opened). They need no aggregate and no load.

use crate::{
    store::{Commit, EventStore, StoreError},
    writer::{Meta, WriteError},
};
use bus_schema::{
    Address, Cell, Envelope, Micros, Subject, TenantId, bus::Outgoing, catalog::Catalogued, events::EventSet,
};

pub use bus_schema::bus::MAX_BATCH;

/// Buckets a journal of one tenant is spread over: bounds the number of subjects.
pub const BUCKETS: u8 = 16;

/// Publishes facts of one cell. Idempotent by the event id within the server's window.
#[derive(Clone)]
pub struct Facts {
    cell: Cell,
    store: EventStore,
}

impl Facts {
    /// `store` must be one whose group commit writes to the stream of facts only.
    pub fn new(cell: Cell, store: EventStore) -> Self {
        Self { cell, store }
    }

    /// Records one fact durably and gives its position in the stream of facts.
    pub async fn record<E: Catalogued>(
        &self,
        tenant: &TenantId,
        meta: &Meta,
        at: Micros,
        fact: &E,
    ) -> Result<u64, WriteError> {
        let message = self.message(tenant, meta, at, fact)?;
        match self.store.commit(Commit { messages: vec![message] }).await {
            Ok(seq) => Ok(seq),
            Err(StoreError::Duplicate) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Records several facts in one durable step, all or none; at most [`MAX_BATCH`]. Much cheaper than one by one. For
    /// facts under fresh ids: one that is in the stream already refuses all with [`StoreError::Duplicate`].
    pub async fn record_all<E: Catalogued>(&self, facts: &[Fact<E>]) -> Result<(), WriteError> {
        if facts.is_empty() {
            return Ok(());
        }
        let message = |fact: &Fact<E>| self.message(&fact.tenant, &fact.meta, fact.at, &fact.fact);
        let messages = facts.iter().map(message).collect::<Result<_, _>>()?;
        self.store.commit(Commit { messages }).await?;
        Ok(())
    }

    fn message<E: Catalogued>(
        &self,
        tenant: &TenantId,
        meta: &Meta,
        at: Micros,
        fact: &E,
    ) -> Result<Outgoing, WriteError> {
        let event_id = meta.command.event(0);
        let bucket = event_id.0.as_bytes()[15] % BUCKETS;
        let subject = Subject::fact(&self.cell, tenant, Address::new(E::CONTEXT, E::AGGREGATE, format!("b{bucket}")));
        let envelope = Envelope {
            event_id,
            kind: EventSet::kind(fact).to_owned(),
            schema: fact.schema(),
            at,
            actor: meta.actor.clone(),
            correlation: meta.correlation,
            cause: meta.command,
            fingerprint: None,
            key: None,
            trace: meta.trace.clone(),
        };
        let body = fact.encode()?.into();
        Ok(Outgoing { subject: subject.to_string(), envelope: Some(envelope), body, expect: None })
    }
}

/// A fact with what comes beside it.
#[derive(Clone, Debug)]
pub struct Fact<E> {
    pub tenant: TenantId,
    pub meta: Meta,
    pub at: Micros,
    pub fact: E,
}
