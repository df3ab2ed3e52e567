//! Every role in one process over one data directory: the embedded profile.

use crate::{
    archive::{
        ArchiveArgs, ArchiveArgsError, ArchiveStartError, EpochBookError, KEY_FILE, Named, Protection, ProtectionParts,
        alarms,
    },
    background::Background,
    data_dir::{DataDir, DataDirError},
    disk::{self, DiskFull},
    feedback_desk,
    file_desk::{self, FileArgs},
    import_desk::Desk,
    local_s3::{LocalServer, LocalServerError},
    mail::{MailArgsError, ProviderBoard},
    mail_desk::PreparedMail,
    message_desk,
    nats::{NatsError, NatsOptions, NatsServer, ServerState, find_binary},
    process_args::ProcessArgs,
    workforce::Staff,
};
use api::{App, app::Parts, http::metrics::Registry};
use bus_schema::{
    Cell, TenantId,
    bus::{Bus, BusOptions, ConnectError, StreamError},
    keys::{KeyDirectory, KeyError, RootKey},
    time::Clock,
};
use projectors::{
    ViewError, Views,
    backend::{
        fjall::{FjallStore, Options as ReadOptions},
        tantivy::{Options as IndexOptions, SearchIndex},
    },
    platform::board::Board,
    read_store::{ReadStore, ReadStoreError},
    search::SearchError,
    search_lane::Search,
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use workers::{
    Worker,
    blob::BlobStore,
    cms::file_sweeper,
    crm::{
        eraser,
        import_worker::{self, ImportFiles, ImportParts},
    },
    mail::{
        campaign::{self, CampaignParts, Outlet, Pace, journal::Journal},
        feedback::{BounceListener, Feedback, ListenerOptions},
        message::{
            self, MessageParts,
            reasons::{self, ReasonParts},
        },
        providers::ProviderRefused,
        sns::{FetchError, SnsOptions},
    },
    runtime::{Roster, RuntimeParts, timers},
    shop::fulfilment,
};
use writers::{
    EventStore, Writer,
    backend::nats::{GroupOptions, NatsStore},
    facts::Facts,
    identity::sign_in::SignIn,
};

/// How long the start waits for what operators said of the workers.
const BOARD_WITHIN: Duration = Duration::from_secs(20);
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
        limits: FileArgs,
        processes: ProcessArgs,
    ) -> Result<Self, StartError> {
        let mut providers = archives.providers()?;
        let data = DataDir::open(path)?;
        disk::check(data.root())?;
        let local_providers = start_local_providers(&data, archives).await?;
        for local in &local_providers {
            providers.push(Named { name: local.name().to_owned(), store: local.store()? });
        }
        let nats = NatsServer::start(NatsOptions::new(find_binary()?, data.root())).await?;
        let cell = Cell::try_new(CELL).map_err(|error| StartError::Cell(error.to_string()))?;
        let bus = Bus::connect(BusOptions {
            url: nats.endpoint().url(),
            nkey_seed: Some(nats.endpoint().seed.clone()),
            cell: cell.clone(),
            replicas: 1,
        })
        .await?;
        bus.ensure_streams().await?;
        let keys = KeyDirectory::new(bus.clone(), RootKey::from_file(&data.keys().join("root.key"))?);
        let key = archives.archive_key.clone().unwrap_or_else(|| data.keys().join(KEY_FILE));
        let folder = data.archive();
        let file_blobs = BlobStore::folder(data.files());
        let blobs = file_blobs.clone();
        let background = Background::start().map_err(StartError::Threads)?;
        let parts = ProtectionParts { bus: bus.clone(), providers, blobs, key, folder };
        let protection = Protection::start(parts, &background).await?;
        let clock = Clock::System;
        let store = EventStore::Nats(NatsStore::new(bus.clone(), GroupOptions::default()));
        let facts_store = EventStore::Nats(NatsStore::new(bus.clone(), GroupOptions::default()));
        let facts = Facts::new(cell.clone(), facts_store);
        let writer = Writer::new(cell.clone(), store, keys.clone(), clock.clone());
        let rows = ReadStore::Fjall(FjallStore::open(data.views(), ReadOptions::default()).await?);
        let views = Views::open(cell.clone(), rows, projectors::catalog::projections()).await?;
        views.start(bus.clone());
        let index = open_index(&data).await?;
        let sources = projectors::catalog::search_sources();
        let search = Search::start(index, views.clone(), keys.clone(), bus.clone(), sources);
        let (sign_in, registry) = (SignIn::default(), Registry::new());
        let (blobs, files) = (BlobStore::folder(data.blobs()), ImportFiles::new(data.imports()));
        let imports = Arc::new(Desk::new(blobs.clone(), files.clone()));
        let journal = Journal::open(&data.mail()).map_err(StartError::Journal)?;
        let mail_desk = Arc::new(PreparedMail::new(outlet.clone()));
        let mail_providers = Arc::new(ProviderBoard(outlet.as_ref().map(|outlet| outlet.providers().clone())));
        let mail_obstacle = outlet.is_none().then(|| campaign::NO_OUTLET.to_owned());
        let messages = Arc::new(message_desk::Desk::new(outlet.clone()));
        let letters = outlet.as_ref().map(Outlet::apart);
        let board = Board::start(bus.clone());
        // Who is paused must be known before anybody begins.
        if !board.caught_up(BOARD_WITHIN).await {
            tracing::warn!("it is not known yet which workers are paused; they begin as if none were");
        }
        let feedback_desk =
            Arc::new(feedback_desk::Desk::new(Feedback::new(bus.clone(), writer.clone(), views.clone())));
        let runtime = RuntimeParts { bus: bus.clone(), writer: writer.clone(), board: board.clone() };
        let (fulfilments, fulfilment_timers) =
            fulfilment::start(runtime, processes.fulfilment(), data.root().join("fulfilments.json"));
        let workers = vec![
            reasons::start(ReasonParts {
                bus: bus.clone(),
                writer: writer.clone(),
                provider: letters.is_some(),
                folder: data.mail(),
            }),
            message::start(MessageParts {
                bus: bus.clone(),
                writer: writer.clone(),
                outlet: letters,
                folder: data.mail(),
            }),
            fulfilments,
            timers::start(bus.clone(), [(fulfilment::NAME, fulfilment_timers)].into()),
            eraser::start(bus.clone(), keys.clone(), clock.clone(), data.root().join("eraser.json")),
            import_worker::start(ImportParts {
                bus: bus.clone(),
                writer: writer.clone(),
                blobs,
                files,
                search: search.clone(),
            }),
            file_sweeper::start(bus.clone(), file_blobs.clone(), clock.clone()),
            background.within(|| {
                campaign::start(CampaignParts {
                    bus: bus.clone(),
                    writer: writer.clone(),
                    views: views.clone(),
                    search: search.clone(),
                    outlet,
                    journal,
                    pace,
                })
            }),
        ];
        let roster = Roster::of(&workers);
        roster.follow(&board);
        let workforce = Arc::new(Staff::new(roster, board.clone()));
        let app = App::new(Parts {
            cell,
            bus,
            writer,
            facts,
            views,
            search,
            keys,
            clock,
            sign_in,
            registry,
            imports,
            files: Arc::new(file_desk::Desk::new(file_blobs, limits)),
            messages,
            mail: mail_desk,
            protection: protection.desk(),
            mail_providers,
            workforce,
            board,
            mail_obstacle,
            feedback_desk: feedback_desk.clone(),
            fulfilment_patience: processes.fulfilment(),
        });
        let (desk, region) = (app.protection.clone(), app.cell.to_string());
        app.registry.add_source(move |out| desk.status().render(&region, out));
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
