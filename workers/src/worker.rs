//! A worker that runs until it is asked to stop.

use crate::runtime::{WorkerStatus, turn::Turn};
use std::{cell::RefCell, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

/// How long a worker may take to come to a safe place before it is cut off; it goes on from its last mark next time.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running worker. Dropping it asks it to stop, [`Worker::stop`] also waits for that.
pub struct Worker {
    stop: watch::Sender<bool>,
    status: Arc<WorkerStatus>,
    task: JoinHandle<()>,
}

/// The worker's side of being asked to stop or to pause, and what it says of itself. Cheap to clone.
#[derive(Clone)]
pub struct Stop {
    asked: watch::Receiver<bool>,
    status: Arc<WorkerStatus>,
    /// A pause counts as being asked too.
    or_paused: bool,
}

impl Stop {
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow() || self.asked.has_changed().is_err() || (self.or_paused && self.status.is_paused())
    }

    /// Returns when the worker is asked to stop. Safe to cancel.
    pub async fn asked(&mut self) {
        let status = self.status.clone();
        tokio::select! {
            // An error says that nobody holds the worker any more.
            _ = self.asked.wait_for(|asked| *asked) => {}
            () = status.paused(), if self.or_paused => {}
        }
    }

    /// The same for a long piece of work that ends early, at a safe place, when its worker is paused.
    pub fn or_paused(&self) -> Self {
        Self { or_paused: true, ..self.clone() }
    }

    /// Returns when the worker may go on: at once, unless it is paused; also when it is asked to stop. Safe to cancel.
    pub async fn pass(&mut self) {
        let status = self.status.clone();
        tokio::select! {
            () = status.resumed() => {}
            () = self.asked() => {}
        }
    }

    /// Where the worker says how it stands.
    pub fn status(&self) -> &Arc<WorkerStatus> {
        &self.status
    }
}

thread_local! {
    /// The status of a worker that takes turns, while it is started: it is one worker however often it begins.
    static OF_TURNS: RefCell<Option<Arc<WorkerStatus>>> = const { RefCell::new(None) };
}

impl Worker {
    /// A worker of which several processes have one and one works at a time: begun whenever it is this process's turn, stopped when
    /// the turn is over. What it has under way then comes to its safe place although another may have begun: so it must be one
    /// whose effects are recognised when they come twice.
    pub fn taking_turns(name: &'static str, turn: Turn, start: impl Fn() -> Self + Send + 'static) -> Self {
        Self::start(name, |mut stop| async move {
            while !stop.is_asked() {
                stop.status().set_standby(true);
                let Some(held) = turn.wait(&mut stop).await else { return };
                stop.status().set_standby(false);
                let inner = {
                    OF_TURNS.set(Some(stop.status().clone()));
                    let inner = start();
                    OF_TURNS.take();
                    inner
                };
                tokio::select! {
                    () = held.over() => tracing::warn!(worker = name, "its turn is over; another process goes on"),
                    () = stop.asked() => {}
                }
                inner.stop().await;
                held.give_up().await;
            }
        })
    }

    pub fn start<F>(name: &'static str, run: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, asked) = watch::channel(false);
        let known = OF_TURNS.with_borrow(|known| known.clone().filter(|known| known.name() == name));
        let status = known.unwrap_or_else(|| WorkerStatus::new(name));
        let task = tokio::spawn(run(Stop { asked, status: status.clone(), or_paused: false }));
        Self { stop, status, task }
    }

    pub fn name(&self) -> &'static str {
        self.status.name()
    }

    pub fn status(&self) -> &Arc<WorkerStatus> {
        &self.status
    }

    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// False when it ended although nobody asked it to.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Cuts it off where it stands, as the death of its process would.
    pub fn kill(self) {
        self.task.abort();
    }

    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, &mut self.task).await.is_err() {
            tracing::warn!(worker = self.name(), "a worker did not stop in time and is cut off");
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_stops_when_asked_or_left() {
        let worker = Worker::start("test", |mut stop| async move { stop.asked().await });
        assert!(worker.is_running());
        worker.stop().await;
        let (ended, mut end) = watch::channel(false);
        let worker = Worker::start("test", |mut stop| async move {
            stop.asked().await;
            assert!(stop.is_asked());
            ended.send_replace(true);
        });
        drop(worker);
        end.wait_for(|ended| *ended).await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_begun_in_a_turn_is_the_one_that_waited() {
        let outer = WorkerStatus::new("test");
        OF_TURNS.set(Some(outer.clone()));
        let (same, other) = (Worker::start("test", |_| async {}), Worker::start("helper", |_| async {}));
        OF_TURNS.take();
        assert!(Arc::ptr_eq(same.status(), &outer) && !Arc::ptr_eq(other.status(), &outer));
        assert!(!Arc::ptr_eq(Worker::start("test", |_| async {}).status(), &outer));
    }

    #[tokio::test]
    async fn a_paused_worker_still_stops() {
        let worker = Worker::start("test", |mut stop| async move {
            while !stop.is_asked() {
                stop.pass().await;
                tokio::task::yield_now().await;
            }
        });
        worker.status().set_paused(true);
        worker.stop().await;
    }
}
