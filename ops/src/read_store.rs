//! The read store of an installation, from flags and the environment.

use crate::{
    archive::{ArchiveArgsError, credentials},
    data_dir::DataDir,
};
use bus_schema::{
    bus::{Bus, ReadError, StreamError},
    subject::Family,
};
use projectors::{
    backend::{
        fjall::{FjallStore, Options as FolderOptions},
        scylla::{Credentials, LogIdentity, Options, ScyllaStore},
    },
    lane::mark_cell,
    read_store::{ReadStore, ReadStoreError},
};
use std::{fs, path::PathBuf, time::Duration};
use workers::smtp::{Roots, RootsError};

/// Longest time within which the servers put on their disks what they acknowledged, in seconds.
const MAX_WINDOW: u64 = 3_600;

/// Where the views are kept. Without an address: in the data directory.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Read store")]
pub struct ReadStoreArgs {
    /// A cluster of ScyllaDB or Apache Cassandra that keeps the views instead of the data directory:
    /// scylla://HOST[:PORT][,HOST…]/KEYSPACE[?replication=3&datacenter=NAME&prefix=NAME&window=12&tls=off]
    #[arg(long, env = "MILLRACE_READ_STORE", value_name = "URL")]
    pub read_store: Option<String>,
    /// A file with the cluster's user in its first line and the password in its second
    #[arg(long, env = "MILLRACE_READ_STORE_CREDENTIALS", value_name = "FILE", requires = "read_store")]
    pub read_store_credentials: Option<PathBuf>,
    /// Certificates to believe instead of the system's (PEM)
    #[arg(long, env = "MILLRACE_READ_STORE_CA", value_name = "FILE", requires = "read_store")]
    pub read_store_ca: Option<PathBuf>,
}

/// What the flags say, before anything is asked.
#[derive(Debug)]
pub enum ReadStorePlace {
    Folder,
    Cluster(Box<Options>),
}

impl ReadStorePlace {
    /// Opens the store for the views of this log.
    pub async fn open(self, data: &DataDir, bus: &Bus) -> Result<ReadStore, ReadStoreArgsError> {
        let options = match self {
            Self::Folder => {
                return Ok(ReadStore::Fjall(FjallStore::open(data.views(), FolderOptions::default()).await?));
            }
            Self::Cluster(options) => *options,
        };
        let store = ScyllaStore::open(options).await?;
        let found = store.belonging(bus.cell().as_str()).await?;
        store.belongs_to(found, &identity(bus).await?).await?;
        Ok(ReadStore::Scylla(store))
    }
}

impl ReadStoreArgs {
    /// Errors: what is wrong with the flags and the files they name.
    pub fn place(&self) -> Result<ReadStorePlace, ReadStoreArgsError> {
        Ok(self.options()?.map_or(ReadStorePlace::Folder, |options| ReadStorePlace::Cluster(Box::new(options))))
    }

    fn options(&self) -> Result<Option<Options>, ReadStoreArgsError> {
        let Some(text) = &self.read_store else { return Ok(None) };
        let Address { mut options, tls } = Address::parse(text)?;
        options.credentials = match &self.read_store_credentials {
            Some(path) => {
                let (user, password) = credentials(path)?;
                Some(Credentials { user, password: password.to_string() })
            }
            None => None,
        };
        options.tls = match (&self.read_store_ca, tls) {
            (Some(_), false) => {
                return Err(invalid("with tls=off no certificate is asked for; leave --read-store-ca out"));
            }
            (None, false) => None,
            (Some(path), true) => {
                let failed = |source| ReadStoreArgsError::File { path: path.display().to_string(), source };
                Some(Roots::from_pem(&fs::read(path).map_err(failed)?)?.config())
            }
            (None, true) => Some(Roots::system()?.config()),
        };
        Ok(Some(options))
    }
}

/// What the rows of this log are known by.
async fn identity(bus: &Bus) -> Result<LogIdentity, ReadStoreArgsError> {
    let filter = Family::Events.filter(bus.cell(), None);
    let first = bus.read_filtered(Family::Events, &filter, 1, 1).await?.events;
    let mut last = Vec::new();
    for family in [Family::Events, Family::Facts] {
        last.push((mark_cell(family, bus.cell()), bus.last_seq(family).await?));
    }
    let first_event = first.first().map(|event| event.envelope.event_id.to_string());
    Ok(LogIdentity { first_event, last })
}

/// An address with what stands behind its question mark.
#[derive(Debug)]
struct Address {
    options: Options,
    tls: bool,
}

impl Address {
    fn parse(text: &str) -> Result<Self, ReadStoreArgsError> {
        let rest = text.strip_prefix("scylla://").ok_or_else(|| invalid("it does not begin with scylla://"))?;
        if rest.contains('@') {
            return Err(invalid("credentials do not belong in an address; give a file with --read-store-credentials"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (nodes, keyspace) = place.split_once('/').ok_or_else(|| invalid("it names no keyspace"))?;
        let nodes: Vec<String> = nodes.split(',').map(node).collect::<Result<_, _>>()?;
        let mut options = Options::new(nodes, keyspace, 3);
        let mut tls = true;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| invalid("behind the ? it has NAME=VALUE, joined by &"))?;
            match key {
                "replication" => {
                    let copies = value.parse().ok().filter(|copies| (1..=9).contains(copies));
                    options.replication = copies.ok_or_else(|| invalid("replication is a number from 1 to 9"))?;
                }
                "datacenter" => options.datacenter = Some(value.to_owned()),
                "prefix" => options.prefix = format!("{}_", value.trim_end_matches('_')),
                "window" => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=MAX_WINDOW).contains(seconds));
                    let seconds = seconds.ok_or_else(|| invalid("window is a number of seconds from 1 to 3600"))?;
                    options.safety_window = Duration::from_secs(seconds);
                }
                "tls" => tls = on(value).ok_or_else(|| invalid("tls is `on` or `off`"))?,
                _ => return Err(invalid("it takes replication, datacenter, prefix, window and tls, nothing else")),
            }
        }
        Ok(Self { options, tls })
    }
}

fn node(text: &str) -> Result<String, ReadStoreArgsError> {
    // An IPv6 address stands in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)),
        _ => (text, Some(9042u16)),
    };
    match port {
        Some(port) if !host.is_empty() => Ok(format!("{host}:{port}")),
        _ => Err(invalid("a node is HOST or HOST:PORT, several are joined by commas")),
    }
}

fn on(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn invalid(why: &'static str) -> ReadStoreArgsError {
    ReadStoreArgsError::Address { why }
}

/// Why the read store is not opened: one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ReadStoreArgsError {
    #[error(
        "--read-store cannot be used: {why}; it is scylla://HOST[:PORT][,HOST…]/KEYSPACE, as in \
         scylla://db1,db2,db3/millrace?replication=3"
    )]
    Address { why: &'static str },
    #[error("--read-store-credentials: {0}")]
    Credentials(#[from] ArchiveArgsError),
    #[error("--read-store-ca: {path} cannot be read: {source}")]
    File { path: String, source: std::io::Error },
    #[error("--read-store-ca: {0}")]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Store(#[from] ReadStoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_nodes_keyspace_and_settings() {
        let parsed =
            Address::parse("scylla://db1,db2:9043,[::1]/mill?replication=2&datacenter=eu&prefix=a&window=20&tls=off");
        let Address { options, tls } = parsed.unwrap();
        assert_eq!(options.nodes, ["db1:9042", "db2:9043", "[::1]:9042"]);
        assert_eq!((options.keyspace.as_str(), options.replication, options.prefix.as_str()), ("mill", 2, "a_"));
        assert_eq!((options.datacenter.as_deref(), options.safety_window.as_secs(), tls), (Some("eu"), 20, false));
        let usual = Address::parse("scylla://db1/mill").unwrap();
        assert_eq!((usual.options.replication, usual.tls), (3, true), "three copies, protected");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, said) in [
            ("cql://db1/mill", "begin with"),
            ("scylla://db1", "no keyspace"),
            ("scylla://me:secret@db1/mill", "credentials do not belong"),
            ("scylla://db1:0/mill", "HOST or HOST:PORT"),
            ("scylla://,db1/mill", "HOST or HOST:PORT"),
            ("scylla://db1/mill?replication=0", "from 1 to 9"),
            ("scylla://db1/mill?window=x", "seconds"),
            ("scylla://db1/mill?tls=maybe", "`on` or `off`"),
            ("scylla://db1/mill?consistency=one", "nothing else"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
