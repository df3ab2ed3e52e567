//! Three nats-servers with TLS and a password, on a loopback network of their own.

use super::{Cassandra, Served};
use std::{
    ops::Deref,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// One cluster.
pub(crate) struct NatsCluster(Served);

impl Deref for NatsCluster {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl NatsCluster {
    /// Platforms that may share one cluster.
    pub(crate) const ACCOUNTS: u32 = 200;

    pub(crate) fn serve() -> Self {
        Self(Served::serve("../ops/nats-cluster", &[]))
    }

    /// The one that all platforms of the cluster profile share; each takes an account of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<NatsCluster> = OnceLock::new();
        SHARED.get_or_init(|| Self(Served::serve("../ops/nats-cluster", &["--accounts", &Self::ACCOUNTS.to_string()])))
    }

    /// The number of an account that nobody has.
    pub(crate) fn free_account() -> u32 {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let number = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(number <= Self::ACCOUNTS, "more than {} platforms in one run: raise ACCOUNTS", Self::ACCOUNTS);
        number
    }

    /// The settings of a process that uses one of its accounts.
    pub(crate) fn environment_of(&self, account: u32) -> Vec<(&'static str, String)> {
        let mut environment = self.environment();
        let credentials = environment.iter_mut().find(|(name, _)| *name == "MILLRACE_NATS_CREDENTIALS");
        credentials.expect("a setting").1.push_str(&format!("-{account}"));
        environment
    }

    /// The settings of a process that uses it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.dir().join(name).display().to_string();
        vec![
            ("MILLRACE_NATS", self.said().to_owned()),
            ("MILLRACE_NATS_CREDENTIALS", file("credentials")),
            ("MILLRACE_NATS_CA", file("ca.pem")),
        ]
    }
}

/// The settings all processes of one platform have. `dir` gets its root key and what it shares.
pub(crate) fn cluster_environment(nats: &NatsCluster, views: &Cassandra, dir: &Path) -> Vec<(&'static str, String)> {
    let (key, shared) = (dir.join("root.key"), dir.join("shared"));
    std::fs::write(&key, [7; 32]).expect("a key");
    std::fs::create_dir_all(&shared).expect("a folder");
    let mut environment = nats.environment();
    environment.extend(views.environment(dir));
    environment.push(("MILLRACE_ROOT_KEY", key.display().to_string()));
    environment.push(("MILLRACE_SHARED_DIR", shared.display().to_string()));
    environment
}
