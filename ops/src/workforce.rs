//! The API's port to the workers, of this process and of others.

use crate::run::News;
use api::platform::workers::{WorkerError, WorkerJson, Workforce};
use projectors::platform::board::Board;
use workers::runtime::{Glance, Roster, WorkerState};

pub struct Staff {
    roster: Roster,
    board: Board,
    /// What all processes say of theirs, this one's included.
    everybody: Option<News>,
}

impl Staff {
    pub fn new(roster: Roster, board: Board) -> Self {
        Self { roster, board, everybody: None }
    }

    /// Where workers run in several processes.
    pub fn with_others(roster: Roster, board: Board, everybody: News) -> Self {
        Self { roster, board, everybody: Some(everybody) }
    }

    fn parked(&self, workers: Vec<WorkerJson>) -> Vec<WorkerJson> {
        let parked = self.board.parked_counts();
        let count = |worker: WorkerJson| WorkerJson {
            parked: parked.get(worker.name.as_str()).copied().unwrap_or(0),
            ..worker
        };
        workers.into_iter().map(count).collect()
    }
}

impl Workforce for Staff {
    fn workers(&self) -> Vec<WorkerJson> {
        match &self.everybody {
            Some(news) => self.parked(news.workers()),
            None => self.own(),
        }
    }

    fn own(&self) -> Vec<WorkerJson> {
        self.parked(shown(&self.roster))
    }
}

/// The workers of this process, without what is parked.
pub fn shown(roster: &Roster) -> Vec<WorkerJson> {
    let shown = |(state, glance): (WorkerState, Glance)| WorkerJson {
        name: glance.name.to_owned(),
        process: None,
        state: state.as_str().to_owned(),
        position: glance.position,
        lag: glance.lag,
        in_flight: glance.in_flight,
        concurrency: glance.concurrency,
        done: glance.done,
        parked: 0,
        last_error: glance.trouble.map(|trouble| WorkerError { at: trouble.at.to_string(), why: trouble.why }),
    };
    roster.glances().into_iter().map(shown).collect()
}
