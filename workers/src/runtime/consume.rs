//! A worker over a durable consumer: takes events, hands them to its handler, says what became of them.
//!
//! After [`Patience::attempts`] of this process an event is parked: an aggregate of the context `platform` in the event's own
//! tenant, recorded before the event is acknowledged. So an event is acknowledged only when its effect is done or its parking is
//! durable.
//!
//! An attempt that takes the process with it is counted by the server alone, as a delivery, with all that was in flight beside it.
//! After [`Patience::deliveries`] an item is suspect: suspects are tried alone, and noted in the [`Journal`] before they begin. One that
//! a start finds there is parked without another attempt. So what ends every process is found, and costs its neighbours nothing.

use super::{
    RuntimeParts, crash,
    intake::{self, Intake},
    item::{Failure, Handler, Item, Job},
    journal::{Entry, Journal},
    lanes::Lanes,
    parking,
    status::InFlight,
    tries::Tries,
};
use crate::worker::{Stop, Worker};
use bus_schema::bus::Delivery;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;

/// What an item that failed may take, beyond its rest and the silence, to be delivered again.
const SLACK: Duration = Duration::from_secs(5);
/// The rest after an attempt whose end could not be recorded.
const RETRY: Duration = Duration::from_secs(5);

/// Starts a worker.
pub fn start<H: Handler>(parts: RuntimeParts, job: Job, handler: H) -> Worker {
    Worker::start(job.name, |stop| async move {
        let handler = Arc::new(handler);
        let journal = Journal::open(parts.places.join(format!("{}.journal.json", job.name))).await;
        let (running, retrying) = (JoinSet::new(), JoinSet::new());
        let (begun, retried) = (HashMap::new(), HashMap::new());
        Consuming {
            parts,
            job,
            handler,
            lanes: Lanes::new(),
            tries: Tries::default(),
            journal,
            alone: None,
            running,
            begun,
            retrying,
            retried,
        }
        .run(stop)
        .await;
    })
}

struct Consuming<H> {
    parts: RuntimeParts,
    job: Job,
    handler: Arc<H>,
    lanes: Lanes<Delivery>,
    tries: Tries,
    journal: Journal,
    /// The suspect that is being handled; nothing is begun beside it.
    alone: Option<Id>,
    running: JoinSet<After>,
    /// What each running task handles.
    begun: HashMap<Id, Begun>,
    /// Parked items that are tried again.
    retrying: JoinSet<bool>,
    retried: HashMap<Id, Uuid>,
}

struct Begun {
    key: String,
    delivery: Delivery,
    /// It ended the process before this one, and is parked.
    kills: bool,
    _working: InFlight,
}

/// What became of an attempt.
enum After {
    /// Handled, or parked: nothing of it is left.
    Done,
    /// It failed, and comes again after so long.
    Failed(Duration),
    /// It was not tried, or its end is not recorded: it comes again after so long.
    Again(Duration),
}

impl<H: Handler> Consuming<H> {
    async fn run(mut self, mut stop: Stop) {
        let (name, silence) = (self.job.name, self.job.patience.silence);
        stop.status().set_concurrency(self.job.concurrency);
        let Some(Intake { mut deliveries, standing, feeder: _feeder }) =
            intake::open(&self.parts, &self.job, &mut stop).await
        else {
            return;
        };
        self.lanes.past_first(standing.delivered, standing.in_flight, Instant::now() + silence + SLACK);
        let mut heartbeat = tokio::time::interval(silence / 3);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut changes = self.parts.board.changes();
        let status = stop.status().clone();
        while !stop.is_asked() {
            let paused = status.is_paused();
            tokio::select! {
                batch = deliveries.recv() => match batch {
                    Some(batch) => batch.into_iter().for_each(|delivery| self.put(delivery)),
                    // The feeder ends only when this does.
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended, &stop).await,
                Some(ended) = self.retrying.join_next_with_id() => self.retry_ended(ended).await,
                _ = heartbeat.tick() => self.beat().await,
                Ok(()) = changes.changed() => {}
                () = status.resumed(), if paused => {}
                () = stop.asked() => break,
            }
            if status.is_paused() {
                continue;
            }
            while self.may_begin()
                && let Some((key, _, delivery)) = self.lanes.take(Instant::now())
            {
                self.begin(key, delivery, &stop).await;
            }
            self.retry_parked(&stop).await;
        }
        // What has begun is finished and recorded; what waits comes again.
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended, &stop).await;
        }
        while let Some(ended) = self.retrying.join_next_with_id().await {
            self.retry_ended(ended).await;
        }
        tracing::debug!(worker = name, "stopped");
    }

    fn put(&mut self, delivery: Delivery) {
        let key = match delivery.event() {
            Ok(event) => self.handler.key(&event),
            Err(_) => delivery.subject().to_owned(),
        };
        self.lanes.put(key, delivery.seq, delivery);
    }

    /// Whether the next item may begin: a suspect when nothing else is under way.
    fn may_begin(&mut self) -> bool {
        if self.alone.is_some() || self.running.len() >= self.job.concurrency {
            return false;
        }
        !self.suspect_is_next() || (self.running.is_empty() && self.retrying.is_empty())
    }

    fn suspect_is_next(&mut self) -> bool {
        let next = self.lanes.next(Instant::now()).map(|delivery| (delivery.seq, delivery.attempt));
        next.is_some_and(|(seq, attempt)| self.is_suspect(seq, attempt))
    }

    /// Whether it may be what ended the processes that took it: it was delivered so often, and this one has not seen it fail.
    fn is_suspect(&self, seq: u64, attempt: u64) -> bool {
        attempt > self.job.patience.deliveries && self.tries.failed(seq) == 0
    }

    async fn begin(&mut self, key: String, delivery: Delivery, stop: &Stop) {
        let (parts, job, handler) = (self.parts.clone(), self.job.clone(), self.handler.clone());
        let (mut stop, working, taken) = (stop.clone(), stop.status().begin(), delivery.clone());
        let (seq, is_suspect) = (delivery.seq, self.is_suspect(delivery.seq, delivery.attempt));
        let kills = is_suspect && self.journal.has_ended_one(Entry::Event(seq));
        if is_suspect {
            self.journal.begins(Entry::Event(seq)).await;
        }
        let history = History { failed: self.tries.failed(seq), kills };
        let task =
            self.running.spawn(async move { attempt(&parts, &job, &*handler, &taken, history, &mut stop).await });
        self.alone = is_suspect.then(|| task.id());
        self.begun.insert(task.id(), Begun { key, delivery, kills, _working: working });
    }

    async fn ended(&mut self, ended: Result<(Id, After), JoinError>, stop: &Stop) {
        let (id, after) = match ended {
            Ok((id, after)) => (id, after),
            Err(error) => {
                stop.status().failed(format!("an attempt ended in a panic: {error}"));
                let Some(begun) = self.begun.get(&error.id()) else { return };
                let (worker, subject, position) = (self.job.name, begun.delivery.subject(), begun.delivery.seq);
                let tenant = subject.split('.').nth(2).unwrap_or_default();
                tracing::error!(tenant, worker, subject, position, %error, "an attempt ended in a panic");
                let rest = self.job.patience.rest(self.tries.failed(begun.delivery.seq) + 1);
                begun.delivery.again_after(rest).await;
                (error.id(), After::Failed(rest))
            }
        };
        let Some(begun) = self.begun.remove(&id) else { return };
        let seq = begun.delivery.seq;
        self.alone.take_if(|alone| *alone == id);
        if !(begun.kills && matches!(after, After::Again(_))) {
            self.journal.ends(Entry::Event(seq)).await;
        }
        match after {
            After::Done => {
                stop.status().is_done();
                self.tries.done(seq);
                self.lanes.done(&begun.key);
            }
            After::Failed(rest) | After::Again(rest) => {
                let until = Instant::now() + rest + self.job.patience.silence + SLACK;
                if matches!(after, After::Failed(_)) {
                    self.tries.fails(seq, until);
                }
                self.lanes.holds(&begun.key, seq, until);
            }
        }
    }

    /// Tells the server that what was taken is not forgotten.
    async fn beat(&mut self) {
        self.lanes.sweep(Instant::now());
        self.tries.sweep(Instant::now());
        for delivery in self.lanes.waiting().chain(self.begun.values().map(|begun| &begun.delivery)) {
            delivery.working().await;
        }
    }

    async fn retry_parked(&mut self, stop: &Stop) {
        if self.alone.is_some() || self.suspect_is_next() {
            return;
        }
        let known: HashSet<Uuid> = self.retried.values().copied().collect();
        for entry in self.parts.board.retries(self.job.name) {
            if known.contains(&entry.id) || self.retrying.len() >= self.job.concurrency {
                continue;
            }
            let (parts, worker, handler, status) =
                (self.parts.clone(), self.job.name, self.handler.clone(), stop.status().clone());
            let id = entry.id;
            let kills = self.journal.has_ended_one(Entry::ParkedItem(id));
            self.journal.begins(Entry::ParkedItem(id)).await;
            let task = self.retrying.spawn(async move {
                let _working = status.begin();
                let recorded = parking::retry(&parts, worker, &*handler, &entry, kills).await;
                if let Err(error) = &recorded {
                    status.failed(format!("a parked item is not tried again yet: {error}"));
                    tokio::time::sleep(RETRY).await;
                }
                recorded.is_ok() || !kills
            });
            self.retried.insert(task.id(), id);
        }
    }

    /// `Ok(true)`: nothing of it is to be remembered. One that panicked is parked again as if it had ended the process.
    async fn retry_ended(&mut self, ended: Result<(Id, bool), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(item) = self.retried.remove(&id).map(Entry::ParkedItem) else { return };
        match ended {
            Ok((_, true)) => self.journal.ends(item).await,
            Ok((_, false)) => {}
            Err(_) => self.journal.fails(item),
        }
    }
}

/// What is known of an item before an attempt.
struct History {
    /// Attempts that failed here.
    failed: u64,
    /// It ended the process before this one.
    kills: bool,
}

/// One attempt at one item, up to its acknowledgement.
async fn attempt<H: Handler>(
    parts: &RuntimeParts,
    job: &Job,
    handler: &H,
    delivery: &Delivery,
    history: History,
    stop: &mut Stop,
) -> After {
    let event = match delivery.event() {
        Ok(event) => event,
        Err(malformed) => {
            let (position, why) = (malformed.seq, malformed.why);
            tracing::warn!(worker = job.name, position, %why, "a worker passes over a message that is no event");
            delivery.ack().await;
            return After::Done;
        }
    };
    let History { failed, kills } = history;
    let mut item = Item::new(job.name, event, failed + 1);
    if failed == 0 && delivery.attempt > 1 {
        match parking::was_parked(parts, job.name, &item, stop).await {
            // Its parking was recorded, and the acknowledgement lost.
            Ok(true) => {
                delivery.ack().await;
                return After::Done;
            }
            Ok(false) => {}
            Err(error) => return again(delivery, RETRY, &error.to_string(), stop).await,
        }
    }
    let patience = &job.patience;
    let cause = if kills {
        item.attempt = 0;
        let times = delivery.attempt - 1;
        format!(
            "it was delivered {times} times, and was handled alone when the process ended; the log output may say why"
        )
    } else if failed >= patience.attempts {
        item.attempt = failed;
        "its handling panicked; the log output says where".to_owned()
    } else {
        crash::point(job.name, "taken").await;
        match handler.handle(&item).await {
            Ok(()) => {
                crash::point(job.name, "handled").await;
                delivery.ack().await;
                return After::Done;
            }
            Err(Failure::Later(why)) if item.attempt < patience.attempts => {
                let rest = patience.rest(item.attempt);
                again(delivery, rest, &why, stop).await;
                return After::Failed(rest);
            }
            Err(failure) => failure.to_string(),
        }
    };
    if !parking::park(parts, job.name, &item, &cause, stop).await {
        return again(delivery, RETRY, &cause, stop).await;
    }
    crash::point(job.name, "parked").await;
    delivery.ack().await;
    After::Done
}

async fn again(delivery: &Delivery, rest: Duration, why: &str, stop: &Stop) -> After {
    stop.status().failed(format!("event {} is tried again: {why}", delivery.seq));
    delivery.again_after(rest).await;
    After::Again(rest)
}
