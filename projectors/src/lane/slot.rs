//! One generation of one view inside a lane: where it stands and how it is.

use super::{batch::Outcome, known::Known, rewound::Rewound};
use crate::{
    generation::Generation,
    projection::Projection,
    read_store::{Resume, RowKey},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Why a view stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The event it stands before.
    pub seq: u64,
    pub event_id: Option<String>,
    pub kind: Option<String>,
    pub subject: String,
    pub error: String,
}

/// What one batch did to a view.
pub struct Progress {
    /// The checkpoint after it.
    pub upto: u64,
    pub pause: Option<Pause>,
    pub applied: u64,
    pub unknown: u64,
    /// The last event applied per tenant.
    pub tenants: BTreeMap<Arc<str>, u64>,
}

/// How a view stands, for readiness, metrics and the CLI.
#[derive(Clone, Debug, Serialize)]
pub struct ViewStatus {
    pub view: String,
    pub generation: String,
    pub stage: String,
    /// The stream its position is in: `ev`, the log, or `fx`, the facts.
    pub stream: &'static str,
    pub position: u64,
    pub applied: u64,
    /// Events of kinds this version does not know, passed over.
    pub unknown: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
}

/// What is said of a view by the process that carries it.
pub(crate) struct Heard {
    pub(crate) position: u64,
    pub(crate) applied: u64,
    pub(crate) unknown: u64,
    pub(crate) paused: Option<Pause>,
    pub(crate) interrupted: Option<String>,
    /// Who moved; `None`: anybody may have.
    pub(crate) tenants: Option<HashMap<Arc<str>, u64>>,
}

/// A view's place in a lane.
pub struct Slot {
    projection: Arc<dyn Projection>,
    generation: Generation,
    position: watch::Sender<u64>,
    /// Batches up to here are made; the last of them may not be written.
    made: AtomicU64,
    rewound: Mutex<Rewound>,
    known: Mutex<Known>,
    paused: Mutex<Option<Pause>>,
    /// Paused because what its rows were before cannot be known.
    lost: AtomicBool,
    interrupted: Mutex<Option<String>>,
    retired: AtomicBool,
    /// Held from the making of a batch until it is written.
    writing: Arc<tokio::sync::Mutex<()>>,
    applied: AtomicU64,
    unknown: AtomicU64,
    skips: Mutex<HashSet<u64>>,
    tenants: RwLock<HashMap<Arc<str>, u64>>,
    /// Positions of tenants since they were told of last; only where somebody tells.
    news: Mutex<Option<HashMap<Arc<str>, u64>>>,
    /// No tenant's position counts less; where it is told of and something may have been missed.
    floor: AtomicU64,
}

impl Slot {
    pub fn new(projection: Arc<dyn Projection>, generation: Generation, position: u64) -> Self {
        Self::resumed(projection, generation, Resume::at(position))
    }

    /// One that goes on where a store says.
    pub fn resumed(projection: Arc<dyn Projection>, generation: Generation, resume: Resume) -> Self {
        Self {
            projection,
            generation,
            position: watch::Sender::new(resume.seq),
            made: AtomicU64::new(resume.seq),
            rewound: Mutex::new(Rewound::of(resume)),
            known: Mutex::default(),
            paused: Mutex::default(),
            lost: AtomicBool::new(false),
            interrupted: Mutex::default(),
            retired: AtomicBool::new(false),
            writing: Arc::default(),
            applied: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            skips: Mutex::default(),
            tenants: RwLock::default(),
            news: Mutex::default(),
            floor: AtomicU64::new(0),
        }
    }

    pub fn projection(&self) -> &Arc<dyn Projection> {
        &self.projection
    }

    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Everything up to here is in its rows.
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Where the next batch begins: behind everything that was made, though the last of it may be under way to the store.
    pub(super) fn stands(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Nothing is under way: what was made and not written is made again.
    pub(super) fn stands_at_its_position(&self) {
        self.made.store(self.position(), Ordering::Relaxed);
    }

    /// Goes back (or on) to where a store says. A pause behind that comes again with its event.
    pub(super) fn rewind(&self, resume: Resume) {
        let seq = resume.seq;
        lock(&self.known).rewind(self.position(), seq);
        self.made.store(seq, Ordering::Relaxed);
        *lock(&self.rewound) = Rewound::of(resume);
        if !self.lost.load(Ordering::Relaxed) {
            *lock(&self.paused) = None;
        }
        self.position.send_replace(seq);
    }

    /// From now on it keeps in mind what its rows are: for stores where every row that is read is a request.
    pub(super) fn keeps_in_mind(&self) {
        *lock(&self.known) = Known::beginning(self.position());
    }

    /// A row as it is at the position, if the store need not or must not be asked: it may have a later one.
    pub(super) fn known(&self, key: &RowKey) -> Option<Option<Bytes>> {
        let rewound = lock(&self.rewound).get(key).cloned();
        rewound.or_else(|| lock(&self.known).get(key))
    }

    /// Rows can hold changes of events up to here.
    pub(super) fn may_be_ahead(&self) -> u64 {
        lock(&self.rewound).until().max(self.stands())
    }

    /// A batch was made: later ones read what it made of the rows. Should its writing fail, [`Self::rewind`] comes next.
    pub(super) fn made(&self, outcome: &Outcome) {
        lock(&self.rewound).advance(outcome);
        lock(&self.known).learn(outcome);
        self.made.store(outcome.progress.upto, Ordering::Relaxed);
    }

    /// To wait for a position.
    pub fn positions(&self) -> watch::Receiver<u64> {
        self.position.subscribe()
    }

    /// The last event of a tenant this process has applied; 0 when none since its start.
    pub fn tenant_position(&self, tenant: &str) -> u64 {
        let tenants = self.tenants.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        tenants.get(tenant).copied().unwrap_or(0).max(self.floor.load(Ordering::Relaxed))
    }

    pub fn is_running(&self) -> bool {
        !self.is_retired() && lock(&self.paused).is_none()
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Waits until no batch of it is under way, and keeps the next one waiting.
    pub(crate) async fn written(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.writing.clone().lock_owned().await
    }

    /// Tries again from where it paused.
    pub fn resume(&self) {
        self.lost.store(false, Ordering::Relaxed);
        *lock(&self.paused) = None;
    }

    /// Passes over one event from now on. An explicit act of an operator; the caller records it.
    pub fn skip(&self, seq: u64) {
        lock(&self.skips).insert(seq);
        self.resume();
    }

    pub(super) fn skips(&self, seq: u64) -> bool {
        lock(&self.skips).contains(&seq)
    }

    /// Its rows are ahead of it, and nobody knows what they were.
    pub(super) fn lose(&self, pause: Pause) {
        self.lost.store(true, Ordering::Relaxed);
        tracing::error!(view = %self.generation, seq = pause.seq, error = %pause.error, "a view is paused");
        *lock(&self.paused) = Some(pause);
    }

    pub(crate) fn interrupted(&self, why: &str) {
        *lock(&self.interrupted) = Some(why.to_owned());
    }

    /// The lane reads and writes again.
    pub(super) fn goes_on(&self) {
        *lock(&self.interrupted) = None;
    }

    pub(super) fn advance(&self, progress: Progress) {
        self.applied.fetch_add(progress.applied, Ordering::Relaxed);
        self.unknown.fetch_add(progress.unknown, Ordering::Relaxed);
        if !progress.tenants.is_empty() {
            if let Some(news) = lock(&self.news).as_mut() {
                news.extend(progress.tenants.iter().map(|(tenant, seq)| (tenant.clone(), *seq)));
            }
            self.tenants_passed(progress.tenants);
        }
        if let Some(pause) = progress.pause {
            // Under the lock that `skip` takes last: an order given since the batch was read is not forgotten.
            let mut paused = lock(&self.paused);
            if !self.skips(pause.seq) {
                tracing::error!(view = %self.generation, seq = pause.seq, error = %pause.error, "a view is paused");
                *paused = Some(pause);
            }
        }
        self.made.fetch_max(progress.upto, Ordering::Relaxed);
        self.position.send_replace(progress.upto);
    }

    fn tenants_passed(&self, passed: impl IntoIterator<Item = (Arc<str>, u64)>) {
        self.tenants.write().unwrap_or_else(std::sync::PoisonError::into_inner).extend(passed);
    }

    /// Which tenants moved since the last call; `None`: it is not known since when.
    pub(crate) fn take_news(&self) -> Option<HashMap<Arc<str>, u64>> {
        lock(&self.news).replace(HashMap::new())
    }

    /// Takes what the process that carries this view says of it.
    pub(crate) fn hear(&self, told: Heard) {
        let Heard { position, applied, unknown, paused, interrupted, tenants } = told;
        match tenants {
            Some(tenants) => self.tenants_passed(tenants),
            // Whoever was missed has moved up to here at most.
            None => _ = self.floor.fetch_max(position, Ordering::Relaxed),
        }
        self.applied.store(applied, Ordering::Relaxed);
        self.unknown.store(unknown, Ordering::Relaxed);
        *lock(&self.paused) = paused;
        *lock(&self.interrupted) = interrupted;
        self.position.send_if_modified(|now| std::mem::replace(now, position) != position);
    }

    pub fn status(&self, stage: &str) -> ViewStatus {
        ViewStatus {
            view: self.generation.view.clone(),
            generation: self.generation.to_string(),
            stage: stage.to_owned(),
            stream: self.projection.family().token(),
            position: self.position(),
            applied: self.applied.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
            paused: lock(&self.paused).clone(),
            interrupted: lock(&self.interrupted).clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
