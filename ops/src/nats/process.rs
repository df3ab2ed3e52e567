//! The server's process: how it is started so that it does not outlive us, and what is remembered to find it again.
//!
//! Three nets, because no single one catches every end of ours:
//! - a normal end stops the server (SIGTERM, then SIGKILL);
//! - the kernel kills it when ours is killed, even with SIGKILL: `setpriv --pdeathsig KILL` asks for that and then becomes
//!   the server. The death signal belongs to the *thread* that started the child, hence the thread of the supervisor;
//! - where `setpriv` cannot do that, the record of pid and start time lets the next start find the orphan and stop it.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::config::write_private;
use super::error::NatsError;

/// An orphan is asked to end for this long, and then killed.
const ORPHAN_GRACE: Duration = Duration::from_secs(3);
const ORPHAN_KILL_WAIT: Duration = Duration::from_secs(3);
const ORPHAN_PAUSE: Duration = Duration::from_millis(20);

const MAX_RECORD: u64 = 64 << 10;

/// Environment the server may have from us: how its garbage collector works.
const GO_SETTINGS: [&str; 2] = ["GOMEMLIMIT", "GOGC"];

/// Starts the server on a configuration file. Its errors and log come through the piped standard error.
///
/// - It gets an own process group: Ctrl-C in a terminal reaches only us, and we stop it after everything that writes.
/// - It gets no environment but what sets its garbage collector: credentials in ours are none of its business. There is
///   no limit unless the operator gives one: a server whose subjects need more than a limit collects all the time.
pub(crate) fn spawn(binary: &Path, config: &Path) -> Result<Child, NatsError> {
    let mut command = match setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command
        .arg("-c")
        .arg(config)
        .env_clear()
        .envs(GO_SETTINGS.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().map_err(|source| NatsError::Spawn { binary: binary.to_owned(), source })
}

/// A `setpriv` that knows `--pdeathsig` (util-linux since 2.33; the one of busybox does not).
pub(crate) fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let path = env::var_os("PATH")?;
        let found = env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|path| path.is_file());
        let works = found.filter(|setpriv| {
            let mut trial = Command::new(setpriv);
            trial.args(["--pdeathsig", "KILL", "--", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
            trial.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        if works.is_none() {
            tracing::info!("no setpriv with --pdeathsig: if millrace is killed, the next start stops its nats-server");
        }
        works
    });
    found.as_deref()
}

/// A process, told apart from a later one with the same number by its start time (clock ticks since boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    pub(crate) started_ticks: u64,
}

/// What is remembered of the server between our runs: `server.json` in the folder of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The next start prefers the same port, so that bookmarks and tools of the operator stay right.
    pub(crate) port: u16,
    /// The program's file.
    pub(crate) binary: PathBuf,
    /// The configuration it was started with, an absolute path.
    pub(crate) config: PathBuf,
    /// Absent when the server was stopped in order.
    pub(crate) process: Option<ProcessId>,
}

impl Record {
    /// The record, or `None` when there is none that can be read: then nothing is known and nothing is killed.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(path).ok()?.take(MAX_RECORD).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), NatsError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| NatsError::NotWritable { path: path.to_owned(), source: Some(error.into()) })?;
        write_private(path, &text)
    }

    /// The process, if it still runs and is beyond doubt the server that we started: same number, same start time, same
    /// program, same configuration file.
    pub(crate) fn living(&self) -> Option<ProcessId> {
        let process = self.process?;
        let folder = PathBuf::from(format!("/proc/{}", process.pid));
        let same_start = start_ticks(process.pid) == Some(process.started_ticks);
        let arguments = fs::read(folder.join("cmdline")).ok()?;
        let same_config =
            arguments.split(|byte| *byte == 0).any(|argument| argument == self.config.as_os_str().as_encoded_bytes());
        let program = fs::read_link(folder.join("exe")).ok()?;
        // A program that was replaced by an update while it ran has " (deleted)" behind its name.
        let name = program.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        let same_program = self.binary.file_name().is_some_and(|own| own == name.as_str());
        (same_start && same_config && same_program).then_some(process)
    }

    /// Stops the server of an earlier run of ours, if one survived it. Two servers must never write to one log.
    pub(crate) fn stop_orphan(&self) -> Result<(), NatsError> {
        let Some(ProcessId { pid, .. }) = self.living() else { return Ok(()) };
        tracing::warn!(pid, program = %self.binary.display(), "an earlier run left its server behind: stopping it");
        for (signal, patience) in [(Signal::TERM, ORPHAN_GRACE), (Signal::KILL, ORPHAN_KILL_WAIT)] {
            send(pid, signal);
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if self.living().is_none() {
                    return Ok(());
                }
                std::thread::sleep(ORPHAN_PAUSE);
            }
        }
        Err(NatsError::OrphanSurvives { pid })
    }
}

/// When a process started, in clock ticks since boot; `None` when it does not exist or is only waiting to be buried.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 22 of proc(5); the state just taken was field 3.
    fields.nth(18)?.parse().ok()
}

/// Sends a signal; a process that is already gone is fine.
pub(crate) fn send(pid: u32, signal: Signal) {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = target.map(|target| kill_process(target, signal))
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid, ?signal, %error, "a supervised server could not be signalled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(config: &Path) -> (Child, Record) {
        let child = Command::new("sh").args(["-c", "read x", "sh"]).arg(config).stdin(Stdio::piped()).spawn().unwrap();
        let binary = fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        let process = ProcessId { pid: child.id(), started_ticks: start_ticks(child.id()).unwrap() };
        let deadline = Instant::now() + Duration::from_secs(5);
        let record = loop {
            // Between fork and exec the child is still this program.
            let binary = fs::read_link(format!("/proc/{}/exe", child.id())).unwrap_or_else(|_| binary.clone());
            let record = Record { port: 1, binary, config: config.to_owned(), process: Some(process) };
            if record.living().is_some() || Instant::now() > deadline {
                break record;
            }
        };
        (child, record)
    }

    #[test]
    fn only_the_very_same_process_counts() {
        let (mut child, record) = sleeper(Path::new("/data/nats.conf"));
        assert_eq!(record.living().map(|process| process.pid), Some(child.id()));
        let process = record.process.unwrap();
        let other_start = ProcessId { started_ticks: process.started_ticks + 1, ..process };
        for other in [
            Record { process: Some(other_start), ..record.clone() },
            Record { config: "/data/other.conf".into(), ..record.clone() },
            Record { binary: "/usr/bin/nats-server".into(), ..record.clone() },
            Record { process: None, ..record.clone() },
        ] {
            assert_eq!(other.living(), None);
            other.stop_orphan().unwrap();
        }
        assert!(child.try_wait().unwrap().is_none(), "a process that is not ours was stopped");
        record.stop_orphan().unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(record.living(), None);
    }

    #[test]
    fn the_record_survives_a_round_and_rubbish_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.json");
        assert_eq!(Record::read(&path), None);
        let record = Record { port: 4222, binary: "/b".into(), config: "/c".into(), process: None };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record));
        fs::write(&path, "{\"port\":").unwrap();
        assert_eq!(Record::read(&path), None);
    }

    #[test]
    fn the_start_time_of_this_process_is_known() {
        assert!(start_ticks(std::process::id()).is_some());
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
