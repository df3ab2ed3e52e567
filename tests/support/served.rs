//! A cluster that one of our scripts serves: it lives in a folder of its own, and is gone with the test process.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

/// One cluster. It is stopped, and its folder removed, when this ends or its process dies.
pub(crate) struct Served {
    /// From the folder that tests run in: where they were built may be another place.
    script: &'static str,
    dir: PathBuf,
    said: String,
    _running: Mutex<Child>,
}

impl Served {
    /// Starts it and waits until all of it answers.
    pub(crate) fn serve(script: &'static str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder").keep();
        let mut child = Command::new(script)
            .arg("serve")
            .arg("--dir")
            .arg(&dir)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{script} does not run: {error}"));
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        let said = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{script} did not start: {line:?}"));
        Self { script, dir, said: said.to_owned(), _running: Mutex::new(child) }
    }

    /// The addresses it said it is ready at.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills node `n` of 1 to 3 as a power cut would end its process.
    pub(crate) fn kill(&self, n: usize) {
        let pid = std::fs::read_to_string(self.dir.join(format!("node{n}/pid"))).expect("the node runs");
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the node is killed");
    }

    /// Starts a killed node again and waits until it takes part.
    pub(crate) fn start(&self, n: usize) {
        let status = Command::new(self.script).args(["node", "--dir"]).arg(&self.dir).arg(n.to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "{}: node {n} did not start again", self.script);
    }
}
