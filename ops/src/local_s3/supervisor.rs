//! The thread that owns the server's process: starts it, starts it again when it ends, stops it when asked.

use super::server::Plan;
use crate::nats::{
    backoff::Backoff,
    log::RotatedFile,
    process::{self, ProcessId},
};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A server that ran this long is healthy.
const STABLE: Duration = Duration::from_secs(30);
/// How long it may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// A line longer than this (bytes) is cut.
const MAX_LINE: u64 = 16 << 10;

pub(super) enum Message {
    /// End in order.
    Stop,
    /// End at once.
    Kill,
    /// The process with this run number ended.
    OutputClosed(u64),
}

pub(super) struct Supervisor {
    pub(super) plan: Plan,
    pub(super) inbox: Receiver<Message>,
    pub(super) outbox: Sender<Message>,
    pub(super) runs: u64,
}

struct Running {
    child: Child,
    run: u64,
    log: JoinHandle<()>,
}

impl Running {
    fn bury(mut self) -> String {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        _ = self.log.join();
        status
    }

    fn kill(mut self) {
        _ = self.child.kill();
        self.bury();
    }
}

impl Supervisor {
    /// Runs until asked to end.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let since = Instant::now();
            let why = match self.start() {
                Ok(running) => match self.wait_for_end(running) {
                    Some(why) => why,
                    None => break,
                },
                Err(why) => why,
            };
            if since.elapsed() >= STABLE {
                backoff = Backoff::default();
            }
            let pause = backoff.next_pause();
            let provider = &self.plan.name;
            tracing::error!(
                provider,
                why,
                pause_ms = pause.as_millis() as u64,
                "a local S3 server ended, starting it again"
            );
            if self.asked_within(pause) {
                break;
            }
        }
        if let Err(error) = self.plan.remember(None) {
            tracing::warn!(%error, "the record of a local S3 server could not be updated");
        }
    }

    fn start(&mut self) -> Result<Running, String> {
        let plan = &self.plan;
        let mut command = match process::setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&plan.binary);
                command
            }
            None => Command::new(&plan.binary),
        };
        // Everything on loopback; no telemetry, no further protocols; volumes that suit a demo.
        command
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-iam=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=100"])
            // It would wait ten seconds for clients that nobody told.
            .args(["-master.volumeSizeLimitMB=256", "-volume.preStopSeconds=1"])
            .arg(format!("-dir={}", plan.folder.join("data").display()))
            // As two arguments, so that the record finds it.
            .arg("-s3.config")
            .arg(plan.identities())
            .args(plan.ports.flags())
            .env_clear()
            // It looks for its configuration there.
            .env("HOME", &plan.folder)
            .current_dir(&plan.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{} cannot be run: {error}", plan.binary.display()))?;
        self.runs += 1;
        let (run, outbox, output) = (self.runs, self.outbox.clone(), child.stderr.take());
        let file = RotatedFile::open(&plan.folder.join("server.log")).ok();
        let log = std::thread::spawn(move || {
            if let Some(output) = output {
                copy(output, file);
            }
            drop(outbox.send(Message::OutputClosed(run)));
        });
        let pid = child.id();
        let running = Running { child, run, log };
        let id = process::start_ticks(pid).map(|started_ticks| ProcessId { pid, started_ticks });
        if let Err(error) = plan.remember(id) {
            running.kill();
            return Err(error.to_string());
        }
        Ok(running)
    }

    /// Why the process ended, or `None` when that was asked for.
    fn wait_for_end(&mut self, running: Running) -> Option<String> {
        loop {
            match self.inbox.recv() {
                Ok(Message::OutputClosed(run)) if run == running.run => return Some(running.bury()),
                Ok(Message::OutputClosed(_)) => {}
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

    fn asked_within(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop | Message::Kill) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(Message::OutputClosed(_)) => {}
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn terminate(&self, running: Running) {
        process::send(running.child.id(), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::OutputClosed(run)) if run == running.run => {
                    running.bury();
                    return;
                }
                Ok(Message::OutputClosed(_) | Message::Stop) => {}
                Ok(Message::Kill) | Err(_) => {
                    tracing::warn!(pid = running.child.id(), "a local S3 server did not end in time and is killed");
                    running.kill();
                    return;
                }
            }
        }
    }
}

/// The server's output into its file, until it ends: a server whose output nobody reads blocks.
fn copy(output: impl Read, mut file: Option<RotatedFile>) {
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_line(text.trim_end())) {
            tracing::warn!(%error, "the log of a local S3 server cannot be written");
            file = None;
        }
    }
}
