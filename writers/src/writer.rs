//! From a command to a durable position: load, let it decide, append, and start again when somebody else was first.

mod cache;
mod loaded;
mod locks;
mod people;
mod snapshot;
mod tx;

use crate::{
    decider::Decider,
    rejection::Rejected,
    store::{EventStore, StoreError},
};
use bus_schema::{
    Actor, Address, Cell, CommandId, Micros, Subject, TenantId,
    bus::{AppendError, ReadError},
    catalog::Catalogued,
    codec::{DecodeError, EncodeError},
    keys::{KeyDirectory, KeyError, TenantKey},
    time::Clock,
};
use cache::Cache;
use futures::future::BoxFuture;
pub use loaded::Loaded;
use locks::Locks;
use people::People;
use std::{sync::Arc, time::Duration};
pub use tx::Tx;
use uuid::Uuid;

/// Attempts before a conflict is the caller's to retry.
const ATTEMPTS: usize = 12;
/// How long an unknown outcome is looked into before it is reported as unknown.
const RESOLVE_FOR: Duration = Duration::from_secs(20);

/// What comes with a command beside its content.
#[derive(Clone, Debug)]
pub struct Meta {
    pub command: CommandId,
    pub actor: Actor,
    pub correlation: Uuid,
    /// Bytes that stand for the request's content; a retry under the same command id must have the same.
    pub content: Option<Vec<u8>>,
    /// The revision the caller saw (`If-Match`).
    pub if_match: Option<u64>,
    /// W3C trace context to hand on.
    pub trace: Option<String>,
    /// When it happened, for history that is brought in from elsewhere; the clock's now when absent.
    pub at: Option<Micros>,
}

impl Meta {
    /// A command of a part of the platform itself.
    pub fn system(name: &str, command: CommandId) -> Self {
        Self {
            command,
            actor: Actor::System(name.to_owned()),
            correlation: command.0,
            content: None,
            if_match: None,
            trace: None,
            at: None,
        }
    }
}

/// The answer to a command: the state it led to and where that stands in the log.
#[derive(Clone, Debug)]
pub struct Receipt<T> {
    pub value: T,
    /// Position of the last event of the command: what a reader must have reached to see it.
    pub position: u64,
    /// The command had been carried out before; nothing new was stored.
    pub replayed: bool,
}

/// The writer of one cell. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

pub(crate) struct Inner {
    cell: Cell,
    store: EventStore,
    keys: KeyDirectory,
    clock: Clock,
    cache: Cache,
    locks: Locks,
    people: People,
}

impl Writer {
    pub fn new(cell: Cell, store: EventStore, keys: KeyDirectory, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            cell,
            store,
            keys,
            clock,
            cache: Cache::new(),
            locks: Locks::new(),
            people: People::new(),
        }))
    }

    pub fn cell(&self) -> &Cell {
        &self.0.cell
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn keys(&self) -> &KeyDirectory {
        &self.0.keys
    }

    pub fn store(&self) -> &EventStore {
        &self.0.store
    }

    /// How long ago a person, or a program that acts for one, gave a command through this writer; `None`: never.
    pub fn quiet_for(&self) -> Option<Duration> {
        self.0.people.quiet_for()
    }

    /// The subject of an aggregate.
    pub fn subject<D: Decider>(&self, tenant: &TenantId, id: Uuid) -> Subject {
        let address = Address::new(D::Event::CONTEXT, D::Event::AGGREGATE, id);
        Subject::event(&self.0.cell, tenant, address)
    }

    /// The tenant's key, or the fact that there is no such tenant.
    pub async fn tenant_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>, WriteError> {
        self.0.keys.tenant(tenant).await?.ok_or_else(|| WriteError::NoTenant(tenant.clone()))
    }

    /// The aggregate as the log has it now, not as a view shows it.
    pub async fn load<D: Decider>(&self, tenant: &TenantId, id: Uuid) -> Result<Arc<Loaded<D>>, WriteError> {
        loaded::load(&self.0, &self.subject::<D>(tenant, id)).await
    }

    /// The aggregate as the log had it at most `max_age` ago, for checks that run with every request (a session, a
    /// key). Commits through this writer show at once, those of other processes within `max_age`.
    pub async fn load_cached<D: Decider>(
        &self,
        tenant: &TenantId,
        id: Uuid,
        max_age: Duration,
    ) -> Result<Arc<Loaded<D>>, WriteError> {
        loaded::load_cached(&self.0, &self.subject::<D>(tenant, id), max_age).await
    }

    /// One command to one aggregate. The receipt's value is its state after the command and its revision.
    pub async fn execute<D: Decider>(
        &self,
        tenant: &TenantId,
        id: Uuid,
        meta: &Meta,
        command: &D::Command,
    ) -> Result<Receipt<Loaded<D>>, WriteError> {
        let subject = self.subject::<D>(tenant, id);
        let mut receipt = self
            .transact(tenant, meta, &[subject], |tx| Box::pin(async move { tx.decide::<D>(id, command).await }))
            .await?;
        receipt.value.revision = receipt.position;
        Ok(receipt)
    }

    /// Commands to several aggregates, committed together or not at all. `body` runs again on a conflict, so it must
    /// have no effect but through [`Tx`]. `hot` names the aggregates it is known to touch: their commands queue here
    /// instead of colliding at the log.
    pub async fn transact<'a, T, F>(
        &'a self,
        tenant: &'a TenantId,
        meta: &'a Meta,
        hot: &[Subject],
        body: F,
    ) -> Result<Receipt<T>, WriteError>
    where
        T: Send,
        // Boxed, because only then the compiler can see that the whole may move between threads.
        F: for<'t> Fn(&'t mut Tx<'a>) -> BoxFuture<'t, Result<T, WriteError>> + Send + Sync,
    {
        self.0.people.note(&meta.actor);
        let tenant_key = self.tenant_key(tenant).await?;
        let _queued = self.0.locks.lock(hot).await;
        let started = tokio::time::Instant::now();
        let mut attempt = 0;
        let mut fresh_only = false;
        // An attempt may have been stored without our knowing.
        let mut in_doubt = false;
        loop {
            let mut tx = Tx::new(&self.0, tenant, tenant_key.clone(), meta, fresh_only);
            let outcome = body(&mut tx).await;
            let doubtful = match &outcome {
                Ok(_) => tx.is_doubtful(),
                Err(WriteError::Rejected(_) | WriteError::Stale { .. }) => tx.is_assumed(),
                Err(_) => false,
            };
            if doubtful {
                fresh_only = true;
                continue;
            }
            let error = match outcome {
                Ok(value) => match tx.commit().await {
                    Ok(done) => return Ok(Receipt { value, position: done.position, replayed: done.replayed }),
                    Err(error) => error,
                },
                // What cannot be read now, for example to find out about an attempt before, may be readable soon.
                Err(error) if error.is_outage() => error,
                Err(error) => return Err(error),
            };
            attempt += 1;
            in_doubt |= matches!(error, WriteError::Store(StoreError::Unknown(_)));
            // Decide again on what the log really holds, not on what was assumed or cached.
            fresh_only = true;
            match error {
                WriteError::Store(StoreError::Conflict | StoreError::Duplicate) if attempt < ATTEMPTS => {
                    pause(attempt).await;
                }
                error if error.is_outage() && started.elapsed() < RESOLVE_FOR => pause(attempt.max(4)).await,
                error if error.is_outage() && in_doubt => {
                    return Err(WriteError::Store(StoreError::Unknown(error.to_string())));
                }
                WriteError::Store(StoreError::Conflict) => return Err(WriteError::Conflict),
                // The event ids are taken, yet none of these aggregates knows the command: it was another request.
                WriteError::Store(StoreError::Duplicate) => return Err(WriteError::KeyReused),
                other => return Err(other),
            }
        }
    }
}

/// Waits a random part of a growing span, so that colliding writers do not meet again.
async fn pause(attempt: usize) {
    let mut byte = [0_u8; 1];
    _ = getrandom::fill(&mut byte);
    let most = 1_u64 << attempt.min(8);
    tokio::time::sleep(Duration::from_micros(most * 1_000 * u64::from(byte[0]) / 255)).await;
}

/// Why a command has no receipt.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{0}")]
    Rejected(Rejected),
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// `If-Match` named another revision.
    #[error("the record is at revision {current}, not at the one given")]
    Stale { current: u64 },
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("too many others are changing the same records; try again")]
    Conflict,
    #[error("the log: {0}")]
    Store(#[from] StoreError),
    #[error("the key directory: {0}")]
    Key(#[from] KeyError),
    #[error("an event could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("event {seq} of {subject} cannot be read: {source}")]
    Decode { subject: String, seq: u64, source: DecodeError },
    #[error("event {seq} of {subject} is of a kind this version does not know ({kind}); upgrade before writing")]
    UnknownKind { subject: String, seq: u64, kind: String },
}

impl WriteError {
    /// Whether the log or the key directory could not be reached, which may pass.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unknown(_) | StoreError::Unreachable(_))
                | Self::Key(KeyError::Read(ReadError::Unreachable(_)))
                | Self::Key(KeyError::Write(AppendError::Unknown(_) | AppendError::Unreachable(_)))
        )
    }
}

impl<R: crate::Rejection> From<R> for WriteError {
    fn from(rejection: R) -> Self {
        Self::Rejected(rejection.into())
    }
}

#[cfg(test)]
pub(crate) mod tests;
