//! The worker that tells others that their time has come.
//!
//! Timers are set with [`Timers::set`] and are known by what they are about, so setting one twice is setting it once. A timer
//! that is due is told of until its owner has taken it, at least once.

use crate::{
    runtime::{Failure, WorkerStatus},
    worker::{Stop, Worker},
};
use bus_schema::{
    Micros, TenantId,
    bus::{AppendError, Bus, Delivery, ReadError, Timer},
};
use futures::future::{BoxFuture, join_all};
use std::{collections::HashMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Of the worker and of its consumer.
const NAME: &str = "timers";
/// Timers told of at once.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after the log could not be reached.
const RETRY: Duration = Duration::from_millis(500);
/// After so much silence a timer is told of again.
const SILENCE: Duration = Duration::from_secs(30);
/// Rests after failures.
const RESTS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// Sets and cancels the timers of one owner. Cheap to clone.
#[derive(Clone)]
pub struct Timers {
    bus: Bus,
    owner: &'static str,
}

impl Timers {
    /// `owner` is who is told: a subject token, for good.
    pub fn new(bus: Bus, owner: &'static str) -> Self {
        Self { bus, owner }
    }

    /// Sets the timer of `id`, instead of the one that may be set. When it is answered, the timer survives everything.
    pub async fn set(&self, tenant: &TenantId, id: Uuid, at: Micros) -> Result<(), AppendError> {
        self.bus.set_timer(&self.timer(tenant, id, at)).await
    }

    /// Takes it back. It may still be told of when it was due.
    pub async fn cancel(&self, tenant: &TenantId, id: Uuid) -> Result<(), ReadError> {
        self.bus.cancel_timer(&self.timer(tenant, id, Micros(0))).await
    }

    fn timer(&self, tenant: &TenantId, id: Uuid, at: Micros) -> Timer {
        Timer { tenant: tenant.clone(), owner: self.owner.to_owned(), id, at }
    }
}

/// Who is told of timers. It is told again after every failure and every crash.
pub trait TimerOwner: Send + Sync + 'static {
    fn due<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<(), Failure>>;

    /// Sets the timers again of whatever waits for one, when the process starts, and says how many: the stream of timers is in no
    /// archive, and may have been lost with its disk.
    fn rearm<'a>(&'a self, _stop: &'a mut Stop) -> BoxFuture<'a, Result<usize, Failure>> {
        Box::pin(async { Ok(0) })
    }
}

/// Everybody who is told, by the name timers are set with.
pub type Owners = HashMap<&'static str, Arc<dyn TimerOwner>>;

/// Starts telling.
pub fn start(bus: Bus, owners: Owners) -> Worker {
    Worker::start(NAME, |stop| run(bus, owners, stop))
}

async fn run(bus: Bus, owners: Owners, stop: Stop) {
    // Telling does not wait for it: what is due now was set before.
    tokio::join!(rearm(&owners, stop.clone()), tell_all(bus, &owners, stop));
}

async fn rearm(owners: &Owners, mut stop: Stop) {
    for (owner, named) in owners.iter().map(|(name, owner)| (owner, *name)) {
        while !stop.is_asked() {
            match owner.rearm(&mut stop).await {
                Ok(0) => break,
                Ok(set) => {
                    tracing::info!(owner = named, set, "timers of what waits are set again");
                    break;
                }
                Err(failure) => {
                    stop.status().failed(format!("timers of {named} are not set again yet: {failure}"));
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = stop.asked() => {}
                    }
                }
            }
        }
    }
}

async fn tell_all(bus: Bus, owners: &Owners, mut stop: Stop) {
    let mut consumer = bus.due_timers(NAME, SILENCE, 4 * AT_ONCE);
    let status = stop.status().clone();
    status.set_concurrency(AT_ONCE);
    while !stop.is_asked() {
        stop.pass().await;
        let read = tokio::select! {
            read = consumer.next(AT_ONCE, PATIENCE) => read,
            // What is delivered in this moment comes again after the silence.
            () = stop.asked() => break,
        };
        match read {
            Ok(due) => _ = join_all(due.iter().map(|delivery| tell(owners, delivery, &status))).await,
            Err(error) => {
                status.failed(format!("the log does not give its timers: {error}"));
                tokio::time::sleep(RETRY).await;
            }
        }
        if let Ok(standing) = consumer.standing().await {
            status.reached(standing.acknowledged);
            status.waits(standing.pending + standing.in_flight);
        }
    }
}

async fn tell(owners: &Owners, delivery: &Delivery, status: &Arc<WorkerStatus>) {
    let _working = status.begin();
    let Some(timer) = Timer::due(delivery) else {
        tracing::warn!(subject = delivery.subject(), "a message that is no timer is passed over");
        return delivery.ack().await;
    };
    let outcome = match owners.get(timer.owner.as_str()) {
        Some(owner) => owner.due(&timer).await,
        None => Err(Failure::Later(format!("nobody here owns timers of {:?}", timer.owner))),
    };
    match outcome {
        Ok(()) => {
            status.is_done();
            delivery.ack().await;
        }
        // A timer is not parked: what it begins is a command of its owner, which fails only while something is away.
        Err(failure) => {
            let (tenant, owner, id) = (&timer.tenant, &timer.owner, timer.id);
            tracing::warn!(%tenant, owner, %id, %failure, attempt = delivery.attempt, "a timer is told of again");
            status.failed(format!("timer {id} of {owner} is told of again: {failure}"));
            let index = usize::try_from(delivery.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
            delivery.again_after(RESTS.get(index).copied().unwrap_or(RESTS[RESTS.len() - 1])).await;
        }
    }
}
