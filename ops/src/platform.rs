//! Every role in one process over one data directory: the embedded profile.

use crate::{
    answering::{self, Answering},
    archive::{
        ArchiveArgs, ArchiveArgsError, ArchiveStartError, EpochBookError, KEY_FILE, Named, Protection, ProtectionParts,
        Restored, alarms,
    },
    background::Background,
    base::Base,
    crew::{self, Crew},
    data_dir::{DataDir, DataDirError},
    disk::{self, DiskFull},
    feedback_desk,
    file_desk::FileArgs,
    local_s3::{LocalServer, LocalServerError},
    mail::MailArgsError,
    nats::{NatsError, NatsOptions, NatsServer, ServerState, find_binary},
    process_args::ProcessArgs,
    read_store::{ReadStoreArgs, ReadStoreArgsError},
    run::RunError,
    storage::{Storage, StorageError},
    workforce::Staff,
};
use api::App;
use bus_schema::{
    Cell, TenantId,
    bus::{Bus, BusOptions, BusUser, ConnectError, StreamError},
    keys::{KeyError, RootKey},
};
use projectors::{
    ViewError, Views,
    backend::tantivy::{Options as IndexOptions, SearchIndex},
    read_store::ReadStoreError,
    search::SearchError,
    search_lane::Search,
};
use std::{net::SocketAddr, path::Path, sync::Arc};
use workers::{
    Worker,
    mail::{
        campaign::{Outlet, Pace, journal::Journal},
        feedback::{BounceListener, ListenerOptions},
        providers::ProviderRefused,
        sns::{FetchError, SnsOptions},
    },
    runtime::Roster,
};

/// The cell of the embedded profile.
pub const CELL: &str = "eu1";
/// The providers of `--local-archives`.
const LOCAL_PROVIDERS: [&str; 2] = ["a", "b"];

/// A running platform. [`Platform::stop`] ends it in order.
pub struct Platform {
    pub app: App,
    nats: NatsServer,
    workers: Vec<Worker>,
    feedback_desk: Arc<feedback_desk::Desk>,
    protection: Protection,
    local_providers: Vec<LocalServer>,
    data: DataDir,
    /// Last: what runs there is stopped before.
    _background: Background,
}

impl Platform {
    /// Starts everything but the listener. Without an outlet campaigns stay scheduled.
    pub async fn start(
        path: &Path,
        outlet: Option<Outlet>,
        pace: Pace,
        archives: &ArchiveArgs,
        read_store: &ReadStoreArgs,
        limits: FileArgs,
        processes: ProcessArgs,
    ) -> Result<Self, StartError> {
        let mut providers = archives.providers()?;
        let place = read_store.place()?;
        let data = DataDir::open(path)?;
        disk::check(data.root())?;
        let local_providers = start_local_providers(&data, archives).await?;
        for local in &local_providers {
            providers.push(Named { name: local.name().to_owned(), store: local.store()? });
        }
        let nats = NatsServer::start(NatsOptions::new(find_binary()?, data.root())).await?;
        let cell = Cell::try_new(CELL).map_err(|error| StartError::Cell(error.to_string()))?;
        let user = BusUser::Nkey(nats.endpoint().seed.clone());
        let bus = Bus::connect(BusOptions { url: nats.endpoint().url(), user, tls: None, cell, replicas: 1 }).await?;
        bus.ensure_streams().await?;
        let base = Base::new(bus.clone(), RootKey::from_file(&data.keys().join("root.key"))?);
        let storage = Storage::local(&data);
        let key = archives.archive_key.clone().unwrap_or_else(|| data.keys().join(KEY_FILE));
        let background = Background::start().map_err(StartError::Threads)?;
        let (blobs, folder) = (storage.files.clone(), storage.archive.clone());
        let parts = ProtectionParts { bus: bus.clone(), providers, blobs, key, folder };
        let protection = Protection::start(parts, &background).await?;
        let rows = place.open(&data, &bus).await?;
        let views = Views::open(base.cell.clone(), rows, projectors::catalog::projections()).await?;
        views.start(bus.clone());
        let search = start_search(&data, &base, &views).await?;
        let journal = Journal::open(&data.mail()).map_err(StartError::Journal)?;
        base.knows_who_is_paused().await;
        let restored = Restored::log(&storage.archive)?;
        let workers = crew::start(Crew {
            base: &base,
            views: views.clone(),
            search: search.clone(),
            storage: &storage,
            data: &data,
            outlet: outlet.clone(),
            pace,
            processes,
            journal,
            background: &background,
            restored,
            turns: None,
        })
        .map_err(StartError::Turns)?;
        let roster = Roster::of(&workers);
        roster.follow(&base.board);
        let feedback_desk = answering::feedback(&base, &views);
        let workforce = Arc::new(Staff::new(roster, base.board.clone()));
        let app = answering::app(Answering {
            base,
            views,
            search,
            storage: &storage,
            outlet,
            limits,
            processes,
            workforce,
            protection: protection.desk(),
            feedback_desk: feedback_desk.clone(),
        });
        Ok(Self { app, nats, workers, feedback_desk, protection, local_providers, data, _background: background })
    }

    /// Takes the mail that bounces at an address.
    pub async fn take_bounces(&mut self, address: SocketAddr, host_name: &str) -> Result<(), StartError> {
        let options = ListenerOptions::new(host_name);
        let opened = BounceListener::open(address, options).await;
        let listener = opened.map_err(|source| StartError::Bounces { address, source })?;
        self.workers.push(listener.start(self.feedback_desk.feedback().clone()));
        Ok(())
    }

    /// Takes messages of SNS from these topics.
    pub fn hear_sns(&self, options: SnsOptions) -> Result<(), StartError> {
        Ok(self.feedback_desk.hear_sns(options)?)
    }

    /// Raises an alarm when the log is not copied as it should be. `None`: it is copied nowhere.
    pub fn archive_alarms(&self, operator: TenantId) -> Option<Worker> {
        let desk = self.app.protection.clone();
        let watched = !desk.status().providers.is_empty();
        watched.then(|| alarms::start(desk, self.app.writer.clone(), self.app.cell.to_string(), operator))
    }

    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// The process id of nats-server, when it runs.
    pub fn nats_pid(&self) -> Option<u32> {
        match &*self.nats.state().borrow() {
            ServerState::Running { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// The providers on this machine.
    pub fn local_providers(&self) -> &[LocalServer] {
        &self.local_providers
    }

    /// Whether the archive key was made by this start.
    pub fn made_archive_key(&self) -> bool {
        self.protection.made_key()
    }

    /// Workers first: they stop at their next checkpoint, for which they need the log. Then what they wrote is archived,
    /// then the log ends, and last the providers on this machine.
    pub async fn stop(self) {
        self.app.flush().await;
        futures::future::join_all(self.workers.into_iter().map(Worker::stop)).await;
        self.protection.stop().await;
        self.nats.stop().await;
        futures::future::join_all(self.local_providers.into_iter().map(LocalServer::stop)).await;
    }
}

async fn start_local_providers(data: &DataDir, archives: &ArchiveArgs) -> Result<Vec<LocalServer>, LocalServerError> {
    let names = if archives.local_archives { &LOCAL_PROVIDERS[..] } else { &[] };
    let folders = names.iter().map(|name| (data.providers().join(name), *name));
    let starts = folders.map(|(folder, name)| async move { LocalServer::start(&folder, name).await });
    futures::future::try_join_all(starts).await
}

/// Keeps this process's own index.
pub async fn start_search(data: &DataDir, base: &Base, views: &Views) -> Result<Search, SearchError> {
    let (index, sources) = (open_index(data).await?, projectors::catalog::search_sources());
    Ok(Search::start(index, views.clone(), base.keys.clone(), base.bus.clone(), sources))
}

/// The index is a copy: one of another format is made anew from the log.
pub async fn open_index(data: &DataDir) -> Result<SearchIndex, SearchError> {
    match SearchIndex::open(data.search(), IndexOptions::default()).await {
        Err(SearchError::NeedsRebuild { .. }) => {
            tracing::info!("the search index has another format and is rebuilt");
            SearchIndex::reset(data.search()).await?;
            SearchIndex::open(data.search(), IndexOptions::default()).await
        }
        opened => opened,
    }
}

/// Why the platform does not start: one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    ReadStore(#[from] ReadStoreError),
    #[error(transparent)]
    ReadStoreArgs(#[from] ReadStoreArgsError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Mail(#[from] MailArgsError),
    #[error(transparent)]
    Provider(#[from] ProviderRefused),
    #[error(transparent)]
    Sns(#[from] FetchError),
    #[error(transparent)]
    ArchiveArgs(#[from] ArchiveArgsError),
    #[error(transparent)]
    Archive(#[from] ArchiveStartError),
    #[error(transparent)]
    EpochBook(#[from] EpochBookError),
    #[error(transparent)]
    LocalServer(#[from] LocalServerError),
    #[error(
        "the journal of campaigns cannot be opened: {0}; restore the folder `mail` of the data directory, or remove it: \
             mails that were being sent are unknown then"
    )]
    Journal(#[source] std::io::Error),
    #[error("who this process is in turns cannot be kept: {0}; look at the data directory's disk")]
    Turns(#[source] std::io::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("no mail provider is configured: give --mail-host or --mail-providers, as to the platform")]
    NoProvider,
    #[error("no platform runs in {path}: start it with `millrace up --data-dir {path}`, as this user")]
    NothingToJoin { path: String },
    #[error("threads for work in the background cannot be started: {0}; look at the limit of threads (ulimit -u)")]
    Threads(#[source] std::io::Error),
    #[error("{0}")]
    Cell(String),
    #[error("{address} cannot be listened on: {source}; stop what uses it or choose another with --listen")]
    Listen { address: String, source: std::io::Error },
    #[error("bounces cannot be taken at {address}: {source}; stop what uses it or choose another with --bounce-listen")]
    Bounces { address: SocketAddr, source: std::io::Error },
    #[error("the first tenant could not be made: {0}")]
    Setup(String),
    #[error("{path} cannot be written: {source}")]
    ReadyFile { path: String, source: std::io::Error },
}
