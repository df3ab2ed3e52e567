//! Why the event log's server could not be started or used. Each message is one sentence with what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum NatsError {
    #[error(
        "no nats-server was found{}: run ./ops/up once, which installs it, or set MILLRACE_NATS_SERVER to its path",
        .tried.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default()
    )]
    BinaryMissing { tried: Option<PathBuf> },
    #[error("{binary} could not be started: check that it is a nats-server for this machine and may be executed")]
    Spawn { binary: PathBuf, source: io::Error },
    #[error("port {port} on 127.0.0.1 is already used: stop the program that uses it, or choose another port")]
    PortUsed { port: u16 },
    #[error("{path} cannot be written to: check that it is on a local disk and belongs to this user")]
    NotWritable { path: PathBuf, source: Option<io::Error> },
    #[error("the disk of {path} is full: free some space, then start again")]
    DiskFull { path: PathBuf },
    #[error("{path} is not a path that can stand in a configuration file: choose a data directory with a UTF-8 name")]
    PathNotUtf8 { path: PathBuf },
    #[error(
        "the key in {path} cannot be read as a NATS user seed: delete the file, a new key is made at the next start"
    )]
    KeyUnreadable { path: PathBuf },
    #[error("nats-server ended while starting ({status}): {last}; its log {log} tells more")]
    EndedAtStart { status: String, last: String, log: PathBuf },
    #[error("nats-server gave no answer on port {port} within {} s: its log {log} tells why", .waited.as_secs())]
    NoAnswer { port: u16, waited: Duration, log: PathBuf },
    #[error("port {port} is answered by another NATS server ({name}): stop that one, or choose another port")]
    OtherServer { port: u16, name: String },
    #[error("an older server of this data directory (process {pid}) does not end: stop it by hand, then start again")]
    OrphanSurvives { pid: u32 },
    #[error("the supervision of nats-server ended before the server was ready: start again")]
    SupervisionEnded,
}

impl NatsError {
    /// An error of writing at `path`, told apart by what the operator has to do.
    pub(crate) fn writing(path: &std::path::Path, error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull { path: path.to_owned() };
        }
        Self::NotWritable { path: path.to_owned(), source: Some(error) }
    }
}
