//! Messages are sent: one mail to one person, at least once, each attempt with the same Message-ID.
//!
//! The worker follows the events of messages. One that was requested is made, handed over and recorded; what is not known to be
//! taken is tried again after a pause ([`verdict`]), until it is taken, refused for good, over its time, or tried so often
//! that a person has to look (`parked`). A mail that was taken right before this process died is sent once more: that is the
//! promise of its class, and its receiver's mail system sees one Message-ID. Never more of them can be in that state than
//! there are connections, because a connection's next mail waits until the one before is recorded.
//!
//! Nobody waits behind a campaign: messages have connections of their own ([`Outlet::apart`]). While the provider cannot be
//! reached, nothing is counted against a message; it waits, as it does without a provider, until its time is over.
//!
//! Sources: spec/EMAIL.md 5.1 to 5.3; RFC 5321 4.5.4.1 (retries), RFC 3834 (`Auto-Submitted`).

mod attempt;
mod book;
pub mod builtin;
mod letter;
pub mod reasons;
mod verdict;
pub mod words;

use crate::{
    log_reader::{Batch, LogReader},
    mail::campaign::Outlet,
    place::Place,
    runtime::turn::{Held, Turn},
    worker::{Stop, Worker},
};
use attempt::Rest;
use book::Book;
use bus_schema::{
    Micros, TenantId,
    bus::{Bus, LeaseTerm},
    catalog::Catalogued,
    mail::message::MessageEvent,
};
use std::{collections::HashMap, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;
use writers::{WriteError, Writer};

/// How often it is looked for messages whose time has come.
const PATIENCE: Duration = Duration::from_millis(250);
/// Seconds a message rests after something failed that is not about it.
const RETRY: i64 = 5;
/// The longest rest after the provider could not be reached.
const LONGEST: Duration = Duration::from_secs(60);
/// The turn of whoever sends.
const TURN: &str = "messages";
/// Jobs at once without a provider: they only find out what is over.
const IDLE_JOBS: usize = 4;

/// What messages are sent with.
#[derive(Clone)]
pub struct MessageParts {
    pub bus: Bus,
    pub writer: Writer,
    /// `None`: messages wait.
    pub outlet: Option<Outlet>,
    /// What makes this process the one that has its turn: a folder of its own.
    pub folder: PathBuf,
    /// The folder in which whoever sends keeps its place.
    pub places: PathBuf,
}

/// One message.
type Key = (TenantId, Uuid);

/// Starts sending the messages of the parts' cell.
pub fn start(parts: MessageParts) -> Worker {
    Worker::start("messages", |stop| Messages::new(parts).run(stop))
}

struct Messages {
    parts: Arc<MessageParts>,
    book: Book,
    running: JoinSet<Result<Rest, JobError>>,
    keys: HashMap<Id, Key>,
    /// Failures to reach the provider, one after the other, and until when nothing is tried.
    troubles: u32,
    resting: Option<Instant>,
}

impl Messages {
    fn new(parts: MessageParts) -> Self {
        let (running, keys) = (JoinSet::new(), HashMap::new());
        Self { parts: Arc::new(parts), book: Book::default(), running, keys, troubles: 0, resting: None }
    }

    /// With a provider, of several processes over one log one sends at a time: an attempt of which nothing is recorded yet looks to
    /// another process like one that was never made.
    async fn run(mut self, mut stop: Stop) {
        let turn = match self.parts.outlet {
            Some(_) => match self.turn(&mut stop).await {
                Some(turn) => Some(turn),
                None => return,
            },
            None => None,
        };
        while !stop.is_asked() {
            let held = match &turn {
                Some(turn) => match turn.wait(&mut stop).await {
                    Some(held) => Some(held),
                    None => return,
                },
                None => None,
            };
            self.book = Book::default();
            self.work(held.as_ref(), &mut stop).await;
            if let Some(held) = held {
                held.give_up().await;
            }
        }
    }

    async fn turn(&self, stop: &mut Stop) -> Option<Turn> {
        loop {
            match Turn::open(self.parts.bus.clone(), TURN, &self.parts.folder, LeaseTerm::USUAL) {
                Ok(turn) => return Some(turn),
                Err(error) => {
                    let folder = self.parts.folder.display();
                    stop.status().failed(format!("{folder} cannot be written: {error}; check the disk"));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
                () = stop.asked() => return None,
            }
        }
    }

    /// Sends until it is asked to stop, or until it is another process's turn.
    async fn work(&mut self, held: Option<&Held>, stop: &mut Stop) {
        let (path, bus) = (self.parts.places.join("messages.json"), self.parts.bus.clone());
        let Some(mut place) = Place::open(path, &bus, stop).await else { return };
        let aggregate = (MessageEvent::CONTEXT, MessageEvent::AGGREGATE);
        let mut reader = LogReader::new(bus, &[aggregate], place.position() + 1);
        let (mut more, mut read) = (true, place.position());
        let most = self.parts.outlet.as_ref().map_or(IDLE_JOBS, |outlet| outlet.providers().connections());
        stop.status().set_concurrency(most);
        while !stop.is_asked() && held.is_none_or(Held::is_mine) {
            tokio::select! {
                batch = reader.next(PATIENCE) => {
                    batch.report(stop.status());
                    let Batch { events, more: left, upto, .. } = batch;
                    events.iter().for_each(|event| self.book.note(event));
                    (more, read) = (left, upto.unwrap_or(read));
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended, stop),
                () = stop.asked() => break,
            }
            // What an old event asks for may be done long since: the newest one counts.
            while !more && self.running.len() < most && !self.is_resting() && !stop.status().is_paused() {
                let Some(key) = self.book.next(self.parts.writer.clock().now()) else { break };
                let (parts, job_stop, (tenant, id)) = (self.parts.clone(), stop.clone(), key.clone());
                let (working, mine) = (stop.status().begin(), held.map(Held::mine));
                let task = self.running.spawn(async move {
                    let _working = working;
                    attempt::run(&parts, &tenant, id, &job_stop, mine).await
                });
                self.keys.insert(task.id(), key);
            }
            stop.status().waits(self.book.open() as u64);
            place.reached(self.book.done(read), false).await;
        }
        // What is being handed over is recorded.
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended, stop);
        }
        place.reached(self.book.done(read), true).await;
    }

    fn is_resting(&self) -> bool {
        self.resting.is_some_and(|until| until > Instant::now())
    }

    fn ended(&mut self, ended: Result<(Id, Result<Rest, JobError>), JoinError>, stop: &Stop) {
        let (task, rest) = match ended {
            Ok((task, Ok(rest))) => (task, Ok(rest)),
            Ok((task, Err(error))) => (task, Err(error.to_string())),
            Err(error) => (error.id(), Err(format!("it ended in a panic: {error}"))),
        };
        let Some(key) = self.keys.remove(&task) else { return };
        let now = self.parts.writer.clock().now();
        let again = match rest {
            Ok(Rest::Done { sent }) => {
                self.troubles = if sent { 0 } else { self.troubles };
                stop.status().is_done();
                None
            }
            Ok(Rest::Until(then)) => Some(then),
            Ok(Rest::Unreached { cause }) => {
                stop.status().failed(format!("the mail provider cannot be reached: {cause}"));
                self.rest(&cause);
                Some(now)
            }
            Err(why) => {
                stop.status().failed(format!("message {} of {} is tried again: {why}", key.1, key.0));
                tracing::error!(tenant = %key.0, message = %key.1, %why, "a message was interrupted and is tried again");
                Some(now.plus_seconds(RETRY))
            }
        };
        self.book.rest(&key, again);
    }

    /// The provider cannot be reached: nothing is tried for a while.
    fn rest(&mut self, cause: &str) {
        // Jobs that began together tell of one trouble.
        if self.is_resting() {
            return;
        }
        let rest = Duration::from_secs(1 << self.troubles.min(6)).min(LONGEST);
        self.troubles += 1;
        self.resting = Some(Instant::now() + rest);
        let (waiting, seconds) = (self.book.open(), rest.as_secs());
        tracing::warn!(%cause, waiting, seconds, "the mail provider cannot be reached; messages wait");
    }
}

/// Why a job ended early. It is run again later and goes on from what is recorded.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("the key of its receiver: {0}")]
    Key(#[from] bus_schema::keys::KeyError),
    #[error("it cannot be made: {0}")]
    Thread(#[from] io::Error),
}

/// The earlier of two times.
fn earlier(one: Micros, other: Micros) -> Micros {
    one.min(other)
}
