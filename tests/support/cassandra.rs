//! A cluster of the Scylla protocol's reference server, on a loopback network of its own, gone with the test process.

use projectors::{
    backend::scylla::{Credentials, Options, ScyllaStore},
    read_store::ReadStore,
};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use workers::smtp::Roots;

/// The script that runs it, from the folder that tests run in: where they were built may be another place.
const SCRIPT: &str = "../ops/cassandra";

/// One cluster. It is stopped, and its folder removed, when this ends or its process dies.
pub(crate) struct Cassandra {
    dir: PathBuf,
    addresses: Vec<String>,
    _running: Mutex<Child>,
}

impl Cassandra {
    /// The node all tests share; each takes a prefix of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cassandra> = OnceLock::new();
        SHARED.get_or_init(|| Self::serve(&["--nodes", "1", "--hasty"]))
    }

    /// A cluster for a test that kills nodes or needs something special.
    pub(crate) fn serve(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder").keep();
        let mut child = Command::new(SCRIPT)
            .arg("serve")
            .arg("--dir")
            .arg(&dir)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ops/cassandra runs");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        let addresses: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
        assert!(line.starts_with("ready ") && !addresses.is_empty(), "ops/cassandra did not start: {line:?}");
        Self { dir, addresses, _running: Mutex::new(child) }
    }

    /// Options of a store nobody else uses, in the keyspace of this test run.
    pub(crate) fn options(&self) -> Options {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let copies = if self.addresses.len() >= 3 { 3 } else { 1 };
        let mut options = Options::new(self.addresses.clone(), "millrace", copies);
        options.prefix = format!("t{}_", NEXT.fetch_add(1, Ordering::Relaxed));
        options.credentials = Some(Credentials { user: "cassandra".into(), password: "cassandra".into() });
        if let Ok(authority) = std::fs::read(self.dir.join("ca.pem")) {
            options.tls = Some(Roots::from_pem(&authority).expect("a certificate").config());
        }
        options.request_timeout = std::time::Duration::from_secs(20);
        options
    }

    /// The address of a place nobody else uses, as the platform takes it.
    pub(crate) fn url(&self) -> String {
        let prefix = self.options().prefix;
        format!("scylla://{}/millrace?replication=1&tls=off&prefix={prefix}", self.addresses.join(","))
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
        ReadStore::Scylla(ScyllaStore::open(self.options()).await.expect("the store opens"))
    }

    /// Kills node `n` of 1 to 3 as a power cut would end its process.
    pub(crate) fn kill(&self, n: usize) {
        let pid = std::fs::read_to_string(self.dir.join(format!("node{n}/pid"))).expect("the node runs");
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the node is killed");
    }

    /// Starts a killed node again and waits until it answers.
    pub(crate) fn start(&self, n: usize) {
        let status = Command::new(SCRIPT).args(["node", "--dir"]).arg(&self.dir).arg(n.to_string()).status();
        assert!(status.expect("ops/cassandra runs").success(), "node {n} did not start again");
    }
}
