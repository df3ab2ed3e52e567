//! A cluster of the Scylla protocol's reference server, on a loopback network of its own.

use super::{NatsCluster, Served};
use projectors::{
    backend::scylla::{Credentials, Options, ScyllaStore},
    read_store::{ReadStore, ReadStoreError, Severity},
};
use std::{
    ops::Deref,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use workers::smtp::Roots;

/// Platforms on one node: nobody drops their seventy tables, and each takes half a megabyte of its heap.
const PLATFORMS: u32 = 20;

/// One cluster.
pub(crate) struct Cassandra(Served);

impl Deref for Cassandra {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl Cassandra {
    /// The node all tests share; each takes a prefix of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cassandra> = OnceLock::new();
        SHARED.get_or_init(|| Self::serve(&["--nodes", "1", "--hasty", "--heap", "1024"]))
    }

    /// The node of a platform of the cluster profile, by the number of its account.
    pub(crate) fn of_platform(account: u32) -> &'static Self {
        static NODES: [OnceLock<Cassandra>; (NatsCluster::ACCOUNTS / PLATFORMS + 1) as usize] =
            [const { OnceLock::new() }; (NatsCluster::ACCOUNTS / PLATFORMS + 1) as usize];
        let node = &NODES[(account / PLATFORMS) as usize];
        node.get_or_init(|| Self::serve(&["--nodes", "1", "--hasty", "--heap", "2048"]))
    }

    /// A cluster for a test that kills nodes or needs something special.
    pub(crate) fn serve(options: &[&str]) -> Self {
        Self(Served::serve("../ops/cassandra", options))
    }

    /// Options of a store nobody else uses, in the keyspace of this test run.
    pub(crate) fn options(&self) -> Options {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let addresses: Vec<String> = self.said().split_whitespace().map(str::to_owned).collect();
        let copies = if addresses.len() >= 3 { 3 } else { 1 };
        let mut options = Options::new(addresses, "millrace", copies);
        options.prefix = format!("t{}_", NEXT.fetch_add(1, Ordering::Relaxed));
        options.credentials = Some(Credentials { user: "cassandra".into(), password: "cassandra".into() });
        if let Ok(authority) = std::fs::read(self.dir().join("ca.pem")) {
            options.tls = Some(Roots::from_pem(&authority).expect("a certificate").config());
        }
        options.request_timeout = Duration::from_secs(20);
        options
    }

    /// The address of a place nobody else uses, as the platform takes it.
    pub(crate) fn url(&self) -> String {
        let prefix = self.options().prefix;
        format!("scylla://{}/millrace?replication=1&tls=off&prefix={prefix}", self.said().replace(' ', ","))
    }

    /// The same for a platform that is started again.
    pub(crate) fn environment_of(&self, account: u32, dir: &std::path::Path) -> Vec<(&'static str, String)> {
        let address = self.said().replace(' ', ",");
        let url = format!("scylla://{address}/millrace?replication=1&tls=off&prefix=p{account}_");
        let mut environment = self.environment(dir);
        environment[0].1 = url;
        environment
    }

    /// The settings of a process that keeps its views there; the file of its credentials lies in `dir`.
    pub(crate) fn environment(&self, dir: &std::path::Path) -> Vec<(&'static str, String)> {
        let credentials = dir.join("cluster-credentials");
        std::fs::write(&credentials, "cassandra\ncassandra\n").expect("written");
        let credentials = credentials.display().to_string();
        vec![("MILLRACE_READ_STORE", self.url()), ("MILLRACE_READ_STORE_CREDENTIALS", credentials)]
    }

    /// An empty store.
    pub(crate) async fn store(&self) -> ReadStore {
        ReadStore::Scylla(open(self.options()).await)
    }
}

/// A store that is opened on a busy machine.
pub(crate) async fn open(options: Options) -> ScyllaStore {
    patiently(|| ScyllaStore::open(options.clone())).await
}

/// What lanes and readers do: while the cluster is busy with the loss of a node, or with a new table, it is asked again.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, ReadStoreError>>>(mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.severity() == Severity::Transient && Instant::now() < end => {
                println!("asked again after: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => panic!("{error} ({error:?})"),
        }
    }
}
