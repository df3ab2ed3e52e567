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
    dir: PathBuf,
    ready: PathBuf,
    pid: Option<u32>,
    process: KillOnDrop,
}

impl Member {
    /// Starts it and does not wait. `dir` gets its data directory and its log; started again there it is the same one.
    pub(crate) fn begin(role: &str, dir: &Path, environment: &[(&'static str, String)]) -> Self {
        std::fs::create_dir_all(dir).expect("a folder");
        let ready = dir.join("ready.json");
        _ = std::fs::remove_file(&ready);
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(dir.join("member.log")).arg("").arg(binary()).arg("run");
        command.args(["--role", role, "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(dir.join("data")).arg("--ready-file").arg(&ready);
        command.envs(environment.iter().map(|(name, value)| (*name, value))).stdin(Stdio::piped());
        let process = KillOnDrop(Some(command.spawn().expect("sh runs")));
        Self { dir: dir.to_owned(), ready, pid: None, process }
    }

    /// Waits until it does its part; gives the address of its API.
    pub(crate) fn wait(&mut self) -> Option<String> {
        let end = Instant::now() + 2 * START;
        loop {
            let text = std::fs::read(&self.ready).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice::<Value>(&text) {
                self.pid = ready["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                return ready["url"].as_str().map(str::to_owned);
            }
            let ended = self.process.0.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            assert!(!ended && Instant::now() < end, "it does not run; its log:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A client with the login that this process made.
    pub(crate) fn client(&mut self) -> Client {
        let url = self.wait().expect("it has the role api");
        let login = std::fs::read(self.dir.join("data/keys/admin.json")).expect("a login");
        let login: Value = serde_json::from_slice(&login).expect("JSON");
        Client::new(&url, login["api_key"].as_str().expect("a key"))
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
