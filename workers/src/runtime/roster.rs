//! The workers of this process, by name.

use super::status::{Glance, WorkerStatus};
use crate::worker::Worker;
use projectors::platform::board::Board;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// What the workers of this process say of themselves. Cheap to clone.
#[derive(Clone, Default)]
pub struct Roster(Arc<Vec<Member>>);

struct Member {
    status: Arc<WorkerStatus>,
    task: AbortHandle,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Running,
    Paused,
    /// Another process does its work; it takes over when that one is gone.
    Standby,
    /// It ended although nobody asked it to. Only a start of the process brings it back.
    Stopped,
}

impl WorkerState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Standby => "standby",
            Self::Stopped => "stopped",
        }
    }
}

impl Roster {
    pub fn of(workers: &[Worker]) -> Self {
        let member = |worker: &Worker| Member { status: worker.status().clone(), task: worker.abort_handle() };
        Self(Arc::new(workers.iter().map(member).collect()))
    }

    /// Every worker, in the order they were started.
    pub fn glances(&self) -> Vec<(WorkerState, Glance)> {
        let look = |member: &Member| {
            let glance = member.status.glance();
            let state = match (member.task.is_finished(), glance.paused) {
                (true, _) => WorkerState::Stopped,
                (false, true) => WorkerState::Paused,
                (false, false) if glance.standby => WorkerState::Standby,
                (false, false) => WorkerState::Running,
            };
            (state, glance)
        };
        self.0.iter().map(look).collect()
    }

    /// Pauses and resumes as the board says, now and from now on. Ends with the roster's last holder.
    pub fn follow(&self, board: &Board) {
        self.obey(board);
        let (members, board, mut changes) = (Arc::downgrade(&self.0), board.clone(), board.changes());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(members) = members.upgrade() else { return };
                Self(members).obey(&board);
            }
        });
    }

    fn obey(&self, board: &Board) {
        for member in &*self.0 {
            member.status.set_paused(board.is_paused(member.status.name()));
        }
    }

    pub fn status(&self, name: &str) -> Option<&Arc<WorkerStatus>> {
        self.0.iter().map(|member| &member.status).find(|status| status.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_ended_unasked_is_stopped() {
        let running = Worker::start("a", |mut stop| async move { stop.asked().await });
        let paused = Worker::start("b", |mut stop| async move { stop.asked().await });
        let ended = Worker::start("c", |_| async {});
        let workers = [running, paused, ended];
        let roster = Roster::of(&workers);
        roster.status("b").unwrap().set_paused(true);
        while workers[2].is_running() {
            tokio::task::yield_now().await;
        }
        let states: Vec<_> =
            roster.glances().into_iter().map(|(state, glance)| (glance.name, state.as_str())).collect();
        assert_eq!(states, [("a", "running"), ("b", "paused"), ("c", "stopped")]);
        assert!(roster.status("d").is_none());
    }
}
