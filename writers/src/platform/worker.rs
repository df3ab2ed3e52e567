//! Workers, as far as operators decide about them: whether they are paused. The id follows from the name
//! (`bus_schema::platform::worker::worker_id`); whether there is such a worker is for the caller to know.

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::platform::worker::{WorkerEvent, WorkerPaused, WorkerResumed};
use serde::{Deserialize, Serialize};

/// Characters of a reason.
pub const MAX_REASON: usize = 300;

/// A worker, running unless it was paused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    paused: bool,
}

/// What can be asked of a worker.
#[derive(Clone, Debug)]
pub enum WorkerCommand {
    Pause { worker: String, reason: String },
    Resume { worker: String },
}

rejections! {
    /// Why a command to a worker is refused.
    pub enum WorkerRejection {
        InvalidReason: Invalid, "invalid_reason", "/reason", "a reason has at most {MAX_REASON} characters and no control characters";
        Unclaimed: State, "nothing_claimed", "", "a worker claims no value";
    }
}

/// Trimmed, bounded, without control characters.
pub(super) fn valid_reason(reason: &str) -> Option<String> {
    let reason = reason.trim();
    (reason.chars().count() <= MAX_REASON && !reason.chars().any(char::is_control)).then(|| reason.to_owned())
}

impl Worker {
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}

impl Decider for Worker {
    type Event = WorkerEvent;
    type Command = WorkerCommand;
    type Rejection = WorkerRejection;

    fn decide(&self, command: &WorkerCommand, _ctx: &Ctx) -> Result<Decision<WorkerEvent>, WorkerRejection> {
        match command {
            WorkerCommand::Pause { worker, reason } => {
                let reason = valid_reason(reason).ok_or(WorkerRejection::InvalidReason)?;
                match self.paused {
                    true => Ok(Decision::nothing()),
                    false => Ok(Decision::event(WorkerPaused { worker: worker.clone(), reason })),
                }
            }
            WorkerCommand::Resume { worker } => match self.paused {
                true => Ok(Decision::event(WorkerResumed { worker: worker.clone() })),
                false => Ok(Decision::nothing()),
            },
        }
    }

    fn evolve(&mut self, event: &WorkerEvent) {
        self.paused = matches!(event, WorkerEvent::Paused(_));
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> WorkerRejection {
        WorkerRejection::Unclaimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;

    fn paused() -> WorkerEvent {
        WorkerPaused { worker: "letters".into(), reason: "maintenance".into() }.into()
    }

    #[test]
    fn a_pause_holds_until_it_is_taken_back() {
        let pause = || WorkerCommand::Pause { worker: "letters".into(), reason: " maintenance ".into() };
        let resume = || WorkerCommand::Resume { worker: "letters".into() };
        assert!(given::<Worker>([]).when(pause()).then([paused()]).is_paused());
        given::<Worker>([paused()]).when(pause()).then([]);
        let resumed = WorkerEvent::from(WorkerResumed { worker: "letters".into() });
        assert!(!given::<Worker>([paused()]).when(resume()).then([resumed]).is_paused());
        given::<Worker>([]).when(resume()).then([]);
        let long = WorkerCommand::Pause { worker: "letters".into(), reason: "x".repeat(MAX_REASON + 1) };
        given::<Worker>([]).when(long).then_rejected(WorkerRejection::InvalidReason);
    }
}
