//! Processes: work that takes several steps in several contexts, and survives a death between any two of them.
//!
//! A process is a decider with its own stream. What it wants done follows from its state alone ([`Process::effects`]); an
//! effect is a command (or a mail, a file) whose id follows from the process, so it is the same in every attempt. [`drive`] does
//! the effects and records what came of each, until nothing is left. After a death it is simply driven again: an effect that was
//! done and not recorded is done again under the same id, which changes nothing, and then recorded.
//!
//! [`harness`] replays a process with every death, repetition and cut.

#[cfg(test)]
pub(crate) mod harness;

use crate::runtime::{Failure, crash};
use bus_schema::{EffectId, TenantId};
use futures::future::BoxFuture;
use uuid::Uuid;
use writers::{Decider, Meta, Writer};

/// Effects of one process in a row at most; more would be one that never comes to an end.
const MOST: usize = 10_000;

/// A decider that wants things done.
pub trait Process: Decider {
    type Effect: Clone + std::fmt::Debug + PartialEq + Send + Sync;

    /// What is to be done now, each with the id it has in every attempt.
    fn effects(&self, id: Uuid) -> Vec<(EffectId, Self::Effect)>;
}

/// Does what a process wants.
pub trait Performer<P: Process>: Send + Sync {
    /// Does one effect, under its id, and says what came of it as a command to the process.
    fn perform<'a>(
        &'a self,
        tenant: &'a TenantId,
        id: EffectId,
        effect: &'a P::Effect,
    ) -> BoxFuture<'a, Result<P::Command, Failure>>;
}

/// Does what a process wants, until nothing is left. Gives its last state.
pub async fn drive<P: Process>(
    writer: &Writer,
    worker: &'static str,
    tenant: &TenantId,
    id: Uuid,
    performer: &impl Performer<P>,
) -> Result<P, Failure> {
    let mut state = writer.load::<P>(tenant, id).await?.state.clone();
    for _ in 0..MOST {
        let Some((effect_id, effect)) = state.effects(id).into_iter().next() else { return Ok(state) };
        crash::point(worker, "wanted").await;
        let outcome = performer.perform(tenant, effect_id, &effect).await?;
        crash::point(worker, "done").await;
        let meta = Meta { correlation: id, ..Meta::system(worker, effect_id.part("recorded").command()) };
        state = writer.execute::<P>(tenant, id, &meta, &outcome).await?.value.state;
        crash::point(worker, "recorded").await;
        if state.effects(id).first().is_some_and(|(next, _)| *next == effect_id) {
            // It was recorded in an earlier life, whose answer this is; the log knows what is next.
            state = writer.load::<P>(tenant, id).await?.state.clone();
            if state.effects(id).first().is_some_and(|(next, _)| *next == effect_id) {
                return Err(Failure::Never(format!(
                    "the process {id} wants {effect_id} although it was told that it is done"
                )));
            }
        }
    }
    Err(Failure::Never(format!("the process {id} wanted {MOST} things and is not at its end")))
}
