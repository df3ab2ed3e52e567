//! Campaigns are sent: each recipient gets the mail at most once, or is listed as unknown.
//!
//! The worker follows the events of campaigns. One whose time has come is launched; the [`launcher`] freezes its audience
//! into chunks; the [`sender`] claims chunks and sends them in windows; when every chunk is done it is finished. Every step
//! can be cut off anywhere and is taken up again by the next start, here or in another process:
//!
//! - The chunk's subject is the fence (see `writers::mail::chunk`): a window is recorded before its first mail leaves.
//! - The [`journal`] of this worker has a line before each mail is handed over and one after its answer, so that after a
//!   kill only the mails between the two are unknown. Without it, for another worker, the whole open window is.
//! - Consent is asked for again right before each window, and again before a mail that waited.
//!
//! Without a provider nothing is launched, and campaigns stay scheduled. Sources: spec/EMAIL.md 5.1 to 5.4.

mod apart;
mod audience;
mod book;
pub mod caution;
pub mod check;
mod courtesy;
pub(super) mod fate;
mod footer;
pub mod journal;
mod launcher;
pub mod merge;
mod outlet;
mod prepare;
pub mod preview;
mod recovery;
mod rejected;
mod restored;
mod sender;
pub(super) mod stack;
mod tracked;
mod window;

pub use outlet::{Outlet, OutletError};
pub use prepare::Imprint;
pub use restored::RestoredLog;

use crate::{
    log_reader::{Batch, LogReader},
    worker::{Stop, Worker},
};
use audience::LogEnd;
use book::{Book, Errand};
use bus_schema::{
    TenantId,
    bus::Bus,
    catalog::Catalogued,
    mail::campaign::{CampaignEvent, SendCounts},
};
use courtesy::Courtesy;
use journal::Journal;
use projectors::{Views, search_lane::Search};
use stack::Stacks;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;
use writers::{Meta, Rejected, WriteError, Writer};

/// How often it is looked for campaigns whose time has come.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a campaign rests after something failed that may pass.
const RETRY: Duration = Duration::from_secs(5);

/// How long a campaign is sent while others wait for its place.
const TURN: Duration = Duration::from_secs(5);

/// Why campaigns stay scheduled while there is no [`Outlet`]; for people.
pub const NO_OUTLET: &str =
    "no mail provider is configured: start the platform with --mail-host (or --mail-providers) and --mail-from-domain";

/// What campaigns are sent with.
#[derive(Clone)]
pub struct CampaignParts {
    pub bus: Bus,
    pub writer: Writer,
    /// Of contacts, asked for consent.
    pub views: Views,
    /// Finds the audience.
    pub search: Search,
    /// `None`: nothing is launched.
    pub outlet: Option<Outlet>,
    /// This worker's own; it makes it the worker it is.
    pub journal: Journal,
    pub pace: Pace,
    /// `None`: the log was never restored.
    pub restored: Option<RestoredLog>,
}

/// What takes its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Seconds for which a worker has a chunk; every window and, while one lasts, a third of it makes it longer.
    pub lease_seconds: i64,
    /// How long a mail rests that nobody takes for the time being, in seconds; after the last it stays deferred.
    pub deferrals: Arc<[i64]>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lease_seconds: 60, deferrals: Arc::new([60, 300, 900, 3_600, 3_600]) }
    }
}

/// One campaign.
type Key = (TenantId, Uuid);

/// Starts sending the campaigns of the parts' cell.
pub fn start(parts: CampaignParts) -> Worker {
    Worker::start("campaigns", |stop| Campaigns::new(parts).run(stop))
}

/// What all campaigns that are sent at once share.
struct Shop {
    parts: CampaignParts,
    stacks: Stacks,
    log_end: LogEnd,
    courtesy: Courtesy,
}

struct Campaigns {
    shop: Arc<Shop>,
    book: Book,
    running: JoinSet<Result<Rest, JobError>>,
    keys: HashMap<tokio::task::Id, Key>,
    memories: HashMap<Key, Arc<Mutex<Memory>>>,
    /// Campaigns wait for a place: those that have had theirs for a while give it up.
    crowded: Arc<AtomicBool>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// There is nothing to do for this campaign until one of its events says so.
    Done,
    /// Something is left, to be looked at then.
    After(Duration),
}

impl Campaigns {
    fn new(parts: CampaignParts) -> Self {
        let (running, keys, memories) = (JoinSet::new(), HashMap::new(), HashMap::new());
        let crowded = Arc::default();
        let (stacks, log_end, courtesy) = (Stacks::new(), LogEnd::default(), Courtesy::new());
        let shop = Arc::new(Shop { parts, stacks, log_end, courtesy });
        Self { shop, book: Book::default(), running, keys, memories, crowded }
    }

    async fn run(mut self, mut stop: Stop) {
        let shop = self.shop.clone();
        let parts = &shop.parts;
        // What this worker knows of its last life comes first: nobody else knows it.
        tokio::select! {
            () = recovery::replay(parts) => {}
            () = stop.asked() => return,
        }
        let aggregate = (CampaignEvent::CONTEXT, CampaignEvent::AGGREGATE);
        let mut reader = LogReader::new(parts.bus.clone(), &[aggregate], 1);
        let mut more = true;
        while !stop.is_asked() {
            tokio::select! {
                batch = reader.next(PATIENCE) => {
                    batch.report(stop.status());
                    let Batch { events, more: left, .. } = batch;
                    events.iter().for_each(|event| self.book.note(event));
                    more = left;
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended, &stop),
                () = stop.asked() => break,
            }
            let now = parts.writer.clock().now();
            // What an old event asks for may be done long since: the newest one counts.
            while !more
                && !stop.status().is_paused()
                && let Some((key, errand)) = self.book.next(now, Instant::now())
            {
                if errand == Errand::Launch && parts.outlet.is_none() {
                    self.book.rest(&key, Some(Instant::now() + RETRY));
                    continue;
                }
                let (shop, job_stop, (tenant, id)) = (shop.clone(), stop.or_paused(), key.clone());
                let memory = self.memories.entry(key.clone()).or_default().clone();
                let (working, turn) = (stop.status().begin(), Turn::new(self.crowded.clone(), memory));
                let task = self.running.spawn(async move {
                    let _working = working;
                    sender::run(&shop, &tenant, id, &job_stop, &turn).await
                });
                self.keys.insert(task.id(), key);
            }
            self.crowded.store(self.book.is_crowded(now, Instant::now()), Ordering::Relaxed);
        }
        // The jobs know of it too: they send what they have begun to and record it.
        while self.running.join_next().await.is_some() {}
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Result<Rest, JobError>), tokio::task::JoinError>, stop: &Stop) {
        let (task, rest) = match ended {
            Ok((task, Ok(rest))) => (task, Ok(rest)),
            Ok((task, Err(error))) => (task, Err(error.to_string())),
            Err(error) => (error.id(), Err(format!("it ended in a panic: {error}"))),
        };
        let Some(key) = self.keys.remove(&task) else { return };
        let again = match rest {
            // It was cut off and goes on when the worker does.
            Ok(Rest::Done) if stop.status().is_paused() => Some(Instant::now()),
            Ok(Rest::Done) => {
                stop.status().is_done();
                self.memories.remove(&key);
                None
            }
            Ok(Rest::After(after)) => Some(Instant::now() + after),
            Err(why) => {
                tracing::error!(tenant = %key.0, campaign = %key.1, %why, "sending was interrupted and is tried again");
                stop.status().failed(format!("campaign {} of {} is tried again: {why}", key.1, key.0));
                Some(Instant::now() + RETRY)
            }
        };
        self.book.rest(&key, again);
    }
}

/// A campaign's place among those that are sent at once. When others wait it is given up after a while, so that a long campaign
/// keeps nobody's short one from going out.
struct Turn {
    began: Instant,
    crowded: Arc<AtomicBool>,
    /// From turn to turn.
    memory: Arc<Mutex<Memory>>,
}

/// What one turn of a campaign tells the next, so that chunks that are done are not looked at again.
#[derive(Debug, Default)]
struct Memory {
    /// Of which retry this is.
    round: u32,
    done: BTreeMap<u32, SendCounts>,
}

impl Turn {
    fn new(crowded: Arc<AtomicBool>, memory: Arc<Mutex<Memory>>) -> Self {
        Self { began: Instant::now(), crowded, memory }
    }

    fn is_over(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) && self.began.elapsed() >= TURN
    }
}

/// A command of this worker. Those that are done twice change nothing get a random id.
fn meta(campaign: Uuid, command: bus_schema::CommandId) -> Meta {
    Meta { correlation: campaign, ..Meta::system("campaigns", command) }
}

/// Why a job ended early. It is run again later and goes on from what is recorded.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("its journal: {0}")]
    Journal(#[from] io::Error),
    #[error("its audience cannot be found: {0}")]
    Search(#[from] projectors::search::SearchError),
    #[error("the contacts are not known yet: {0}")]
    View(#[from] projectors::ViewError),
    #[error("the keys of its contacts: {0}")]
    Keys(#[from] bus_schema::keys::KeyError),
    #[error("the end of the log: {0}")]
    Stream(#[from] bus_schema::bus::StreamError),
    /// The same, told to all that asked with it.
    #[error("the end of the log: {0}")]
    LogEnd(Arc<bus_schema::bus::StreamError>),
    #[error("{0}")]
    Unfit(String),
}

impl JobError {
    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Write(WriteError::Rejected(rejected)) => Some(rejected),
            _ => None,
        }
    }
}
