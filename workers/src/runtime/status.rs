//! What a worker says of itself, and whether it may go on: one small handle, shared by the worker and whoever looks.

use bus_schema::{Micros, time::Clock};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::watch;

/// The longest text kept of a failure, in characters.
const MAX_WHY: usize = 300;

/// A worker as it stands.
#[derive(Debug)]
pub struct WorkerStatus {
    name: &'static str,
    paused: watch::Sender<bool>,
    standby: AtomicBool,
    position: AtomicU64,
    /// What is not done yet of what is there; `u64::MAX`: not known.
    lag: AtomicU64,
    in_flight: AtomicU64,
    concurrency: AtomicU64,
    done: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub at: Micros,
    pub why: String,
}

/// One look at a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    pub name: &'static str,
    pub paused: bool,
    /// Another process does its work.
    pub standby: bool,
    /// Everything up to here was looked at; 0 when it does not follow the log.
    pub position: u64,
    /// Items that wait; `None`: it does not know.
    pub lag: Option<u64>,
    pub in_flight: u64,
    /// How many items it handles at once at most.
    pub concurrency: u64,
    /// Items done since the start of the process.
    pub done: u64,
    pub trouble: Option<Trouble>,
}

const UNKNOWN: u64 = u64::MAX;

impl WorkerStatus {
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            paused: watch::Sender::new(false),
            standby: AtomicBool::new(false),
            position: AtomicU64::new(0),
            lag: AtomicU64::new(UNKNOWN),
            in_flight: AtomicU64::new(0),
            concurrency: AtomicU64::new(1),
            done: AtomicU64::new(0),
            trouble: Mutex::new(None),
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Everything up to this position of the log was looked at.
    pub fn reached(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
    }

    /// How many items wait.
    pub fn waits(&self, items: u64) {
        self.lag.store(items.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    /// How many items it handles at once at most.
    pub fn set_concurrency(&self, items: usize) {
        self.concurrency.store(items as u64, Ordering::Relaxed);
    }

    /// An item is being handled until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    pub fn is_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Something went wrong. `why` is shown to operators: no personal data.
    pub fn failed(&self, why: impl std::fmt::Display) {
        let at = Clock::System.now();
        let why = why.to_string().chars().take(MAX_WHY).collect();
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(Trouble { at, why });
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.send_if_modified(|now| std::mem::replace(now, paused) != paused);
    }

    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Whether it waits for its turn while another process works.
    pub fn set_standby(&self, standby: bool) {
        self.standby.store(standby, Ordering::Relaxed);
    }

    /// Returns when the worker is not paused. Safe to cancel.
    pub async fn resumed(&self) {
        // The sender lives as long as this does.
        _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }

    /// Returns when the worker is paused. Safe to cancel.
    pub async fn paused(&self) {
        _ = self.paused.subscribe().wait_for(|paused| *paused).await;
    }

    pub fn glance(&self) -> Glance {
        let lag = self.lag.load(Ordering::Relaxed);
        Glance {
            name: self.name,
            paused: self.is_paused(),
            standby: self.standby.load(Ordering::Relaxed),
            position: self.position.load(Ordering::Relaxed),
            lag: (lag != UNKNOWN).then_some(lag),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            concurrency: self.concurrency.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Counts an item as being handled while it lives.
pub struct InFlight(Arc<WorkerStatus>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_glance_shows_what_was_said() {
        let status = WorkerStatus::new("test");
        assert_eq!(status.glance().lag, None, "nothing is known yet");
        status.reached(7);
        status.reached(5);
        status.waits(3);
        status.set_concurrency(4);
        let working = status.begin();
        status.is_done();
        status.failed("x".repeat(1_000));
        let glance = status.glance();
        assert_eq!((glance.position, glance.lag, glance.in_flight, glance.concurrency), (7, Some(3), 1, 4));
        assert_eq!((glance.done, glance.trouble.map(|trouble| trouble.why.len())), (1, Some(MAX_WHY)));
        drop(working);
        assert_eq!(status.glance().in_flight, 0);
    }

    #[tokio::test]
    async fn a_paused_worker_waits() {
        let status = WorkerStatus::new("test");
        status.resumed().await;
        status.set_paused(true);
        assert!(tokio::time::timeout(Duration::from_millis(20), status.resumed()).await.is_err());
        let waiting = tokio::spawn({
            let status = status.clone();
            async move { status.resumed().await }
        });
        status.set_paused(false);
        waiting.await.unwrap();
    }
}
