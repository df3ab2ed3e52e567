//! The other side of SMTP: takes mails, and fails as it is told to.
//!
//! For tests, which need to know afterwards what was really taken, and for the demo, whose mails a person can look at. Every
//! mail it takes stands durably in a [`ledger`] *before* it says 250, so the ledger is the truth about what was taken, even
//! after a kill. Messages are kept in a bounded folder, the [`Mailbox`]. [`Faults`] happen by a seed: the same seed gives
//! the same faults to the same connection. It is no mail server: nothing goes on from here.

mod command;
mod faults;
mod intake;
mod ledger;
mod mailbox;
mod session;

pub(crate) use command::Command;
pub use faults::{Act, Fault, Faults, Point};
pub(crate) use intake::Intake;
pub use ledger::{Taken, read_ledger};
pub use mailbox::{Kept, Mailbox};

use super::{Credentials, stream::Stream};
use bus_schema::time::Clock;
use ledger::Ledger;
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::rustls::ServerConfig;

/// Lines of the transcript that are kept.
const TRANSCRIPT: usize = 10_000;

/// What a sink offers, takes and does wrong.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub host_name: String,
    /// Offers STARTTLS, or speaks TLS from the first byte.
    pub tls: Option<(Arc<ServerConfig>, TlsStart)>,
    /// Refuses MAIL without TLS.
    pub require_tls: bool,
    /// Refuses MAIL without this user.
    pub credentials: Option<Credentials>,
    /// Offers LOGIN only, not PLAIN.
    pub login_only: bool,
    pub pipelining: bool,
    pub smtputf8: bool,
    pub eight_bit: bool,
    pub message_bytes: usize,
    pub connections: usize,
    /// Says 421 after so many mails on one connection.
    pub messages_per_connection: u32,
    /// Ends a connection on which nothing happens.
    pub idle: Duration,
    /// Messages and their bytes that are kept to be looked at; the oldest go first. 0 keeps none.
    pub keep: (usize, u64),
    pub faults: Faults,
    pub clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStart {
    Implicit,
    OnCommand,
}

impl Default for SinkOptions {
    /// On a free port of this machine, without TLS, without faults; takes messages up to 25 MB and keeps the last 1,000.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            host_name: "sink.localhost".to_owned(),
            tls: None,
            require_tls: false,
            credentials: None,
            login_only: false,
            pipelining: true,
            smtputf8: true,
            eight_bit: true,
            message_bytes: 25 << 20,
            connections: 1000,
            messages_per_connection: u32::MAX,
            idle: Duration::from_secs(300),
            keep: (1000, 256 << 20),
            faults: Faults::none(),
            clock: Clock::System,
        }
    }
}

/// A running sink. Dropping it ends it; what it took stays.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    folder: PathBuf,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections of a sink share.
#[derive(Debug)]
struct Shared {
    options: SinkOptions,
    ledger: Ledger,
    counts: Counts,
    transcript: Mutex<VecDeque<String>>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    taken: AtomicU64,
    violations: AtomicU64,
    faults: AtomicU64,
}

/// How often something happened since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkCounts {
    pub connections: u64,
    /// Mails that stand in the ledger.
    pub taken: u64,
    /// Breaches of the protocol by a client: bare CR or LF, a line that is too long, a command out of order.
    pub violations: u64,
    pub faults: u64,
}

impl Sink {
    /// `folder` gets `taken.ndjson`, the ledger, and `messages`; a ledger that is there is continued.
    pub async fn start(folder: &Path, options: SinkOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let ledger = Ledger::open(folder, options.keep)?;
        let (counts, transcript) = (Counts::default(), Mutex::default());
        let shared = Arc::new(Shared { options, ledger, counts, transcript });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, folder: folder.to_owned(), shared, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was taken, in order.
    pub fn taken(&self) -> io::Result<Vec<Taken>> {
        read_ledger(&self.folder)
    }

    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(&self.folder)
    }

    pub fn counts(&self) -> SinkCounts {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SinkCounts {
            connections: read(&counts.connections),
            taken: read(&counts.taken),
            violations: read(&counts.violations),
            faults: read(&counts.faults),
        }
    }

    /// The last commands, as `<connection> <command>`. A `+` before the command: it had come together with the one
    /// before it. What follows AUTH is not shown.
    pub fn transcript(&self) -> Vec<String> {
        self.shared.transcript.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Ends all connections where they are.
    pub async fn stop(mut self) {
        self.accepting.abort();
        _ = (&mut self.accepting).await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn note(&self, connection: u64, grouped: bool, command: &str) {
        let shown =
            if command.len() >= 4 && command.as_bytes()[..4].eq_ignore_ascii_case(b"AUTH") { "AUTH" } else { command };
        let mut transcript = self.transcript.lock().unwrap_or_else(PoisonError::into_inner);
        if transcript.len() == TRANSCRIPT {
            transcript.pop_front();
        }
        transcript.push_back(format!("{connection} {}{shown}", if grouped { "+" } else { "" }));
    }
}

impl Counts {
    fn violation(&self) {
        self.violations.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sessions live in this task: when it ends, they end.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.options.connections));
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the mail sink cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = sessions.join_next() => continue,
        };
        let number = shared.counts.connections.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = places.clone().try_acquire_owned() else {
            sessions.spawn(turn_away(stream));
            continue;
        };
        let shared = shared.clone();
        sessions.spawn(async move {
            if stream.set_nodelay(true).is_ok() {
                // An error is the client's connection, which is gone.
                _ = session::run(stream, number, &shared).await;
            }
            drop(place);
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    _ = stream.write_all(b"421 4.3.2 too many connections\r\n").await;
}
