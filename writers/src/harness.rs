//! Given, when, then: tests of deciders. After every accepted command the harness gives the same command again to the
//! state it led to, which must yield nothing or a rejection — a decider that acts twice on one command is wrong.

use crate::decider::{Ctx, Decider, Decision, KeyNeed};
use bus_schema::{CommandId, KeyId, Keyring, Micros, Personal, Sealed, SealingKey, keys::TenantKey};
use std::sync::Arc;
use uuid::Uuid;

/// The instant of every harness command: 2026-01-01T00:00:00Z.
pub const NOW: Micros = Micros(1_767_225_600_000_000);
/// The aggregate every harness command is for.
pub const ID: Uuid = Uuid::from_u128(0x1d);

/// The key every harness person has.
pub fn key() -> Arc<SealingKey> {
    Arc::new(SealingKey::new(KeyId(Uuid::from_u128(0x4e)), [7; 32]))
}

/// A value sealed as the aggregate would have sealed it earlier.
pub fn sealed<T: Personal>(value: &T) -> Sealed<T> {
    Sealed::seal(&key(), "harness", value).expect("the harness key seals")
}

/// What was sealed, in the clear.
pub fn opened<T: Personal>(value: &Sealed<T>) -> T {
    let opened = value.open(&Keyring::default().with(key())).expect("the harness key opens");
    opened.known().expect("the harness key exists")
}

/// Starts from events.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let mut state = D::default();
    events.into_iter().for_each(|event| state.evolve(&event));
    Given { state, repeatable: false }
}

pub struct Given<D: Decider> {
    state: D,
    repeatable: bool,
}

impl<D: Decider> Given<D> {
    /// For commands that mean "once more" by nature (receive 5 pieces): the second run is not checked; the ledger of
    /// the aggregate's stream makes their retries harmless.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub fn when(self, command: D::Command) -> Outcome<D> {
        let (decision, state) = run(&self.state, &command);
        if let (Ok(decision), false) = (&decision, self.repeatable)
            && !decision.events.is_empty()
        {
            let (again, _) = run(&state, &command);
            assert!(
                again.as_ref().map_or(true, |again| again.events.is_empty()),
                "the same command again must yield nothing or a rejection, yielded {again:?}"
            );
        }
        Outcome { decision, state }
    }
}

fn run<D: Decider>(state: &D, command: &D::Command) -> (Result<Decision<D::Event>, D::Rejection>, D) {
    let tenant = TenantKey::fixed([9; 32]);
    let ring = Keyring::default().with(key());
    let fresh = key();
    let fresh = matches!(state.keys(command), KeyNeed::Fresh).then_some(&fresh);
    let ctx = Ctx::new(NOW, ID, CommandId(Uuid::from_u128(0xc0)), &tenant, &ring, fresh);
    let decision = state.decide(command, &ctx);
    let mut after = state.clone();
    if let Ok(decision) = &decision {
        decision.events.iter().for_each(|event| after.evolve(event));
    }
    (decision, after)
}

pub struct Outcome<D: Decider> {
    decision: Result<Decision<D::Event>, D::Rejection>,
    state: D,
}

impl<D: Decider> Outcome<D> {
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) -> D {
        let expected: Vec<D::Event> = events.into_iter().collect();
        match self.decision {
            Ok(decision) => assert_eq!(decision.events, expected),
            Err(rejection) => panic!("expected {expected:?}, was rejected: {rejection}"),
        }
        self.state
    }

    #[track_caller]
    pub fn then_rejected(self, rejection: D::Rejection) {
        match self.decision {
            Ok(decision) => panic!("expected the rejection {rejection}, got {decision:?}"),
            Err(found) => assert_eq!(found, rejection),
        }
    }

    /// The whole decision, for looking into sealed values and claims.
    #[track_caller]
    pub fn decision(self) -> Decision<D::Event> {
        self.decision.unwrap_or_else(|rejection| panic!("was rejected: {rejection}"))
    }
}
