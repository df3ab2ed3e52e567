//! The thread that owns the server's process: starts it, waits until it answers, starts it again when it dies.
//!
//! It is an operating system thread and no task, because the kernel ties a child's death signal to the thread that
//! started it: a thread of an async runtime may end while the platform runs on. It sleeps until a message comes; that
//! the process died is seen by the end of its output.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{oneshot, watch};

use super::backoff::Backoff;
use super::config::{ServerConfig, choose_port, file_store_bound, write_private};
use super::credentials::Credentials;
use super::error::NatsError;
use super::log::{self, RotatedFile};
use super::process::{self, ProcessId, Record};
use super::{Endpoint, NatsOptions, ServerState, probe};

const PROBE_PAUSE: Duration = Duration::from_millis(20);
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// Between choosing a free port and the server's use of it another program may take it; then another one is chosen.
const PORT_ATTEMPTS: u32 = 3;

/// A server that ran this long is healthy: its next end starts with the shortest pause again.
const STABLE: Duration = Duration::from_secs(30);

pub(super) enum Message {
    /// End in order.
    Stop,
    /// End at once.
    Kill,
    /// The process with this run number restores its log.
    Restoring(u64),
    /// The process with this run number ended.
    OutputClosed(u64),
}

pub(super) struct Supervisor {
    pub(super) options: NatsOptions,
    pub(super) inbox: Receiver<Message>,
    pub(super) outbox: Sender<Message>,
    pub(super) state: watch::Sender<ServerState>,
    /// Counts the processes, so that a late message of an earlier one is not taken for the present one's.
    pub(super) runs: u64,
}

/// Why a start led to no running server.
enum NotStarted {
    Asked,
    Failed(NatsError),
}

impl From<NatsError> for NotStarted {
    fn from(error: NatsError) -> Self {
        Self::Failed(error)
    }
}

struct Running {
    child: Child,
    run: u64,
    log: JoinHandle<Vec<String>>,
}

impl Running {
    /// Reaps the process, which has ended or is about to, and returns how it ended and its last words.
    fn bury(mut self) -> (String, Vec<String>) {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        (status, self.log.join().unwrap_or_default())
    }

    fn kill(mut self) {
        // It may have ended meanwhile, which is as good.
        let _ = self.child.kill();
        self.bury();
    }
}

/// What stays the same over all processes of one supervision.
struct Plan {
    server_name: String,
    port: u16,
    credentials: Credentials,
    config: PathBuf,
    record: PathBuf,
    log: PathBuf,
}

impl Supervisor {
    /// Runs until asked to end, or until the first start failed. Reports the first start to `ready`.
    pub(super) fn run(mut self, ready: oneshot::Sender<Result<Endpoint, NatsError>>) {
        if let Some((plan, running)) = self.first_start(ready) {
            self.keep_running(&plan, running);
            let stopped = Record { process: None, ..self.record(&plan, None) };
            if let Err(error) = stopped.write(&plan.record) {
                tracing::warn!(%error, "the record of nats-server could not be updated");
            }
        }
        self.state.send_replace(ServerState::Stopped);
    }

    fn first_start(&mut self, ready: oneshot::Sender<Result<Endpoint, NatsError>>) -> Option<(Plan, Running)> {
        self.state.send_replace(ServerState::Starting { attempt: 0 });
        let mut attempts = 1;
        let failure = loop {
            let plan = match self.plan() {
                Ok(plan) => plan,
                Err(error) => break error,
            };
            match self.start(&plan) {
                Ok(running) => {
                    let endpoint = Endpoint { port: plan.port, seed: plan.credentials.seed.clone() };
                    if ready.send(Ok(endpoint)).is_err() {
                        running.kill();
                        return None;
                    }
                    return Some((plan, running));
                }
                Err(NotStarted::Asked) => return None,
                Err(NotStarted::Failed(NatsError::PortUsed { .. } | NatsError::OtherServer { .. }))
                    if self.options.listen_port.is_none() && attempts < PORT_ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(NotStarted::Failed(error)) => break error,
            }
        };
        // Nobody waits for the answer any more: then nobody needs it.
        let _ = ready.send(Err(failure));
        None
    }

    /// Checks and prepares everything on the disk.
    fn plan(&self) -> Result<Plan, NatsError> {
        let options = &self.options;
        if !options.binary.is_file() {
            return Err(NatsError::BinaryMissing { tried: Some(options.binary.clone()) });
        }
        for folder in [&options.run_dir, &options.store_dir, &options.key_dir, &options.log_dir] {
            prepare_folder(folder)?;
        }
        let run_dir = options.run_dir.canonicalize().map_err(|error| NatsError::writing(&options.run_dir, error))?;
        let record_path = run_dir.join(super::RECORD_FILE);
        let record = Record::read(&record_path);
        if let Some(record) = &record {
            record.stop_orphan()?;
        }
        let credentials = Credentials::load_or_create(&options.key_dir.join(super::KEY_FILE))?;
        let port = choose_port(options.listen_port, record.map(|record| record.port))?;
        let bound = options.max_file_store.map_or_else(|| file_store_bound(&options.store_dir), Ok)?;
        // The name tells this server from any other one on the same port; the public key is unique already.
        let server_name = format!("millrace-{}", &credentials.public_key[1..13]);
        let config = ServerConfig {
            server_name: &server_name,
            port,
            monitor_port: options.monitor_port,
            store_dir: &options.store_dir,
            max_file_store: bound,
            max_memory_store: options.max_memory_store,
            user_public_key: &credentials.public_key,
        };
        let config_path = run_dir.join(super::CONFIG_FILE);
        write_private(&config_path, &config.render()?)?;
        let log = options.log_dir.join(super::LOG_FILE);
        Ok(Plan { server_name, port, credentials, config: config_path, record: record_path, log })
    }

    fn record(&self, plan: &Plan, pid: Option<u32>) -> Record {
        let process =
            pid.and_then(|pid| process::start_ticks(pid).map(|started_ticks| ProcessId { pid, started_ticks }));
        Record { port: plan.port, binary: self.options.binary.clone(), config: plan.config.clone(), process }
    }

    /// Starts a process and waits until it answers.
    fn start(&mut self, plan: &Plan) -> Result<Running, NotStarted> {
        let options = &self.options;
        let mut child = process::spawn(&options.binary, &plan.config)?;
        self.runs += 1;
        let run = self.runs;
        let output = child.stderr.take();
        let outbox = self.outbox.clone();
        let file = RotatedFile::open(&plan.log)
            .inspect_err(|error| tracing::warn!(%error, path = %plan.log.display(), "the log file cannot be opened"))
            .ok();
        let log = std::thread::spawn(move || {
            let notify = outbox.clone();
            let tail = output.map(|output| log::copy(output, file, |_| drop(notify.send(Message::Restoring(run)))));
            drop(outbox.send(Message::OutputClosed(run)));
            tail.unwrap_or_default()
        });
        let running = Running { child, run, log };
        if let Err(error) = self.record(plan, Some(running.child.id())).write(&plan.record) {
            running.kill();
            return Err(error.into());
        }
        self.wait_until_ready(plan, running)
    }

    fn wait_until_ready(&mut self, plan: &Plan, running: Running) -> Result<Running, NotStarted> {
        let begin = Instant::now();
        let mut patience = self.options.ready_timeout;
        loop {
            match self.inbox.recv_timeout(PROBE_PAUSE) {
                Ok(Message::OutputClosed(run)) if run == running.run => {
                    return Err(self.diagnose(plan, running.bury()).into());
                }
                Ok(Message::Restoring(run)) if run == running.run => patience = self.options.restore_timeout,
                Ok(Message::Stop) => {
                    self.terminate(running);
                    return Err(NotStarted::Asked);
                }
                Ok(Message::Kill) | Err(RecvTimeoutError::Disconnected) => {
                    running.kill();
                    return Err(NotStarted::Asked);
                }
                Ok(Message::OutputClosed(_) | Message::Restoring(_)) | Err(RecvTimeoutError::Timeout) => {}
            }
            match probe::greeting(plan.port, PROBE_PATIENCE) {
                Ok(greeting) if greeting.server_name == plan.server_name => {
                    tracing::info!(
                        pid = running.child.id(),
                        port = plan.port,
                        version = greeting.version,
                        jetstream = greeting.jetstream,
                        after_ms = begin.elapsed().as_millis() as u64,
                        "nats-server answers"
                    );
                    return Ok(running);
                }
                Ok(greeting) => {
                    running.kill();
                    return Err(NatsError::OtherServer { port: plan.port, name: greeting.server_name }.into());
                }
                Err(_) if begin.elapsed() < patience => {}
                Err(_) => {
                    running.kill();
                    return Err(NatsError::NoAnswer { port: plan.port, waited: patience, log: plan.log.clone() }.into());
                }
            }
        }
    }

    /// Tells the reasons apart that an operator can do something about.
    fn diagnose(&self, plan: &Plan, (status, tail): (String, Vec<String>)) -> NatsError {
        let said = |text: &str| tail.iter().any(|line| line.to_lowercase().contains(text));
        if said("address already in use") {
            return NatsError::PortUsed { port: plan.port };
        }
        if said("no space left on device") {
            return NatsError::DiskFull { path: self.options.store_dir.clone() };
        }
        if said("permission denied") || said("storage directory") {
            return NatsError::NotWritable { path: self.options.store_dir.clone(), source: None };
        }
        let last = tail.last().map_or_else(|| "it said nothing".to_owned(), |line| format!("\"{line}\""));
        NatsError::EndedAtStart { status, last, log: plan.log.clone() }
    }

    /// Returns when asked to end, with no process left.
    fn keep_running(&mut self, plan: &Plan, mut running: Running) {
        let mut backoff = Backoff::default();
        loop {
            let since = Instant::now();
            self.state.send_replace(ServerState::Running { pid: running.child.id(), since });
            let Some(why) = self.wait_for_end(running) else { return };
            if since.elapsed() >= STABLE {
                backoff = Backoff::default();
            }
            let Some(next) = self.restart(plan, &mut backoff, why) else { return };
            running = next;
        }
    }

    /// Why the process ended, or `None` when that was asked for.
    fn wait_for_end(&mut self, running: Running) -> Option<String> {
        loop {
            match self.inbox.recv() {
                Ok(Message::OutputClosed(run)) if run == running.run => {
                    let (status, tail) = running.bury();
                    return Some(tail.last().map_or(status.clone(), |last| format!("{status}, last said \"{last}\"")));
                }
                Ok(Message::OutputClosed(_) | Message::Restoring(_)) => {}
                Ok(Message::Stop) => {
                    self.terminate(running);
                    return None;
                }
                Ok(Message::Kill) | Err(_) => {
                    running.kill();
                    return None;
                }
            }
        }
    }

    /// Starts again, with growing pauses, for as long as it takes. `None` when asked to end.
    fn restart(&mut self, plan: &Plan, backoff: &mut Backoff, mut why: String) -> Option<Running> {
        loop {
            let pause = backoff.next_pause();
            let attempt = backoff.attempts();
            tracing::error!(attempt, %why, pause_ms = pause.as_millis() as u64, "nats-server ended, starting it again");
            self.state.send_replace(ServerState::Restarting { attempt, why });
            if self.asked_within(pause) {
                return None;
            }
            self.state.send_replace(ServerState::Starting { attempt });
            match self.start(plan) {
                Ok(running) => return Some(running),
                Err(NotStarted::Asked) => return None,
                Err(NotStarted::Failed(error)) => why = error.to_string(),
            }
        }
    }

    fn asked_within(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop | Message::Kill) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(Message::OutputClosed(_) | Message::Restoring(_)) => {}
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// SIGTERM lets the server finish what it writes; after the grace SIGKILL loses nothing that was acknowledged.
    fn terminate(&self, running: Running) {
        process::send(running.child.id(), Signal::TERM);
        let deadline = Instant::now() + self.options.stop_grace;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::OutputClosed(run)) if run == running.run => {
                    running.bury();
                    return;
                }
                Ok(Message::OutputClosed(_) | Message::Restoring(_) | Message::Stop) => {}
                Ok(Message::Kill) | Err(_) => {
                    tracing::warn!(pid = running.child.id(), "nats-server did not end in time and is killed");
                    running.kill();
                    return;
                }
            }
        }
    }
}

/// Creates a folder of ours if it is missing and proves that it can be written to.
fn prepare_folder(folder: &Path) -> Result<(), NatsError> {
    let fault = |error| NatsError::writing(folder, error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    let trial = folder.join(".write-check");
    fs::write(&trial, b"x").map_err(fault)?;
    match fs::remove_file(&trial) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(error)),
        _ => Ok(()),
    }
}
