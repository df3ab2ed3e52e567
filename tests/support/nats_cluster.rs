//! Three nats-servers with TLS and a password, on a loopback network of their own, gone with the test process.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

/// The script that runs them, from the folder that tests run in: where they were built may be another place.
const SCRIPT: &str = "../ops/nats-cluster";

/// One cluster. It is stopped, and its folder removed, when this ends or its process dies.
pub(crate) struct NatsCluster {
    dir: PathBuf,
    url: String,
    _running: Mutex<Child>,
}

impl NatsCluster {
    pub(crate) fn serve() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder").keep();
        let mut child = Command::new(SCRIPT)
            .arg("serve")
            .arg("--dir")
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ops/nats-cluster runs");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("ops/nats-cluster: {line:?}")).to_owned();
        Self { dir, url, _running: Mutex::new(child) }
    }

    /// The settings of a process that uses it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        vec![
            ("MILLRACE_NATS", self.url.clone()),
            ("MILLRACE_NATS_CREDENTIALS", file("credentials")),
            ("MILLRACE_NATS_CA", file("ca.pem")),
        ]
    }

    /// Kills server `n` of 1 to 3 as a power cut would end its process.
    pub(crate) fn kill(&self, n: usize) {
        let pid = std::fs::read_to_string(self.dir.join(format!("node{n}/pid"))).expect("the server runs");
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the server is killed");
    }

    /// Starts a killed server again and waits until it takes part.
    pub(crate) fn start(&self, n: usize) {
        let status = Command::new(SCRIPT).args(["node", "--dir"]).arg(&self.dir).arg(n.to_string()).status();
        assert!(status.expect("ops/nats-cluster runs").success(), "server {n} did not start again");
    }
}
