//! `millrace run`: some roles of a platform in this process, over NATS servers and a cluster of views that run elsewhere.
//!
//! The wiring is that of `millrace up` ([`Base`], [`crew`], [`answering`]); what differs is where things are: the log and the rows are
//! given by address, files lie in a folder that all share, and the views are carried by one process at a time ([`lead`]) and
//! followed by the others.

mod archiving;
mod error;
mod lead;
mod log_args;
mod news;
mod once;
mod operator;
mod roles;
mod status;

use crate::{
    answering::{self, Answering},
    archive::{ArchiveArgs, Restored},
    background::Background,
    base::Base,
    crew::{self, Crew},
    data_dir::DataDir,
    disk,
    file_desk::FileArgs,
    mail::MailArgs,
    platform::{CELL, StartError, start_search},
    process_args::ProcessArgs,
    read_store::{ReadStoreArgs, ReadStorePlace},
    ready,
    storage::Storage,
    up::{init_log, stop_signal},
    workforce::Staff,
};
use bus_schema::{
    Cell, TenantId,
    bus::{Bus, StreamError},
    keys::RootKey,
};
pub use error::RunError;
use log_args::LogArgs;
pub use news::News;
use projectors::{
    Views,
    backend::fjall::{FjallStore, Options as FolderOptions},
    read_store::ReadStore,
};
use roles::Role;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use workers::{
    Worker,
    mail::{
        campaign::{Outlet, journal::Journal},
        feedback::{BounceListener, ListenerOptions},
    },
    runtime::Roster,
};

/// How long a process waits at its start until the views have been made.
const VIEWS_WITHIN: Duration = Duration::from_secs(120);
/// How long it waits for the streams of the log.
const STREAMS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  millrace run --role projector --data-dir /var/lib/millrace --root-key /etc/millrace/root.key \\
      --nats tls://n1,tls://n2,tls://n3 --nats-credentials /etc/millrace/nats --nats-ca /etc/millrace/ca.pem \\
      --read-store 'scylla://db1,db2,db3/millrace?replication=3' --read-store-credentials /etc/millrace/db
  millrace run --role api --listen 0.0.0.0:8080 --shared-dir /mnt/millrace …
  millrace run --role worker --shared-dir /mnt/millrace --mail-providers providers.json …
  millrace run --role api,worker …

Start at least one process of each role, two to survive the loss of one. All get the same settings: the same root key (32
bytes: `head -c 32 /dev/urandom > root.key`), cell, mail settings and shared folder; each a data directory of its own. See
ops/docs/runbooks/several-machines.md.")]
pub struct RunArgs {
    /// What this process does; several are joined by commas. api: requests. projector: carries the views, one process at a
    /// time. worker: campaigns, messages, imports, erasure, archives
    #[arg(long, env = "MILLRACE_ROLE", value_enum, value_delimiter = ',', required = true)]
    role: Vec<Role>,
    /// What this process keeps for itself; made when it does not exist
    #[arg(long, env = "MILLRACE_DATA_DIR")]
    data_dir: PathBuf,
    /// The key of all keys, 32 bytes, the same for every process. Who loses it loses every tenant's data
    #[arg(long, env = "MILLRACE_ROOT_KEY", value_name = "FILE")]
    root_key: PathBuf,
    /// The cell
    #[arg(long, env = "MILLRACE_CELL", default_value = CELL)]
    cell: String,
    /// A folder that all processes of the roles api and worker share: uploaded files, imports, what workers know
    #[arg(long, env = "MILLRACE_SHARED_DIR", value_name = "DIR")]
    shared_dir: Option<PathBuf>,
    /// Address of the API and the sites (role api); port 0 takes a free one
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Also answer /livez, /readyz and /metrics at this address, in any role
    #[arg(long, env = "MILLRACE_STATUS_LISTEN")]
    status_listen: Option<SocketAddr>,
    /// The tenant whose people operate the installation; made when there is none
    #[arg(long, env = "MILLRACE_OPERATOR", default_value = "main")]
    operator: String,
    /// Make a new password and API key of the operators' first account, in keys/admin.json of the data directory (role api)
    #[arg(long)]
    new_login: bool,
    /// Also write the process id, the roles and the address to this file (JSON) once everything runs
    #[arg(long)]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    read_store: ReadStoreArgs,
    #[command(flatten)]
    mail: MailArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    processes: ProcessArgs,
    #[command(flatten)]
    archives: ArchiveArgs,
}

/// What every role of this process has.
struct Ground {
    args: RunArgs,
    base: Base,
    data: DataDir,
    rows: ReadStore,
    operator: TenantId,
    /// Who this process is in turns.
    turns: PathBuf,
}

pub async fn run(args: RunArgs) -> Result<(), StartError> {
    init_log();
    let has = |role| args.role.contains(&role);
    let (api, worker) = (has(Role::Api), has(Role::Worker));
    let listener = if api { Some(answering::listen(args.listen).await?) } else { None };
    let status = match args.status_listen {
        Some(address) => Some(answering::listen(address).await?.0),
        None => None,
    };
    let outlet = if api || worker { args.mail.outlet()? } else { None };
    if let Some(outlet) = &outlet {
        outlet.providers().check().await?;
    }
    let storage = match &args.shared_dir {
        Some(folder) if api || worker => Some(Storage::shared(folder)?),
        None if api || worker => return Err(RunError::NoSharedDir.into()),
        _ => None,
    };
    let ground = Ground::open(args).await?;
    let background = Background::start().map_err(StartError::Threads)?;
    let stop = CancellationToken::new();
    let mut running = Running::default();
    let started = start(&ground, storage, outlet, listener, &background, &mut running, &stop);
    let started = tokio::select! {
        started = started => Some(started),
        () = stop_signal() => None,
    };
    let outcome = match started {
        Some(Ok(url)) => serve(&ground, &mut running, status, url, &stop).await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    stop.cancel();
    running.stop().await;
    outcome
}

/// What runs, to be stopped in order.
#[derive(Default)]
struct Running {
    serving: Option<tokio::task::JoinHandle<()>>,
    app: Option<api::App>,
    workers: Vec<Worker>,
    /// After everything that writes to the log.
    last: Vec<Worker>,
    roster: Roster,
}

impl Running {
    async fn stop(self) {
        if let Some(serving) = self.serving {
            _ = serving.await;
        }
        if let Some(app) = self.app {
            app.flush().await;
        }
        futures::future::join_all(self.workers.into_iter().map(Worker::stop)).await;
        futures::future::join_all(self.last.into_iter().map(Worker::stop)).await;
    }
}

impl Ground {
    async fn open(args: RunArgs) -> Result<Self, StartError> {
        if args.archives.local_archives {
            return Err(RunError::LocalArchives.into());
        }
        let place = match args.read_store.place()? {
            ReadStorePlace::Folder => return Err(RunError::NoReadStore.into()),
            place => place,
        };
        let operator = TenantId::try_new(&args.operator)
            .map_err(|error| RunError::Operator { name: args.operator.clone(), why: error.to_string() })?;
        if !args.root_key.is_file() {
            return Err(RunError::NoRootKey { path: args.root_key.clone() }.into());
        }
        let root = RootKey::from_file(&args.root_key)?;
        let data = DataDir::open(&args.data_dir)?;
        disk::check(data.root())?;
        let turns = data.root().join("turns");
        std::fs::create_dir_all(&turns).map_err(StartError::Turns)?;
        let cell = Cell::try_new(&args.cell).map_err(|error| StartError::Cell(error.to_string()))?;
        let bus = Bus::connect(args.log.options(cell)?).await?;
        ensure_streams(&bus).await?;
        // Servers of the cluster may not make the same table twice at once.
        let alone = once::alone(&bus, "opening").await?;
        let rows = place.open(&data, &bus).await;
        alone.end().await;
        Ok(Self { base: Base::new(bus, root), data, rows: rows?, operator, turns, args })
    }

    async fn follow(&self) -> Result<Views, StartError> {
        let scratch = ReadStore::Fjall(FjallStore::open(self.data.views(), FolderOptions::default()).await?);
        let Base { cell, bus, .. } = self.base.clone();
        tracing::info!("waiting for the process that carries the views");
        Ok(Views::follow(cell, self.rows.clone(), projectors::catalog::projections(), bus, scratch, VIEWS_WITHIN)
            .await?)
    }
}

/// Of several processes that make them at once, most are told that there are none yet.
async fn ensure_streams(bus: &Bus) -> Result<(), StreamError> {
    let end = tokio::time::Instant::now() + STREAMS_WITHIN;
    loop {
        match bus.ensure_streams().await {
            Err(error) if error.may_pass() && tokio::time::Instant::now() < end => {
                tracing::info!(%error, "the streams of the log are not there yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            done => return done,
        }
    }
}

/// Starts every role; gives the address of the API, if it serves.
async fn start(
    ground: &Ground,
    storage: Option<Storage>,
    outlet: Option<Outlet>,
    listener: Option<(tokio::net::TcpListener, SocketAddr)>,
    background: &Background,
    running: &mut Running,
    stop: &CancellationToken,
) -> Result<Option<String>, StartError> {
    let Ground { args, base, data, rows, operator, turns } = ground;
    if args.role.contains(&Role::Projector) {
        running.last.push(lead::start(base.clone(), rows.clone(), turns).map_err(StartError::Turns)?);
    }
    let Some(storage) = storage else { return Ok(None) };
    let views = ground.follow().await?;
    let search = start_search(data, base, &views).await?;
    let feedback_desk = answering::feedback(base, &views);
    if let Some(options) = args.mail.sns()? {
        feedback_desk.hear_sns(options)?;
    }
    let mut own_protection = archiving::Shown::default();
    if args.role.contains(&Role::Worker) {
        let journal = Journal::open(&data.mail()).map_err(StartError::Journal)?;
        base.knows_who_is_paused().await;
        let restored = Restored::log(&storage.archive)?;
        let crew = Crew {
            base,
            views: views.clone(),
            search: search.clone(),
            storage: &storage,
            data,
            outlet: outlet.clone(),
            pace: args.mail.pace(),
            processes: args.processes,
            journal,
            background,
            restored,
            turns: Some(turns.clone()),
        };
        running.workers = crew::start(crew).map_err(StartError::Turns)?;
        let archived = archiving::Archiving { base, storage: &storage, args: &args.archives, operator, turns };
        if let Some((archivers, shown)) = archived.start(background).await? {
            running.last.push(archivers);
            own_protection = shown;
        }
        if let Some(address) = args.mail.bounce_listen {
            let opened = BounceListener::open(address, ListenerOptions::new(args.mail.bounce_name())).await;
            let listener = opened.map_err(|source| StartError::Bounces { address, source })?;
            running.workers.push(listener.start(feedback_desk.feedback().clone()));
        }
        running.roster = Roster::of(&running.workers);
        running.roster.follow(&base.board);
        running.workers.push(news::tell(base.bus.clone(), running.roster.clone(), own_protection.clone()));
    }
    let Some((listener, bound)) = listener else { return Ok(None) };
    let news = News::hear(base.bus.clone());
    let app = answering::app(Answering {
        base: base.clone(),
        views,
        search,
        storage: &storage,
        outlet,
        limits: args.files,
        processes: args.processes,
        workforce: Arc::new(Staff::with_others(running.roster.clone(), base.board.clone(), news.clone())),
        protection: Arc::new(archiving::Elsewhere::new(base.bus.clone(), news)),
        feedback_desk,
    });
    operator::ensure(&app, base, data, operator, args.new_login).await?;
    app.operated_by(operator.clone());
    running.serving = Some(answering::serve(&app, listener, stop.clone()));
    running.app = Some(app);
    Ok(Some(format!("http://{bound}")))
}

/// Until it is asked to stop, or the disk is full.
async fn serve(
    ground: &Ground,
    running: &mut Running,
    status: Option<tokio::net::TcpListener>,
    url: Option<String>,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    let roles: Vec<&str> = ground.args.role.iter().map(|role| role.as_str()).collect();
    if let Some(listener) = status {
        let Base { bus, board, .. } = ground.base.clone();
        let staff = Arc::new(Staff::new(running.roster.clone(), board.clone()));
        let seen = status::Seen { bus, staff, board, app: running.app.clone() };
        tokio::spawn(status::serve(listener, seen, stop.clone()));
    }
    if let Some(path) = &ground.args.ready_file {
        let said = serde_json::json!({ "pid": std::process::id(), "roles": roles, "url": url });
        ready::write(path, &said)?;
    }
    tracing::info!(roles = roles.join(","), url = url.as_deref().unwrap_or("none"), "this process does its part");
    let outcome = tokio::select! {
        () = stop_signal() => Ok(()),
        full = disk::until_full(ground.data.root()) => Err(full.into()),
    };
    if let Some(path) = &ground.args.ready_file {
        _ = std::fs::remove_file(path);
    }
    outcome
}
