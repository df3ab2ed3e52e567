//! A worker that runs until it is asked to stop.

use std::{future::Future, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// How long a worker may take to come to a safe place before it is cut off; it goes on from its last mark next time.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running worker. Dropping it asks it to stop, [`Worker::stop`] also waits for that.
pub struct Worker {
    name: &'static str,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The worker's side of being asked to stop. Cheap to clone.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when the worker is asked to stop. Safe to cancel.
    pub async fn asked(&mut self) {
        // An error says that nobody holds the worker any more.
        _ = self.0.wait_for(|asked| *asked).await;
    }
}

impl Worker {
    pub fn start<F>(name: &'static str, run: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, asked) = watch::channel(false);
        Self { name, stop, task: tokio::spawn(run(Stop(asked))) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// False when it ended although nobody asked it to.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, &mut self.task).await.is_err() {
            tracing::warn!(worker = self.name, "a worker did not stop in time and is cut off");
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
}
