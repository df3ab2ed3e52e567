//! The connection to a cell's NATS servers.

use super::{copy_tail::CopyTail, tail::Tail};
use crate::{ids::Cell, subject::Family};
use async_nats::{Event, jetstream};
use std::{
    collections::HashMap,
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
    /// `nats://host:port`, several separated by commas.
    pub url: String,
    /// Seed of the nkey this process signs in with; `None` for a server without users.
    pub nkey_seed: Option<String>,
    pub cell: Cell,
    /// Copies of each stream: 1 for the embedded profile, 3 in a cluster.
    pub replicas: usize,
}

/// A connected cell. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    options: Arc<BusOptions>,
    /// How often the connection was lost.
    losses: watch::Receiver<u64>,
    /// Of each family's stream, for all who follow it.
    tails: Arc<Mutex<HashMap<Family, Arc<Tail>>>>,
    /// The same for all who copy it.
    copy_tails: Arc<Mutex<HashMap<Family, Arc<CopyTail>>>>,
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
        if let Some(seed) = options.nkey_seed.clone() {
            connect = connect.nkey(seed);
        }
        let servers: Vec<&str> = options.url.split(',').collect();
        let client =
            connect.connect(servers).await.map_err(|source| ConnectError { url: options.url.clone(), source })?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self {
            client,
            jetstream,
            options: Arc::new(options),
            losses,
            tails: Arc::default(),
            copy_tails: Arc::default(),
        })
    }

    pub fn cell(&self) -> &Cell {
        &self.options.cell
    }

    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// How often a connection was made: a change says that what the server held for this client may be gone.
    pub(super) fn connects(&self) -> u64 {
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

    pub(super) fn tail(&self, family: Family) -> Arc<Tail> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).entry(family).or_default().clone()
    }

    pub(super) fn copy_tail(&self, family: Family) -> Arc<CopyTail> {
        self.copy_tails.lock().unwrap_or_else(PoisonError::into_inner).entry(family).or_default().clone()
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

#[derive(Debug, thiserror::Error)]
#[error("no NATS server answers at {url}: {source}; is it running, and is the key one it knows?")]
pub struct ConnectError {
    url: String,
    source: async_nats::ConnectError,
}
