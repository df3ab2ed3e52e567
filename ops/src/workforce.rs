//! The API's port to the workers of this process.

use api::platform::workers::{WorkerError, WorkerJson, Workforce};
use projectors::platform::board::Board;
use workers::runtime::{Glance, Roster, WorkerState};

pub struct Staff {
    roster: Roster,
    board: Board,
}

impl Staff {
    pub fn new(roster: Roster, board: Board) -> Self {
        Self { roster, board }
    }
}

impl Workforce for Staff {
    fn workers(&self) -> Vec<WorkerJson> {
        let parked = self.board.parked_counts();
        let shown = |(state, glance): (WorkerState, Glance)| WorkerJson {
            name: glance.name.to_owned(),
            state: state.as_str(),
            position: glance.position,
            lag: glance.lag,
            in_flight: glance.in_flight,
            concurrency: glance.concurrency,
            done: glance.done,
            parked: parked.get(glance.name).copied().unwrap_or(0),
            last_error: glance.trouble.map(|trouble| WorkerError { at: trouble.at.to_string(), why: trouble.why }),
        };
        self.roster.glances().into_iter().map(shown).collect()
    }
}
