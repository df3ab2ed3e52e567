//! `millrace run`: a process with some roles of a platform.

use super::{
    Client,
    platform::{KillOnDrop, START, WATCH, binary, signal},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// One process. It is killed when it is dropped.
pub(crate) struct Member {
    role: String,
    dir: PathBuf,
    environment: Vec<(&'static str, String)>,
    ready: PathBuf,
    /// Removed when it ends.
    remove: Option<PathBuf>,
    pid: Option<u32>,
    process: KillOnDrop,
}

impl Member {
    /// Starts it and does not wait. `dir` gets its data directory and its log; started again there it is the same one.
    pub(crate) fn begin(role: &str, dir: &Path, environment: &[(&'static str, String)]) -> Self {
        Self::begin_and_remove(role, dir, environment, None)
    }

    /// The same; when it ends the folder `remove` goes with it.
    pub(super) fn begin_and_remove(
        role: &str,
        dir: &Path,
        environment: &[(&'static str, String)],
        remove: Option<&Path>,
    ) -> Self {
        let mut member = Self {
            role: role.to_owned(),
            dir: dir.to_owned(),
            environment: environment.to_vec(),
            ready: dir.join("ready.json"),
            remove: remove.map(Path::to_owned),
            pid: None,
            process: KillOnDrop(None),
        };
        member.begin_again();
        member
    }

    /// The same one once more, after it was killed.
    pub(crate) fn begin_again(&mut self) {
        self.kill();
        std::fs::create_dir_all(&self.dir).expect("a folder");
        _ = std::fs::remove_file(&self.ready);
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(self.dir.join("member.log"));
        command.arg(self.remove.as_deref().unwrap_or(Path::new(""))).arg(binary()).arg("run");
        command.args(["--role", &self.role, "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.dir.join("data")).arg("--ready-file").arg(&self.ready);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value))).stdin(Stdio::piped());
        (self.pid, self.process) = (None, KillOnDrop(Some(command.spawn().expect("sh runs"))));
    }

    /// Waits until it does its part; gives the address of its API.
    pub(crate) fn wait(&mut self) -> Option<String> {
        self.try_wait().unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same for one that may not start.
    pub(super) fn try_wait(&mut self) -> Result<Option<String>, String> {
        let end = Instant::now() + 2 * START;
        loop {
            let text = std::fs::read(&self.ready).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice::<Value>(&text) {
                self.pid = ready["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                return Ok(ready["url"].as_str().map(str::to_owned));
            }
            if self.has_ended() || Instant::now() > end {
                return Err(format!("the process {} does not run; its log:\n{}", self.role, self.log()));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Whether it does not run any more.
    pub(super) fn has_ended(&mut self) -> bool {
        self.process.0.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.expect("it was waited for")
    }

    /// A client with the login that this process made.
    pub(crate) fn client(&mut self) -> Client {
        let url = self.wait().expect("it has the role api");
        let login = self.login().expect("a login");
        Client::new(&url, login["api_key"].as_str().expect("a key"))
    }

    /// The operators' login, if this process made it.
    pub(crate) fn login(&self) -> Option<Value> {
        let login = std::fs::read(self.dir.join("data/keys/admin.json")).ok()?;
        Some(serde_json::from_slice(&login).expect("JSON"))
    }

    /// `STOP`: it stands still; `CONT`: it goes on.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        drop(KillOnDrop(self.process.0.take()));
    }

    /// Ends it in order, and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        signal("TERM", self.pid.expect("it was waited for"));
        let mut child = self.process.0.take()?;
        // Waiting would close it, which kills.
        let open = child.stdin.take();
        let status = child.wait().expect("the watcher ends");
        drop(open);
        status.code()
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("member.log")).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of the log in {}:", self.dir.display());
            tail.iter().rev().for_each(|line| eprintln!("  {}", &line[..line.len().min(400)]));
        }
    }
}
