//! Cassandra, and what can be had of it with the driver alone.

use crate::{
    AnyError,
    process::{processor_time, tool},
};
use projectors::backend::scylla::{Credentials, Options};
use scylla::{
    client::{PoolSize, execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    statement::{Consistency, prepared::PreparedStatement},
};
use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    num::NonZeroUsize,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Room for what is not yet on the disk, so that a run is no measurement of flushing.
const HEAP_MIB: &str = "1536";
/// As an installation has them: a copy of each row on every one.
pub(crate) const NODES: u8 = 3;
const KEYSPACE: &str = "millrace";
const LOGIN: &str = "cassandra";

/// One node, or three with a copy of every row; they are stopped, and their folder removed, when this is dropped.
pub(crate) struct Cassandra {
    child: Child,
    addresses: Vec<String>,
    folder: tempfile::TempDir,
}

impl Cassandra {
    /// Starts so many nodes and waits until they answer.
    pub(crate) fn start(nodes: u8) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let script = tool("MILLRACE_CASSANDRA", "ops/cassandra");
        let mut command = Command::new(&script);
        command.args(["serve", "--nodes", &nodes.to_string(), "--heap", HEAP_MIB, "--dir"]);
        command.arg(folder.path().join("cluster"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{} does not run: {error}", script.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no output of the node")?;
        BufReader::new(out).read_line(&mut line)?;
        let said = line.trim().strip_prefix("ready ").ok_or("Cassandra did not start")?;
        let addresses = said.split_whitespace().map(str::to_owned).collect();
        fs::write(folder.path().join("credentials"), format!("{LOGIN}\n{LOGIN}\n"))?;
        Ok(Self { child, addresses, folder })
    }

    /// What a process needs whose views are here, under a prefix of their own.
    pub(crate) fn environment(&self, prefix: &str) -> Vec<(&'static str, String)> {
        let (nodes, copies) = (self.addresses.join(","), self.copies());
        let address = format!("scylla://{nodes}/{KEYSPACE}?replication={copies}&tls=off&prefix={prefix}");
        let credentials = self.folder.path().join("credentials").display().to_string();
        vec![("MILLRACE_READ_STORE", address), ("MILLRACE_READ_STORE_CREDENTIALS", credentials)]
    }

    /// The same for a store in this process.
    pub(crate) fn options(&self, prefix: &str) -> Options {
        let mut options = Options::new(self.addresses.clone(), KEYSPACE, self.copies());
        options.prefix = format!("{prefix}_");
        options.credentials = Some(Credentials { user: LOGIN.into(), password: LOGIN.into() });
        options
    }

    /// Of each row.
    fn copies(&self) -> u8 {
        if self.addresses.len() < 3 { 1 } else { 3 }
    }

    /// The driver with so many connections to each node; it reads and writes with the consistency of the platform.
    pub(crate) async fn driver(&self, connections: usize) -> Result<Driver, AnyError> {
        let connections = NonZeroUsize::new(connections).ok_or("no connection at all")?;
        let quorum = ExecutionProfile::builder().consistency(Consistency::LocalQuorum).build();
        let session = SessionBuilder::new()
            .known_nodes(&self.addresses)
            .default_execution_profile_handle(quorum.into_handle())
            .user(LOGIN, LOGIN)
            .pool_size(PoolSize::PerHost(connections))
            .schema_agreement_timeout(Duration::from_secs(60));
        Ok(Driver { session: session.build().await? })
    }

    /// Processor time its nodes have used.
    pub(crate) fn processor_time(&self) -> Result<Duration, AnyError> {
        let of = |node: usize| processor_time(self.pid(node)?);
        (1..=self.addresses.len()).map(of).sum()
    }

    fn pid(&self, node: usize) -> Result<u32, AnyError> {
        Ok(fs::read_to_string(self.folder.path().join(format!("cluster/node{node}/pid")))?.trim().parse()?)
    }

    /// Bytes of the files of tables on the first node, once all their rows are in them.
    pub(crate) async fn bytes_on_disk(&self, driver: &Driver, tables: &[&str]) -> Result<u64, AnyError> {
        driver.flush(tables).await?;
        let names: Vec<&str> =
            tables.iter().filter_map(|table| table.strip_prefix(KEYSPACE)?.strip_prefix('.')).collect();
        let folder = self.folder.path().join("cluster/node1/data/data").join(KEYSPACE);
        let mut bytes = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A folder is called after its table and an id of 32 digits.
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.rsplit_once('-')).map(|(of, _)| of);
            if of.is_some_and(|of| names.contains(&of)) {
                bytes += folder_bytes(&entry.path())?;
            }
        }
        Ok(bytes)
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        // The script stops the node once its input ends.
        drop(self.child.stdin.take());
        _ = self.child.wait();
    }
}

/// Bytes of all files below a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64, AnyError> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A file that has gone meanwhile takes no room.
        match kind.is_dir() {
            true => bytes += folder_bytes(&entry.path())?,
            false => bytes += entry.metadata().map_or(0, |file| file.len()),
        }
    }
    Ok(bytes)
}

/// The driver without a platform.
pub(crate) struct Driver {
    pub(crate) session: Session,
}

impl Driver {
    /// By the names the platform has for them, the CQL names of the tables under a prefix.
    pub(crate) async fn tables(&self, prefix: &str) -> Result<HashMap<String, String>, AnyError> {
        let cql = format!("SELECT name, value FROM {KEYSPACE}.read_store WHERE owner = ?");
        let found = self.session.query_unpaged(cql, (format!("{prefix}_"),)).await?.into_rows_result()?;
        let rows: Result<Vec<(String, String)>, _> = found.rows::<(String, String)>()?.collect();
        Ok(rows?.into_iter().filter(|(name, _)| !name.starts_with('#')).collect())
    }

    pub(crate) async fn prepare(&self, cql: String) -> Result<PreparedStatement, AnyError> {
        let mut prepared = self.session.prepare(cql).await?;
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }

    pub(crate) async fn truncate(&self, table: &str) -> Result<(), AnyError> {
        self.session.query_unpaged(format!("TRUNCATE {table}"), ()).await?;
        Ok(())
    }

    /// Lets the node write the rows of tables to the disk, which it does within the second it is told to.
    async fn flush(&self, tables: &[&str]) -> Result<(), AnyError> {
        for period in [1_000, 0] {
            for table in tables {
                let cql = format!("ALTER TABLE {table} WITH memtable_flush_period_in_ms = {period}");
                self.session.query_unpaged(cql, ()).await?;
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(())
    }
}
