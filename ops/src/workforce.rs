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
            // Others tell of theirs once a second; who was paused through this process is paused.
            Some(news) => {
                let said = |worker: WorkerJson| {
                    let is_paused = self.board.is_paused(&worker.name);
                    paused(worker, is_paused)
                };
                self.parked(news.workers().into_iter().map(said).collect())
            }
            None => self.own(),
        }
    }

    fn own(&self) -> Vec<WorkerJson> {
        self.parked(shown(&self.roster))
    }
}

/// A worker of another process as the log has it, which may be ahead of what the worker said last. One that ended is not paused.
fn paused(worker: WorkerJson, is_paused: bool) -> WorkerJson {
    match is_paused && worker.state != WorkerState::Stopped.as_str() {
        true => WorkerJson { state: WorkerState::Paused.as_str().to_owned(), ..worker },
        false => worker,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_paused_as_soon_as_the_log_says_so_unless_it_ended() {
        let worker = |state: WorkerState| WorkerJson {
            name: "mail".into(),
            process: Some("one/1".into()),
            state: state.as_str().to_owned(),
            position: 1,
            lag: None,
            in_flight: 0,
            concurrency: 1,
            done: 0,
            parked: 0,
            last_error: None,
        };
        let state = |of: WorkerState, is_paused: bool| paused(worker(of), is_paused).state;
        for of in [WorkerState::Running, WorkerState::Standby, WorkerState::Paused] {
            assert_eq!(state(of, true), "paused");
            assert_eq!(state(of, false), of.as_str());
        }
        assert_eq!(state(WorkerState::Stopped, true), "stopped");
    }
}
