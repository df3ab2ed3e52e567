//! What a store needs to know of its cluster.

use crate::read_store::ReadStoreError;
use std::{fmt, sync::Arc, time::Duration};
use tokio_rustls::rustls::ClientConfig;

/// Longest name of a keyspace or a table that every server of the protocol takes.
pub(super) const MAX_CQL_NAME: usize = 48;
/// Longest prefix of table names.
const MAX_PREFIX: usize = 12;

/// Where the cluster is and how the store uses it.
#[derive(Clone)]
pub struct Options {
    /// Nodes to begin with, `host` or `host:port` (9042); the others are learned from them.
    pub nodes: Vec<String>,
    /// The keyspace; made if there is none.
    pub keyspace: String,
    /// Copies of each row in the datacenter.
    pub replication: u8,
    /// The datacenter whose nodes are asked; that of the first node when absent.
    pub datacenter: Option<String>,
    /// Begins the name of every table, so that several installations share a keyspace: `a-z`, `0-9` and `_`.
    pub prefix: String,
    pub credentials: Option<Credentials>,
    /// `None`: without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long one request may take, its repetitions included.
    pub request_timeout: Duration,
    /// How far a lane goes back when it begins: at least the time after which an acknowledged write is on the disks of its
    /// replicas (`commitlog_sync_period` of the servers, 10 s by default).
    pub safety_window: Duration,
    pub probe: Probe,
    /// The format that is written and read; only tests give another one.
    #[doc(hidden)]
    pub format: &'static str,
}

/// How far a batch is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of a lane's batch is written.
    Begins,
    /// The rows of a batch are stored, and its checkpoints are not.
    RowsStored,
}

/// Asked at these moments whether a batch goes on; else it fails as if no node had answered. For tests that end something there.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<dyn Fn(Moment) -> bool + Send + Sync>>);

impl Probe {
    /// Called each time the rows of a batch are stored.
    pub fn new(called: impl Fn() + Send + Sync + 'static) -> Self {
        Self::deciding(move |moment| {
            if moment == Moment::RowsStored {
                called();
            }
            true
        })
    }

    pub fn deciding(goes_on: impl Fn(Moment) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(goes_on)))
    }

    fn goes_on(&self, moment: Moment) -> bool {
        self.0.as_ref().is_none_or(|asked| asked(moment))
    }
}

impl Options {
    pub fn new(nodes: Vec<String>, keyspace: impl Into<String>, replication: u8) -> Self {
        Self {
            nodes,
            keyspace: keyspace.into(),
            replication,
            datacenter: None,
            prefix: String::new(),
            credentials: None,
            tls: None,
            request_timeout: Duration::from_secs(5),
            safety_window: Duration::from_secs(12),
            probe: Probe::default(),
            format: super::schema::FORMAT,
        }
    }

    /// What is wrong with them, as a sentence.
    pub(super) fn fault(&self) -> Option<String> {
        let plain = |name: &str| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let begins = |name: &str| name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if self.nodes.is_empty() {
            return Some("no node is named; name at least one, as host or host:port".into());
        }
        if !plain(&self.keyspace) || !begins(&self.keyspace) || self.keyspace.len() > MAX_CQL_NAME {
            return Some(format!(
                "{:?} is no name of a keyspace; use 1 to {MAX_CQL_NAME} characters of a-z, 0-9 and _, a letter first",
                self.keyspace
            ));
        }
        if !plain(&self.prefix) || self.prefix.len() > MAX_PREFIX || !(self.prefix.is_empty() || begins(&self.prefix)) {
            let prefix = &self.prefix;
            return Some(format!(
                "{prefix:?} is no prefix of tables; use at most {MAX_PREFIX} characters of a-z, 0-9 and _, a letter first"
            ));
        }
        (self.replication == 0).then(|| "a replication factor of 0 keeps no row; take 3, or 1 for one node".into())
    }

    pub(super) fn reached(&self, moment: Moment) -> Result<(), ReadStoreError> {
        match self.probe.goes_on(moment) {
            true => Ok(()),
            false => Err(super::session::unavailable("write rows", &self.place(), "a test ends it here")),
        }
    }

    /// For errors: where this is.
    pub(super) fn place(&self) -> String {
        format!("{} (keyspace {})", self.nodes.join(", "), self.keyspace)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .field("replication", &self.replication)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// A user of the cluster. Never shown.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_before_anything_is_asked() {
        let good = || Options::new(vec!["127.0.0.1".into()], "millrace", 1);
        assert_eq!(good().fault(), None);
        let fault = |change: fn(&mut Options)| {
            let mut options = good();
            change(&mut options);
            options.fault().unwrap_or_default()
        };
        assert!(fault(|options| options.nodes.clear()).contains("no node"));
        assert!(fault(|options| options.keyspace = "Mill race".into()).contains("keyspace"));
        assert!(fault(|options| options.keyspace = "k; drop keyspace x".into()).contains("keyspace"));
        assert!(fault(|options| options.prefix = "1a".into()).contains("prefix"));
        assert!(fault(|options| options.replication = 0).contains("replication"));
    }
}
