//! The connection to a cell's NATS servers.

use super::tail::Tail;
use crate::{ids::Cell, subject::Family};
use async_nats::{ConnectErrorKind, Event, jetstream, rustls::ClientConfig};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How long one answer may take before it is unknown. A pending acknowledgement is not failed by a disconnect, so this
/// bounds it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Where a cell's servers are.
#[derive(Clone)]
pub struct BusOptions {
    /// `nats://host:port` or `tls://host:port`, several separated by commas.
    pub url: String,
    pub user: BusUser,
    /// Which certificates servers may show. `None`: as the address says, believing those of this machine.
    pub tls: Option<Arc<ClientConfig>>,
    pub cell: Cell,
    /// Copies of each stream: 1 for the embedded profile, 3 in a cluster.
    pub replicas: usize,
}

/// Who a process signs in as. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub enum BusUser {
    /// Of a server without users.
    #[default]
    Anyone,
    /// The seed of an nkey.
    Nkey(String),
    Password {
        user: String,
        password: String,
    },
    /// The text of a credentials file: a user's JWT and the seed of its nkey.
    Credentials(String),
}

impl fmt::Debug for BusUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "Anyone",
            Self::Nkey(_) => "Nkey(..)",
            Self::Password { .. } => "Password(..)",
            Self::Credentials(_) => "Credentials(..)",
        })
    }
}

/// A connected cell. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    options: Arc<BusOptions>,
    /// How often the connection was lost.
    losses: watch::Receiver<u64>,
    /// Of each family's stream, for all who follow or copy it.
    tails: Arc<Mutex<HashMap<Family, Arc<Tail>>>>,
}

impl Bus {
    /// Connects; the client reconnects by itself from then on.
    pub async fn connect(options: BusOptions) -> Result<Self, ConnectError> {
        let (lost, losses) = watch::channel(0);
        let mut connect = async_nats::ConnectOptions::new()
            .name("millrace")
            .request_timeout(Some(REQUEST_TIMEOUT))
            .client_capacity(65_536)
            .subscription_capacity(65_536)
            .event_callback(move |event| {
                if event == Event::Disconnected {
                    lost.send_modify(|losses| *losses += 1);
                }
                std::future::ready(())
            })
            .reconnect_delay_callback(|attempts| Duration::from_millis((20 * attempts as u64).min(1_000)));
        connect = match options.user.clone() {
            BusUser::Anyone => connect,
            BusUser::Nkey(seed) => connect.nkey(seed),
            BusUser::Password { user, password } => connect.user_and_password(user, password),
            BusUser::Credentials(text) => connect.credentials(&text).map_err(|_| ConnectError::Credentials)?,
        };
        if let Some(tls) = &options.tls {
            connect = connect.require_tls(true).tls_client_config(ClientConfig::clone(tls));
        }
        let servers: Vec<&str> = options.url.split(',').collect();
        let client = connect.connect(servers).await.map_err(|source| ConnectError::of(&options.url, source))?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self { client, jetstream, options: Arc::new(options), losses, tails: Arc::default() })
    }

    pub fn cell(&self) -> &Cell {
        &self.options.cell
    }

    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// How often a connection was made: a change says that what the server held for this client may be gone.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits for an answer, but not longer than the connection lives: the client library would wait on for an answer that
    /// went down with it. `None`: the connection was lost.
    pub(super) async fn unless_lost<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        tokio::select! {
            answer = answer => Some(answer),
            Ok(()) = losses.changed() => None,
        }
    }

    /// Changes whenever the connection is lost.
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.clone()
    }

    pub(super) fn tail(&self, family: Family) -> Arc<Tail> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).entry(family).or_default().clone()
    }

    pub(super) fn replicas(&self) -> usize {
        self.options.replicas
    }

    pub(super) fn client(&self) -> &async_nats::Client {
        &self.client
    }

    pub(super) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    pub(super) fn timeout(&self) -> Duration {
        REQUEST_TIMEOUT
    }
}

/// Why there is no connection: one sentence that says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no NATS server answers at {url}: {source}; is it running, and is the key one it knows?")]
    Away { url: String, source: async_nats::ConnectError },
    #[error("the NATS servers at {url} do not know this user or its password ({source}); correct the credentials")]
    Refused { url: String, source: async_nats::ConnectError },
    #[error(
        "the NATS servers at {url} cannot be believed ({source}); give the certificates that signed theirs, and their names as \
         they stand there"
    )]
    Tls { url: String, source: async_nats::ConnectError },
    #[error("the credentials are no user's JWT and nkey, as `nsc generate creds` writes them")]
    Credentials,
}

impl ConnectError {
    fn of(url: &str, source: async_nats::ConnectError) -> Self {
        let url = url.to_owned();
        match source.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                Self::Refused { url, source }
            }
            ConnectErrorKind::Tls => Self::Tls { url, source },
            _ if source.to_string().contains("certificate") => Self::Tls { url, source },
            _ => Self::Away { url, source },
        }
    }
}
