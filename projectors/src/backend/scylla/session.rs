//! The connection to the cluster: how it is opened, how requests are repeated, and what their errors mean.
//!
//! - **Consistency** is `LOCAL_QUORUM` for reads and writes: a row that was acknowledged is read, also after one of three
//!   nodes is lost.
//! - **Repetition**: every request is idempotent (writes carry their own timestamps), so the driver repeats it on another node
//!   when a node is away, overloaded or silent, within the time limit of the request. Consistency is never lowered.
//! - **Speculation**: a read that has no answer after [`SPECULATE_AFTER`] is also asked of one more node; writes are not, since
//!   a node that is slow because it is busy would be given more to do.
//! - **Routing** is token-aware, shard-aware where the server is ScyllaDB.

use super::{
    Shared, durability,
    options::Options,
    schema::{self, FORMAT_ROW},
};
use crate::read_store::ReadStoreError;
use scylla::{
    client::{
        execution_profile::{ExecutionProfile, ExecutionProfileHandle},
        session::Session,
        session_builder::SessionBuilder,
    },
    policies::{
        load_balancing::DefaultPolicy, retry::DefaultRetryPolicy,
        speculative_execution::SimpleSpeculativeExecutionPolicy,
    },
    statement::{Consistency, Statement, prepared::PreparedStatement},
};
use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// After this long a read is asked of a second node too.
const SPECULATE_AFTER: Duration = Duration::from_millis(150);
/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the nodes may take to agree on a schema.
const AGREE_WITHIN: Duration = Duration::from_secs(30);

/// Before a statement is prepared again.
const PREPARE_AGAIN: Duration = Duration::from_millis(100);

/// A statement that is sent once in a while, not prepared. All of ours may be repeated.
pub(super) fn plain(cql: impl Into<String>) -> Statement {
    let mut statement = Statement::new(cql);
    statement.set_is_idempotent(true);
    statement
}

/// One that changes the schema: it may take as long as the nodes take to agree, and is not repeated, since Cassandra may make a table
/// twice when two nodes are asked at once.
pub(super) fn change(cql: impl Into<String>) -> Statement {
    let mut statement = Statement::new(cql);
    statement.set_request_timeout(Some(AGREE_WITHIN));
    statement
}

/// What a request came to.
#[derive(Debug)]
pub(super) enum Fault {
    /// The table is not there (any more).
    Gone,
    Failed(ReadStoreError),
}

impl From<ReadStoreError> for Fault {
    fn from(error: ReadStoreError) -> Self {
        Self::Failed(error)
    }
}

impl Fault {
    /// For requests about tables that have to be there.
    pub(super) fn into_error(self, place: &str) -> ReadStoreError {
        match self {
            Self::Failed(error) => error,
            Self::Gone => ReadStoreError::Unavailable {
                doing: "use a table",
                place: place.to_owned(),
                source: "another process has just dropped it".into(),
            },
        }
    }
}

/// A session, and what reads and schema changes use beside its defaults.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) reads: ExecutionProfileHandle,
    /// Nodes the cluster has.
    pub(super) nodes: usize,
}

/// Connects, and makes or checks keyspace and registry.
pub(super) async fn open(options: &Options) -> Result<Opened, ReadStoreError> {
    let misfit = |what: String| ReadStoreError::Misconfigured { place: options.place(), what };
    if let Some(fault) = options.fault() {
        return Err(misfit(fault));
    }
    let mut routing = DefaultPolicy::builder();
    if let Some(datacenter) = &options.datacenter {
        routing = routing.prefer_datacenter(datacenter.clone());
    }
    let writes = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(options.request_timeout))
        .retry_policy(Arc::new(DefaultRetryPolicy::new()))
        .load_balancing_policy(routing.build())
        .build();
    let speculation = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE_AFTER };
    let reads = writes.to_builder().speculative_execution_policy(Some(Arc::new(speculation))).build().into_handle();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .connection_timeout(CONNECT_WITHIN)
        .schema_agreement_timeout(AGREE_WITHIN)
        .schema_agreement_interval(Duration::from_millis(50))
        .keyspaces_to_fetch([&options.keyspace])
        .default_execution_profile_handle(writes.into_handle())
        .tls_context(options.tls.clone());
    if let Some(credentials) = &options.credentials {
        builder = builder.user(&credentials.user, &credentials.password);
    }
    let session = builder.build().await.map_err(|error| {
        let text = chain(&error);
        let refused =
            ["Authentication", "authentication", "credentials", "password"].iter().any(|word| text.contains(word));
        match refused {
            true => misfit(format!("the user or the password was refused ({text}); correct the credentials")),
            false => unavailable("connect", &options.place(), error),
        }
    })?;
    let nodes = session.get_cluster_state().get_nodes_info().len();
    durability::check(&session, options).await?;
    let opened = Opened { session, reads, nodes };
    keyspace(&opened, options).await?;
    registry(&opened.session, options).await?;
    Ok(opened)
}

/// Makes the keyspace, or checks that its rows have as many copies as was said.
async fn keyspace(opened: &Opened, options: &Options) -> Result<(), ReadStoreError> {
    let misfit = |what: String| ReadStoreError::Misconfigured { place: options.place(), what };
    let failed = |error| unavailable("look for the keyspace", &options.place(), error);
    let state = opened.session.get_cluster_state();
    let mut datacenters: Vec<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    datacenters.sort_unstable();
    datacenters.dedup();
    if let Some(named) = options.datacenter.as_deref().filter(|named| !datacenters.contains(named)) {
        let known = datacenters.join(", ");
        return Err(misfit(format!("no node is in the datacenter {named:?}; name one of the cluster's: {known}")));
    }
    let wanted = usize::from(options.replication);
    let found = opened
        .session
        .query_unpaged(
            plain("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?"),
            (&options.keyspace,),
        )
        .await
        .map_err(|error| failed(Box::<dyn Error + Send + Sync>::from(error)))?;
    let found = found.into_rows_result().map_err(|error| failed(error.into()))?;
    let found = found.maybe_first_row::<(HashMap<String, String>,)>().map_err(|error| failed(error.into()))?;
    if let Some((replication,)) = found {
        return copies(&replication, options).map_err(misfit);
    }
    let datacenter = match &options.datacenter {
        Some(datacenter) => datacenter.clone(),
        None => state.get_nodes_info().iter().find_map(|node| node.datacenter.clone()).unwrap_or_default(),
    };
    let there = state.get_nodes_info().iter().filter(|node| node.datacenter.as_deref() == Some(&datacenter)).count();
    if there < wanted {
        return Err(misfit(format!(
            "{wanted} copies of each row need as many nodes, the datacenter {datacenter:?} has {there}; add nodes, name another \
             datacenter, or lower the replication factor"
        )));
    }
    let cql = format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {wanted}}} \
         AND durable_writes = true",
        options.keyspace,
        datacenter.replace('\'', "''")
    );
    opened
        .session
        .query_unpaged(change(cql), ())
        .await
        .map_err(|error| denied("make the keyspace", options, error.into()))?;
    Ok(())
}

/// Whether a keyspace keeps as many copies of each row as was said, in the datacenter that was said; its `replication` is the class
/// and, by datacenter, a number.
fn copies(replication: &HashMap<String, String>, options: &Options) -> Result<(), String> {
    let mut has: Vec<(&str, usize)> =
        replication.iter().filter_map(|(key, value)| Some((key.as_str(), value.parse().ok()?))).collect();
    has.sort_unstable();
    // The simple strategy knows no datacenters.
    let is_mine = |name: &str| {
        name == "replication_factor" || options.datacenter.as_deref().is_none_or(|datacenter| datacenter == name)
    };
    let mine: Vec<usize> = has.iter().filter(|(name, _)| is_mine(name)).map(|(_, copies)| *copies).collect();
    let list = |of: Vec<String>| of.join(", ");
    if mine.is_empty() {
        let names = list(has.iter().map(|(name, _)| (*name).to_owned()).collect());
        let datacenter = options.datacenter.as_deref().unwrap_or_default();
        return Err(format!(
            "the keyspace has no copies in the datacenter {datacenter:?}; name one of its own: {names}"
        ));
    }
    if !mine.contains(&usize::from(options.replication)) {
        let kept = list(mine.iter().map(usize::to_string).collect());
        return Err(format!(
            "the keyspace keeps {kept} copies of each row, {} were asked for; correct the replication factor, or ALTER KEYSPACE \
             and repair it",
            options.replication
        ));
    }
    Ok(())
}

/// Asked for something that the user may not do, or nobody answered.
fn denied(doing: &'static str, options: &Options, error: Box<dyn Error + Send + Sync>) -> ReadStoreError {
    let text = chain(&*error);
    if text.contains("permission") {
        let what =
            format!("its user may not {doing} ({text}); let an administrator GRANT it, or make the keyspace for it");
        return ReadStoreError::Misconfigured { place: options.place(), what };
    }
    unavailable(doing, &options.place(), error)
}

/// Makes the registry, or refuses one of another format.
async fn registry(session: &Session, options: &Options) -> Result<(), ReadStoreError> {
    let failed = |error: Box<dyn Error + Send + Sync>| unavailable("open the list of tables", &options.place(), error);
    let names = schema::Names::of(options);
    let name = names.registry();
    let made = session.query_unpaged(change(schema::create_registry(&name)), ()).await;
    made.map_err(|error| denied("make the list of tables", options, error.into()))?;
    let cql = format!("SELECT value FROM {name} WHERE {} AND name = ?", names.registered());
    let found = session.query_unpaged(plain(cql), (FORMAT_ROW,)).await.map_err(|error| failed(error.into()))?;
    let found = found.into_rows_result().map_err(|error| failed(error.into()))?;
    let found = found.maybe_first_row::<(String,)>().map_err(|error| failed(error.into()))?;
    if is_new(found.map(|(format,)| format), options)? {
        let cql = format!("INSERT INTO {name} (owner, name, value) VALUES (?, ?, ?)");
        session
            .query_unpaged(plain(cql), (names.owner(), FORMAT_ROW, options.format))
            .await
            .map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

/// Whether a store was never used; tables of another format are not touched.
fn is_new(format: Option<String>, options: &Options) -> Result<bool, ReadStoreError> {
    match format {
        Some(found) if found != options.format => Err(ReadStoreError::UnknownFormat { place: options.place(), found }),
        known => Ok(known.is_none()),
    }
}

impl Shared {
    /// The driver repeats requests, but prepares a statement once and waits for ever: a node that is busy or has just come back
    /// fails it in passing. It has the time of a request.
    pub(super) async fn prepare(&self, cql: String) -> Result<PreparedStatement, Fault> {
        let end = Instant::now() + self.options.request_timeout;
        loop {
            let Ok(prepared) = timeout_at(end, self.session.prepare(cql.as_str())).await else {
                let silence = "no node answered in time";
                return Err(Fault::Failed(unavailable("prepare a statement", &self.place, silence)));
            };
            match prepared {
                Ok(mut prepared) => {
                    prepared.set_is_idempotent(true);
                    return Ok(prepared);
                }
                Err(error) => match self.fault("prepare a statement", error) {
                    Fault::Failed(_) if Instant::now() + PREPARE_AGAIN < end => sleep(PREPARE_AGAIN).await,
                    fault => return Err(fault),
                },
            }
        }
    }

    pub(super) async fn prepare_read(&self, cql: String) -> Result<PreparedStatement, Fault> {
        let mut prepared = self.prepare(cql).await?;
        prepared.set_execution_profile_handle(Some(self.reads.clone()));
        prepared.set_page_size(super::read::PAGE);
        Ok(prepared)
    }

    /// Tells a table that is not there from everything else, which may pass.
    pub(super) fn fault(&self, doing: &'static str, error: impl Error + Send + Sync + 'static) -> Fault {
        let text = chain(&error);
        // ScyllaDB and older Cassandra: "unconfigured table"; Cassandra 5: "table … does not exist".
        if text.contains("unconfigured table") || (text.contains("table") && text.contains("does not exist")) {
            return Fault::Gone;
        }
        Fault::Failed(unavailable(doing, &self.place, error))
    }
}

pub(super) fn unavailable(
    doing: &'static str,
    place: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> ReadStoreError {
    ReadStoreError::Unavailable { doing, place: place.to_owned(), source: source.into() }
}

/// The messages of an error and of what caused it.
fn chain(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = error.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_another_format_are_not_touched() {
        let options = Options::new(vec!["127.0.0.1".into()], "millrace", 1);
        assert!(is_new(None, &options).unwrap());
        assert!(!is_new(Some(schema::FORMAT.into()), &options).unwrap());
        let error = is_new(Some("99".into()), &options).unwrap_err();
        assert!(matches!(&error, ReadStoreError::UnknownFormat { found, .. } if found == "99"), "{error}");
    }

    #[test]
    fn copies_are_counted_in_the_datacenter_that_is_asked() {
        let keyspace: HashMap<String, String> =
            [("class", "…NetworkTopologyStrategy"), ("eu", "3"), ("us", "2")].map(|(k, v)| (k.into(), v.into())).into();
        let asked = |replication, datacenter: Option<&str>| {
            let mut options = Options::new(vec!["127.0.0.1".into()], "millrace", replication);
            options.datacenter = datacenter.map(str::to_owned);
            copies(&keyspace, &options)
        };
        assert_eq!(asked(3, None), Ok(()));
        assert_eq!(asked(2, Some("us")), Ok(()));
        assert!(asked(3, Some("us")).unwrap_err().contains("keeps 2 copies of each row, 3 were asked for"));
        assert!(asked(1, None).unwrap_err().contains("keeps 3, 2 copies"));
        assert!(asked(3, Some("asia")).unwrap_err().contains("name one of its own: eu, us"));
    }
}
