//! Tries a process in every way that must make no difference.
//!
//! Given its inputs, the end state and the effects must be the same when
//! - it is made anew from its events after every single one of them (every prefix replayed),
//! - each input is given twice, at once or again at the end,
//! - it dies after each effect, before its outcome is recorded (one failure after each effect).

use super::Process;
use bus_schema::{CommandId, EffectId, Keyring, Micros, keys::TenantKey};
use std::collections::BTreeMap;
use uuid::Uuid;
use writers::Ctx;

/// The process every run is.
pub(crate) const ID: Uuid = Uuid::from_u128(0x9e);

/// What a process acts on, as far as a test needs it. It does an effect once, however often it is asked under the same id.
pub(crate) trait Surroundings<P: Process>: Clone {
    fn perform(&mut self, effect: &P::Effect) -> P::Command;
}

/// One run: the events, the surroundings, and every effect that was asked for with how often.
struct Run<P: Process, S> {
    events: Vec<P::Event>,
    state: P,
    surroundings: S,
    answers: BTreeMap<EffectId, (P::Effect, P::Command)>,
    asked: usize,
    /// Dies after the effect of this number, counted from 0.
    dies_after: Option<usize>,
    /// Makes the state anew from the events whenever it is used.
    forgets: bool,
}

impl<P, S> Run<P, S>
where
    P: Process,
    P::Command: Clone,
    S: Surroundings<P>,
{
    fn new(surroundings: S) -> Self {
        let (events, state, answers) = (Vec::new(), P::default(), BTreeMap::new());
        Self { events, state, surroundings, answers, asked: 0, dies_after: None, forgets: false }
    }

    fn replay(&mut self) {
        self.state = P::default();
        self.events.iter().for_each(|event| self.state.evolve(event));
    }

    fn tell(&mut self, now: Micros, command: &P::Command) {
        if self.forgets {
            self.replay();
        }
        let (tenant, ring) = (TenantKey::fixed([9; 32]), Keyring::default());
        let ctx = Ctx::new(now, ID, CommandId(Uuid::from_u128(0xc0)), &tenant, &ring, None);
        // A rejection changes nothing, as in the writer.
        let decided = self.state.decide(command, &ctx).map(|decision| decision.events).unwrap_or_default();
        for event in decided {
            self.state.evolve(&event);
            self.events.push(event);
        }
    }

    /// As `drive` does it: one effect after the other, each recorded; a death makes it begin again from the log.
    fn drive(&mut self, now: Micros) {
        for _ in 0..1_000 {
            if self.forgets {
                self.replay();
            }
            let Some((id, effect)) = self.state.effects(ID).into_iter().next() else { return };
            let outcome = match self.answers.get(&id) {
                Some((known, outcome)) => {
                    assert_eq!(*known, effect, "an id stands for one effect");
                    outcome.clone()
                }
                None => {
                    let outcome = self.surroundings.perform(&effect);
                    self.answers.insert(id, (effect, outcome.clone()));
                    outcome
                }
            };
            let number = self.asked;
            self.asked += 1;
            if self.dies_after == Some(number) {
                self.replay();
                continue;
            }
            self.tell(now, &outcome);
        }
        panic!("the process does not come to an end");
    }

    fn inputs(mut self, inputs: &[(Micros, P::Command)], times: usize) -> Self {
        for (now, input) in inputs {
            for _ in 0..times {
                self.tell(*now, input);
                self.drive(*now);
            }
        }
        self
    }

    fn effects(&self) -> Vec<(EffectId, P::Effect)> {
        self.answers.iter().map(|(id, (effect, _))| (*id, effect.clone())).collect()
    }
}

/// Runs everything and compares; gives the end state and the effects of the plain run.
#[track_caller]
pub(crate) fn check<P, S>(surroundings: S, inputs: &[(Micros, P::Command)]) -> (P, Vec<P::Effect>)
where
    P: Process + PartialEq + std::fmt::Debug,
    P::Command: Clone,
    S: Surroundings<P>,
{
    let plain = Run::<P, S>::new(surroundings.clone()).inputs(inputs, 1);
    let same = |other: &Run<P, S>, how: &str| {
        assert_eq!(other.state, plain.state, "the end state differs {how}");
        assert_eq!(other.effects(), plain.effects(), "the effects differ {how}");
        let mut anew = P::default();
        other.events.iter().for_each(|event| anew.evolve(event));
        assert_eq!(anew, other.state, "the events make another state {how}");
    };
    let mut forgetful = Run::<P, S>::new(surroundings.clone());
    forgetful.forgets = true;
    same(&forgetful.inputs(inputs, 1), "when every prefix is replayed");
    same(&Run::<P, S>::new(surroundings.clone()).inputs(inputs, 2), "when each input comes twice");
    for again in 0..inputs.len() {
        let twice = [inputs, &inputs[again..=again]].concat();
        same(
            &Run::<P, S>::new(surroundings.clone()).inputs(&twice, 1),
            &format!("when input {again} comes late again"),
        );
    }
    for death in 0..plain.asked {
        let mut dying = Run::<P, S>::new(surroundings.clone());
        dying.dies_after = Some(death);
        let dying = dying.inputs(inputs, 1);
        assert!(dying.asked > plain.asked, "it dies after effect {death}");
        same(&dying, &format!("when it dies after effect {death}"));
    }
    let effects = plain.effects().into_iter().map(|(_, effect)| effect).collect();
    (plain.state, effects)
}
