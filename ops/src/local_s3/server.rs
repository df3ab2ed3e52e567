//! One local provider: its folder, its credentials, its process.
//!
//! ```text
//! credentials      access key, secret key (0600)     identities.json  the same for the server (0600)
//! server.json      where it runs                     data/            the objects
//! server.log       what it says
//! ```

use super::{
    binary::find_binary,
    ports::Ports,
    supervisor::{Message, Supervisor},
};
use crate::{
    archive::{ArchiveArgsError, credentials},
    nats::{
        NatsError,
        config::write_private,
        process::{ProcessId, Record},
    },
};
use bus_schema::ids::random_uuid;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
    time::Duration,
};
use tokio::time::Instant;
use workers::archive::{
    ObjectError, ObjectStore, ObjectStorePort,
    backend::s3::{InvalidS3Url, S3Objects, S3Options, TlsSetup},
};

/// The bucket of a local provider.
const BUCKET: &str = "archive";
const CREDENTIALS: &str = "credentials";
const RECORD: &str = "server.json";
/// An object that says that objects can be read.
const READY: &str = "ready";
/// It makes its first volumes with the first write, so a slow machine takes a while.
const START: Duration = Duration::from_secs(40);
/// How long one call may take, at the start and later.
const TRY: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

/// What is remembered between two runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) ports: Ports,
    /// Absent when it was stopped in order.
    pub(super) process: Option<ProcessId>,
}

/// Everything a start needs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) ports: Ports,
}

impl Plan {
    pub(super) fn identities(&self) -> PathBuf {
        self.folder.join("identities.json")
    }

    pub(super) fn remember(&self, process: Option<ProcessId>) -> Result<(), NatsError> {
        let path = self.folder.join(RECORD);
        let text = serde_json::to_string_pretty(&Remembered { ports: self.ports.clone(), process });
        let text = text.map_err(|error| NatsError::writing(&path, error.into()))?;
        write_private(&path, &text)
    }
}

/// A running local provider. Dropping it kills the server, [`LocalServer::stop`] ends it in order.
pub struct LocalServer {
    name: String,
    port: u16,
    folder: PathBuf,
    outbox: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Whether a path is the folder of a local provider.
pub fn is_folder_of_one(folder: &Path) -> bool {
    folder.join(CREDENTIALS).is_file() && folder.join("data").is_dir()
}

impl LocalServer {
    /// Starts a server over a folder, which is made when it does not exist, and returns when its bucket can be used.
    ///
    /// On a busy machine its parts sometimes do not find each other; then it is started once more, on other ports.
    pub async fn start(folder: &Path, name: &str) -> Result<Self, LocalServerError> {
        match Self::attempt(folder, name, true).await {
            Err(LocalServerError::NoAnswer { name, why, .. }) => {
                tracing::warn!(provider = name, why, "a local S3 server does not begin and is started once more");
                Self::attempt(folder, &name, false).await
            }
            started => started,
        }
    }

    async fn attempt(folder: &Path, name: &str, same_ports: bool) -> Result<Self, LocalServerError> {
        let binary = find_binary().map_err(|tried| LocalServerError::BinaryMissing { tried })?;
        let plan = plan(folder, name, binary, same_ports)?;
        let (outbox, inbox) = channel();
        let (port, folder) = (plan.ports.s3(), plan.folder.clone());
        let supervisor = Supervisor { plan, inbox, outbox: outbox.clone(), runs: 0 };
        // A thread and no task: the kernel ties a child's death signal to the thread that started it.
        let thread = std::thread::Builder::new().name("s3-supervisor".to_owned()).spawn(move || supervisor.run());
        let thread = Some(thread.map_err(|source| LocalServerError::Thread { source })?);
        let server = Self { name: name.to_owned(), port, folder, outbox, thread };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// The server that another process runs over this folder.
    pub fn address_of_running(folder: &Path) -> Option<String> {
        let folder = folder.canonicalize().ok()?;
        let remembered: Remembered = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
        let (binary, config) = (find_binary().ok()?, folder.join("identities.json"));
        let port = remembered.ports.s3();
        Record { port, binary, config, process: remembered.process }.living()?;
        Some(address(port))
    }

    /// The objects of a server over this folder, wherever it listens.
    pub fn store_at(folder: &Path, name: &str, address: &str) -> Result<ObjectStore, LocalServerError> {
        Ok(ObjectStore::s3(objects(folder, name, address, CALL)?))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `http://127.0.0.1:PORT/archive`
    pub fn address(&self) -> String {
        address(self.port)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn store(&self) -> Result<ObjectStore, LocalServerError> {
        Self::store_at(&self.folder, &self.name, &self.address())
    }

    /// Ends the server in order and returns when it is gone.
    pub async fn stop(mut self) {
        // A supervisor that is gone has left no server.
        _ = self.outbox.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn wait_until_ready(&self) -> Result<(), LocalServerError> {
        let objects = objects(&self.folder, &self.name, &self.address(), TRY)?;
        let end = Instant::now() + START;
        loop {
            let answer = match objects.ensure_bucket().await {
                Ok(()) => usable(&objects).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    let log = self.folder.join("server.log");
                    return Err(LocalServerError::NoAnswer { name: self.name.clone(), why: error.to_string(), log });
                }
                Err(_) if self.thread.as_ref().is_some_and(JoinHandle::is_finished) => {
                    return Err(LocalServerError::Ended {
                        name: self.name.clone(),
                        log: self.folder.join("server.log"),
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        _ = self.outbox.send(Message::Kill);
        if let Some(thread) = self.thread.take() {
            // Milliseconds: it is killed, not asked.
            _ = thread.join();
        }
    }
}

/// It answers before its volumes have come back, so an object that is there already has to be read.
async fn usable(objects: &S3Objects) -> Result<(), ObjectError> {
    objects.put_new(READY, Bytes::from_static(b"ready")).await?;
    objects.get(READY, 16).await.map(|_| ())
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{BUCKET}")
}

fn objects(folder: &Path, name: &str, address: &str, timeout: Duration) -> Result<S3Objects, LocalServerError> {
    let (access, secret) = credentials(&folder.join(CREDENTIALS))?;
    let options = S3Options { timeout, ..S3Options::parse(name, address, &access, &secret)? };
    Ok(S3Objects::try_new(options)?)
}

/// Prepares the folder and ends a server that an earlier run left there.
fn plan(folder: &Path, name: &str, binary: PathBuf, same_ports: bool) -> Result<Plan, LocalServerError> {
    let data = folder.join("data");
    fs::create_dir_all(&data).map_err(|error| NatsError::writing(&data, error))?;
    let folder = folder.canonicalize().map_err(|error| NatsError::writing(folder, error))?;
    let path = folder.join(CREDENTIALS);
    if !path.exists() {
        let secret = format!("{}{}", random_uuid().simple(), random_uuid().simple());
        write_private(&path, &format!("millrace\n{secret}\n"))?;
    }
    let (access, secret) = credentials(&path)?;
    let remembered = fs::read(folder.join(RECORD)).ok();
    let remembered: Option<Remembered> = remembered.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let identities = serde_json::json!({ "identities": [{
        "name": "millrace",
        "credentials": [{ "accessKey": access, "secretKey": *secret }],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }] });
    let config = folder.join("identities.json");
    write_private(&config, &identities.to_string())?;
    if let Some(known) = &remembered {
        let record = Record { port: known.ports.s3(), binary: binary.clone(), config, process: known.process };
        record.stop_orphan()?;
    }
    let ports = Ports::choose(remembered.as_ref().filter(|_| same_ports).map(|known| &known.ports));
    let ports = ports.map_err(|source| LocalServerError::Ports { source })?;
    Ok(Plan { name: name.to_owned(), binary, folder, ports })
}

/// Why there is no local provider.
#[derive(Debug, thiserror::Error)]
pub enum LocalServerError {
    #[error(
        "no S3 server was found{}: run ./ops/up once, which installs SeaweedFS, or set MILLRACE_S3_SERVER to its program \
         `weed`",
        .tried.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default()
    )]
    BinaryMissing { tried: Option<PathBuf> },
    #[error("no free ports on 127.0.0.1 for a local S3 server: {source}")]
    Ports { source: std::io::Error },
    #[error("no thread for a local S3 server: {source}")]
    Thread { source: std::io::Error },
    #[error("the local S3 server {name} ended while starting; its log {log} tells why", log = log.display())]
    Ended { name: String, log: PathBuf },
    #[error("the local S3 server {name} cannot be used: {why}; its log {log} tells more", log = log.display())]
    NoAnswer { name: String, why: String, log: PathBuf },
    #[error(transparent)]
    Files(#[from] NatsError),
    #[error(transparent)]
    Credentials(#[from] ArchiveArgsError),
    #[error(transparent)]
    Address(#[from] InvalidS3Url),
    #[error(transparent)]
    Tls(#[from] TlsSetup),
}
