//! The embedded profile's event log: a nats-server that belongs to this process.
//!
//! [`NatsServer::start`] writes the configuration, starts the program and waits until it answers; from then on it is kept
//! running on the same port, so that clients only have to reconnect. It listens on loopback alone and admits one user,
//! whose key only this operating system user can read.

pub(crate) mod backoff;
mod binary;
pub(crate) mod config;
mod credentials;
mod error;
pub(crate) mod log;
mod probe;
pub(crate) mod process;
mod supervisor;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

pub use binary::{PINNED_VERSION, find_binary};
pub use error::NatsError;

use credentials::Credentials;
use process::Record;
use supervisor::{Message, Supervisor};

const CONFIG_FILE: &str = "nats.conf";
const RECORD_FILE: &str = "server.json";
const KEY_FILE: &str = "nats-user.seed";
const LOG_FILE: &str = "nats.log";

/// Where and how to run the server.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The program, see [`find_binary`].
    pub binary: PathBuf,
    /// Holds the configuration and the record of the process.
    pub run_dir: PathBuf,
    /// Holds the streams.
    pub store_dir: PathBuf,
    /// Holds the seed of the platform's user.
    pub key_dir: PathBuf,
    /// Holds `nats.log`.
    pub log_dir: PathBuf,
    /// `None` takes the port of the last time, or any free one.
    pub listen_port: Option<u16>,
    /// Serves the monitoring pages on loopback; they need no key, so there are none unless asked for.
    pub monitor_port: Option<u16>,
    /// Bytes; `None` takes what the disk has, less a reserve.
    pub max_file_store: Option<u64>,
    /// Bytes.
    pub max_memory_store: u64,
    /// How long a start may take.
    pub ready_timeout: Duration,
    /// How long a start may take once the server said that it restores a log.
    pub restore_timeout: Duration,
    /// How long the server may take to end before it is killed.
    pub stop_grace: Duration,
}

impl NatsOptions {
    /// The layout of a data directory (see [`crate::data_dir`]) and defaults for a small machine.
    pub fn new(binary: PathBuf, data_dir: &Path) -> Self {
        let nats = data_dir.join("nats");
        Self {
            binary,
            store_dir: nats.join("store"),
            run_dir: nats,
            key_dir: data_dir.join("keys"),
            log_dir: data_dir.join("logs"),
            listen_port: None,
            monitor_port: None,
            max_file_store: None,
            max_memory_store: 64 << 20,
            ready_timeout: Duration::from_secs(10),
            restore_timeout: Duration::from_secs(600),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// What the server is doing right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    Starting {
        /// 0 for the first start.
        attempt: u32,
    },
    Running {
        pid: u32,
        since: Instant,
    },
    /// It ended by itself and is started again after a pause.
    Restarting {
        attempt: u32,
        why: String,
    },
    Stopped,
}

/// How to reach a server of this user on this machine.
#[derive(Clone)]
pub struct Endpoint {
    pub port: u16,
    /// The nkey seed to sign in with: a secret.
    pub seed: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The server that another process supervises in this data directory, if one runs.
    pub fn of_running(data_dir: &Path) -> Option<Self> {
        let record = Record::read(&data_dir.join("nats").join(RECORD_FILE))?;
        record.living()?;
        let credentials = Credentials::load(&data_dir.join("keys").join(KEY_FILE)).ok()?;
        Some(Self { port: record.port, seed: credentials.seed })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// The process id of a server of this data directory that still runs, whoever supervises it.
pub fn living_server(data_dir: &Path) -> Option<u32> {
    Some(Record::read(&data_dir.join("nats").join(RECORD_FILE))?.living()?.pid)
}

/// A supervised server. Dropping it kills the server; [`NatsServer::stop`] ends it in order.
#[derive(Debug)]
pub struct NatsServer {
    endpoint: Endpoint,
    supervision: Supervision,
}

impl NatsServer {
    /// Starts the server and returns when it answers. A server that an earlier run left behind is stopped first.
    ///
    /// The caller holds the lock of the data directory: two supervisors of one directory would fight.
    pub async fn start(options: NatsOptions) -> Result<Self, NatsError> {
        let (outbox, inbox) = channel();
        let (ready, answer) = oneshot::channel();
        let (state, state_view) = watch::channel(ServerState::Starting { attempt: 0 });
        let supervisor = Supervisor { options, inbox, outbox: outbox.clone(), state, runs: 0 };
        let thread = std::thread::Builder::new()
            .name("nats-supervisor".to_owned())
            .spawn(move || supervisor.run(ready))
            .map_err(|_| NatsError::SupervisionEnded)?;
        // From here on dropping this future ends the server again.
        let supervision = Supervision { outbox, state: state_view, thread: Some(thread) };
        let endpoint = answer.await.map_err(|_| NatsError::SupervisionEnded)??;
        Ok(Self { endpoint, supervision })
    }

    /// How to connect. Stays the same until the server is stopped.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The present state and every later one. A slow reader sees only the newest.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.supervision.state.clone()
    }

    /// Ends the server in order and returns when it is gone.
    pub async fn stop(mut self) {
        // A supervisor that is gone has left no server.
        let _ = self.supervision.outbox.send(Message::Stop);
        let _ = self.supervision.state.wait_for(|state| *state == ServerState::Stopped).await;
    }
}

#[derive(Debug)]
struct Supervision {
    outbox: Sender<Message>,
    state: watch::Receiver<ServerState>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Supervision {
    fn drop(&mut self) {
        let _ = self.outbox.send(Message::Kill);
        if let Some(thread) = self.thread.take() {
            // Takes milliseconds: the process is killed, not asked. A panic in there was already printed.
            let _ = thread.join();
        }
    }
}
