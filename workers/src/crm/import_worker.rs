//! Carries out the imports of a cell: follows their events and runs each as far as it goes, one at a time per tenant.
//!
//! What is to be done follows from the log alone. Every start reads the events of all imports again (they are few) and
//! takes up what has not ended, from the checkpoint beside its report.

mod files;
mod in_use;
mod job;
mod marks;
mod schedule;

use crate::{
    blob::{BlobId, BlobStore},
    log_reader::{Batch, LogReader},
    worker::{Stop, Worker},
};
use bus_schema::{
    AnyEvent, Micros, StoredEvent, TenantId,
    bus::Bus,
    catalog::Catalogued,
    crm::import::{ImportEvent, ImportPlan},
};
pub use files::{ImportFiles, ImportPaths};
use job::JobError;
use projectors::search_lane::Search;
use schedule::Schedule;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;
use writers::Writer;

const PATIENCE: Duration = Duration::from_millis(500);
/// How long an import rests after something failed that may pass.
const RETRY: Duration = Duration::from_secs(10);
/// How often files that are not needed any more are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long an imported file is kept after its import began; it is personal data in the clear.
const KEEP: Micros = Micros(7 * 24 * 3600 * 1_000_000);

/// What imports are carried out with.
#[derive(Clone)]
pub struct ImportParts {
    pub bus: Bus,
    pub writer: Writer,
    pub blobs: BlobStore,
    pub files: ImportFiles,
    /// Knows which orders and enrolments a contact has.
    pub search: Search,
}

/// One import.
type Key = (TenantId, Uuid);

/// Starts carrying out the imports of the parts' cell.
pub fn start(parts: ImportParts) -> Worker {
    Worker::start("imports", |stop| Imports::new(parts).run(stop))
}

struct Imports {
    parts: Arc<ImportParts>,
    schedule: Schedule,
    running: JoinSet<Result<(), JobError>>,
    keys: HashMap<tokio::task::Id, Key>,
    /// The files of imports, with the time they were begun.
    uploaded: BTreeMap<Key, (BlobId, Micros)>,
}

impl Imports {
    fn new(parts: ImportParts) -> Self {
        let (schedule, running) = (Schedule::default(), JoinSet::new());
        Self { parts: Arc::new(parts), schedule, running, keys: HashMap::new(), uploaded: BTreeMap::new() }
    }

    async fn run(mut self, mut stop: Stop) {
        let aggregate = (ImportEvent::CONTEXT, ImportEvent::AGGREGATE);
        let mut reader = LogReader::new(self.parts.bus.clone(), &[aggregate], 1);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut more = true;
        while !stop.is_asked() {
            tokio::select! {
                batch = reader.next(PATIENCE) => {
                    batch.report(stop.status());
                    let Batch { events, more: left, .. } = batch;
                    events.iter().for_each(|event| self.note(event));
                    more = left;
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended, &stop),
                _ = sweep.tick(), if !more => self.sweep().await,
                () = stop.asked() => break,
            }
            // What an old event asks for may be done long since: the newest one counts.
            while !more
                && !stop.status().is_paused()
                && let Some((tenant, id)) = self.schedule.next(Instant::now())
            {
                let (parts, job_stop, key) = (self.parts.clone(), stop.or_paused(), (tenant.clone(), id));
                let working = stop.status().begin();
                let task = self.running.spawn(async move {
                    let _working = working;
                    job::run(&parts, &tenant, id, &job_stop).await
                });
                self.keys.insert(task.id(), key);
            }
        }
        // The jobs know of it too and stop at their next checkpoint.
        while self.running.join_next().await.is_some() {}
    }

    fn note(&mut self, stored: &StoredEvent) {
        let Some(id) = stored.subject.address.uuid() else { return };
        let key = (stored.subject.tenant.clone(), id);
        let event = match stored.decode() {
            Ok(Some(AnyEvent::Import(event))) => event,
            // The job meets it too, and says so.
            _ => return,
        };
        match event {
            ImportEvent::Started(started) => {
                if let Some(blob) = blob_of(&started.plan) {
                    self.uploaded.insert(key.clone(), (blob, stored.envelope.at));
                }
                self.schedule.want(key, stored.seq);
            }
            ImportEvent::Cancelled(_) | ImportEvent::UndoStarted(_) => self.schedule.want(key, stored.seq),
            ImportEvent::Finished(_) | ImportEvent::Failed(_) | ImportEvent::Undone(_) => self.schedule.forget(&key),
            ImportEvent::Progressed(_) | ImportEvent::UndoProgressed(_) => {}
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Result<(), JobError>), tokio::task::JoinError>, stop: &Stop) {
        let (task, why) = match ended {
            Ok((task, Ok(()))) => (task, None),
            Ok((task, Err(error))) => (task, Some(error.to_string())),
            Err(error) => (error.id(), Some(format!("it ended in a panic: {error}"))),
        };
        let Some(key) = self.keys.remove(&task) else { return };
        match &why {
            Some(why) => stop.status().failed(format!("import {} of {} is tried again: {why}", key.1, key.0)),
            None if stop.status().is_paused() => {}
            None => stop.status().is_done(),
        }
        if let Some(why) = &why {
            tracing::error!(tenant = %key.0, import = %key.1, %why, "an import was interrupted and is tried again");
        }
        // Cut off by a pause, it goes on when the worker does.
        let paused = stop.status().is_paused().then(Instant::now);
        self.schedule.done(key, why.map(|_| Instant::now() + RETRY).or(paused));
    }

    /// Removes the files of imports that ended, a while after they began.
    async fn sweep(&mut self) {
        let before = Micros(self.parts.writer.clock().now().0 - KEEP.0);
        let old = self.uploaded.iter().filter(|(key, (_, begun))| *begun < before && !self.schedule.knows(key));
        let old: Vec<(Key, BlobId)> = old.map(|(key, (blob, _))| (key.clone(), blob.clone())).collect();
        for (key, blob) in old {
            let used = |(other, (wanted, _)): (&Key, &(BlobId, Micros))| {
                other.0 == key.0 && *wanted == blob && self.schedule.knows(other)
            };
            if self.uploaded.iter().any(used) {
                continue;
            }
            match self.parts.blobs.remove_older(&key.0, &blob, before).await {
                Ok(true) => _ = self.uploaded.remove(&key),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, tenant = %key.0, "the file of an import is not removed yet"),
            }
        }
    }
}

fn blob_of(plan: &ImportPlan) -> Option<BlobId> {
    plan.blob.parse().ok()
}
