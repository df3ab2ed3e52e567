//! What an aggregate implements: pure, synchronous, no I/O and no clock of its own.

use crate::Rejection;
use bus_schema::{
    CommandId, KeyId, Keyring, Micros, Personal, Revealed, Sealed, SealingKey, catalog::Catalogued, claim::ClaimHash,
    keys::TenantKey, sealed::SealError,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{cell::Cell, sync::Arc};
use uuid::Uuid;

/// An aggregate's state and rules. The state holds sealed values sealed, so caches and snapshots hold no personal data.
pub trait Decider: Default + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    type Event: Catalogued;
    type Command: Send + Sync;
    type Rejection: Rejection + Into<crate::Rejected>;

    /// Raised when the state's form changes; snapshots of another version are passed over.
    const SNAPSHOT: u32 = 1;

    /// Whether snapshots are kept: for aggregates that grow long (a product with its stock movements). Others never pay
    /// for asking whether there is one.
    const SNAPSHOTS: bool = false;

    /// What follows from the command. No events: the command asks for what is already so.
    fn decide(&self, command: &Self::Command, ctx: &Ctx) -> Result<Decision<Self::Event>, Self::Rejection>;

    fn evolve(&mut self, event: &Self::Event);

    /// The keys of persons this command needs.
    fn keys(&self, _command: &Self::Command) -> KeyNeed {
        KeyNeed::None
    }

    /// Whether the command makes the aggregate. The writer then assumes that nothing is there and lets the log refuse,
    /// which saves a read.
    fn creates(_command: &Self::Command) -> bool {
        false
    }

    /// Bytes that the state takes in memory, about; said by those that take more than this.
    fn bytes(&self) -> usize {
        USUAL_BYTES
    }

    /// The rejection when a value the decision claims belongs to somebody else.
    fn claim_taken(what: &'static str, owner: &str) -> Self::Rejection;
}

/// What a state takes in memory, about: a few hundred bytes.
pub const USUAL_BYTES: usize = 512;

/// The keys a decision needs to seal or to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    None,
    /// A new person's key, in [`Ctx::fresh_key`].
    Fresh,
    /// Keys that were used before.
    Existing(Vec<KeyId>),
}

/// The events of a decision and the unique values it takes or gives back, all committed together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<E> {
    pub events: Vec<E>,
    pub claims: Vec<ClaimChange>,
}

/// A change of who owns a unique value. `what` is a subject token (`page-slug`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    Take { what: &'static str, hash: ClaimHash },
    Release { what: &'static str, hash: ClaimHash },
}

impl<E> Decision<E> {
    pub fn nothing() -> Self {
        Self { events: Vec::new(), claims: Vec::new() }
    }

    pub fn event(event: impl Into<E>) -> Self {
        Self { events: vec![event.into()], claims: Vec::new() }
    }

    pub fn and(mut self, event: impl Into<E>) -> Self {
        self.events.push(event.into());
        self
    }

    pub fn taking(mut self, what: &'static str, hash: ClaimHash) -> Self {
        self.claims.push(ClaimChange::Take { what, hash });
        self
    }

    pub fn releasing(mut self, what: &'static str, hash: ClaimHash) -> Self {
        self.claims.push(ClaimChange::Release { what, hash });
        self
    }
}

/// Everything from outside that a decision may depend on.
pub struct Ctx<'a> {
    /// The one "now" of this command.
    pub now: Micros,
    /// The aggregate the command is for.
    pub id: Uuid,
    pub command: CommandId,
    tenant: &'a TenantKey,
    keys: &'a Keyring,
    fresh: Option<&'a Arc<SealingKey>>,
    sealed: Cell<u32>,
}

impl<'a> Ctx<'a> {
    pub fn new(
        now: Micros,
        id: Uuid,
        command: CommandId,
        tenant: &'a TenantKey,
        keys: &'a Keyring,
        fresh: Option<&'a Arc<SealingKey>>,
    ) -> Self {
        Self { now, id, command, tenant, keys, fresh, sealed: Cell::new(0) }
    }

    /// The new key asked for with [`KeyNeed::Fresh`].
    pub fn fresh_key(&self) -> Result<KeyId, SealFault> {
        self.fresh.map(|key| key.id).ok_or(SealFault::NoKey)
    }

    /// Seals a value under a key that [`Decider::keys`] asked for.
    pub fn seal<T: Personal>(&self, key: KeyId, value: &T) -> Result<Sealed<T>, SealFault> {
        let fresh = self.fresh.filter(|fresh| fresh.id == key);
        let key = fresh.or_else(|| self.keys.get(key)).ok_or(SealFault::NoKey)?;
        let place = self.sealed.replace(self.sealed.get() + 1);
        Ok(Sealed::seal(key, &format!("{}:{}:{place}", self.command, self.id), value)?)
    }

    pub fn open<T: Personal>(&self, sealed: &Sealed<T>) -> Result<Revealed<T>, SealFault> {
        Ok(sealed.open(self.keys)?)
    }

    /// The claim hash of a unique value.
    pub fn claim(&self, what: &str, value: &str) -> ClaimHash {
        self.tenant.claim(what, value)
    }

    /// The id that follows from a unique value.
    pub fn derived_id(&self, what: &str, value: &str) -> Uuid {
        self.tenant.derived_id(what, value)
    }
}

/// Why a value could not be sealed or opened. An aggregate that seals has a rejection for it.
#[derive(Debug, thiserror::Error)]
pub enum SealFault {
    #[error("the person's key is destroyed")]
    NoKey,
    #[error(transparent)]
    Seal(#[from] SealError),
}
