//! The archivers of a cell, in one process at a time; and what is known of them in the others.

use super::{RunError, news::News, once};
use crate::{
    archive::{ArchiveArgs, KEY_FILE, LogDesk, Protection, ProtectionParts, alarms, examine},
    background::{Background, Entry},
    base::Base,
    platform::StartError,
    storage::Storage,
};
use api::{
    http::problem::Problem,
    protection::{LogDigests, ProtectionDesk, ProtectionStatus},
};
use bus_schema::{
    TenantId,
    bus::{Bus, LeaseTerm},
};
use futures::future::BoxFuture;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use workers::{Stop, Worker, archive::ArchiveKey, runtime::turn::Turn};

const NAME: &str = "archivers";
/// Before archiving is begun again that could not be.
const RETRY: Duration = Duration::from_secs(5);

/// What this process archives, if it does at this moment. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Option<Arc<dyn ProtectionDesk>>>>);

impl Shown {
    pub(super) fn status(&self) -> Option<ProtectionStatus> {
        let desk = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        desk.map(|desk| desk.status())
    }

    fn set(&self, desk: Option<Arc<dyn ProtectionDesk>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = desk;
    }
}

pub(super) struct Archiving<'a> {
    pub(super) base: &'a Base,
    pub(super) storage: &'a Storage,
    pub(super) args: &'a ArchiveArgs,
    /// Who is told of what is wrong.
    pub(super) operator: &'a TenantId,
    /// Who this process is in turns.
    pub(super) turns: &'a Path,
}

/// What a turn begins with.
#[derive(Clone)]
struct Work {
    parts: ProtectionParts,
    base: Base,
    operator: TenantId,
    background: Entry,
    shown: Shown,
}

impl Archiving<'_> {
    /// Asks every provider, and starts waiting for the turn. `None`: the log is copied nowhere.
    pub(super) async fn start(self, background: &Background) -> Result<Option<(Worker, Shown)>, StartError> {
        let Self { base, storage, args, operator, turns } = self;
        let providers = args.providers()?;
        if providers.is_empty() {
            return Ok(None);
        }
        // One key for all: who starts first makes it, in the folder all share.
        let path = args.archive_key.clone().unwrap_or_else(|| storage.keys.join(KEY_FILE));
        let alone = once::alone(&base.bus, "opening").await?;
        let key = ArchiveKey::open_or_create(&path).map_err(RunError::from);
        alone.end().await;
        examine(&providers, &Arc::new(key?), &base.cell).await?;
        let parts = ProtectionParts {
            bus: base.bus.clone(),
            providers,
            blobs: storage.files.clone(),
            key: path,
            folder: storage.archive.clone(),
        };
        let turn = Turn::open(base.bus.clone(), NAME, turns, LeaseTerm::USUAL).map_err(StartError::Turns)?;
        let shown = Shown::default();
        let (base, operator, background) = (base.clone(), operator.clone(), background.entry());
        let work = Work { parts, base, operator, background, shown: shown.clone() };
        let begin = move || {
            let work = work.clone();
            Worker::start(NAME, |stop| work.run(stop))
        };
        Ok(Some((Worker::taking_turns(NAME, turn, begin), shown)))
    }
}

impl Work {
    async fn run(self, mut stop: Stop) {
        let protection = loop {
            match Protection::start_within(self.parts.clone(), &self.background).await {
                Ok(protection) => break protection,
                Err(error) => {
                    tracing::error!(%error, "the log is not archived yet");
                    stop.status().failed(format!("the log is not archived yet: {error}"));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.asked() => return,
            }
        };
        let desk = protection.desk();
        self.shown.set(Some(desk.clone()));
        let alarms = alarms::start(desk, self.base.writer.clone(), self.base.cell.to_string(), self.operator.clone());
        stop.asked().await;
        self.shown.set(None);
        alarms.stop().await;
        protection.stop().await;
    }
}

/// The API's port to archivers in other processes.
pub(super) struct Elsewhere {
    log: LogDesk,
    news: News,
}

impl Elsewhere {
    pub(super) fn new(bus: Bus, news: News) -> Self {
        Self { log: LogDesk(bus), news }
    }
}

impl ProtectionDesk for Elsewhere {
    fn status(&self) -> ProtectionStatus {
        self.news.protection().unwrap_or_default()
    }

    fn digests(&self, events: Option<u64>, facts: Option<u64>) -> BoxFuture<'_, Result<LogDigests, Problem>> {
        Box::pin(self.log.digests(events, facts))
    }
}
