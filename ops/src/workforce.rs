//! The API's port to the workers of this process.

use api::platform::workers::{WorkerError, WorkerJson, Workforce};
use workers::runtime::Roster;

pub struct Staff {
    roster: Roster,
}

impl Staff {
    pub fn new(roster: Roster) -> Self {
        Self { roster }
    }
}

impl Workforce for Staff {
    fn workers(&self) -> Vec<WorkerJson> {
        let shown = |(state, glance): (workers::runtime::WorkerState, workers::runtime::Glance)| WorkerJson {
            name: glance.name.to_owned(),
            state: state.as_str(),
            position: glance.position,
            lag: glance.lag,
            in_flight: glance.in_flight,
            concurrency: glance.concurrency,
            done: glance.done,
            parked: 0,
            last_error: glance.trouble.map(|trouble| WorkerError { at: trouble.at.to_string(), why: trouble.why }),
        };
        self.roster.glances().into_iter().map(shown).collect()
    }
}
