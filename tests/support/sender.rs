//! `millrace sender`: one more process that sends the campaigns of a platform.

use super::platform::{KillOnDrop, START, WATCH, binary, signal};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// A sender. It is killed when it is dropped.
pub(crate) struct Sender {
    join: PathBuf,
    dir: PathBuf,
    environment: Vec<(&'static str, String)>,
    pid: u32,
    process: KillOnDrop,
}

impl Sender {
    /// `dir` gets its data directory and its log; started again there it is the same worker.
    pub(crate) fn start(join: &Path, dir: &Path, environment: &[(&'static str, String)]) -> Self {
        std::fs::create_dir_all(dir).expect("a folder");
        let (ready, log) = (dir.join("ready.json"), dir.join("sender.log"));
        _ = std::fs::remove_file(&ready);
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(&log).arg("").arg(binary()).arg("sender");
        command.arg("--join").arg(join).arg("--data-dir").arg(dir.join("data")).arg("--ready-file").arg(&ready);
        command.envs(environment.iter().map(|(name, value)| (*name, value))).stdin(Stdio::piped());
        let process = KillOnDrop(Some(command.spawn().expect("sh runs")));
        let end = Instant::now() + START;
        let pid = loop {
            let text = std::fs::read(&ready).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice::<serde_json::Value>(&text)
                && let Some(pid) = ready["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
            {
                break pid;
            }
            assert!(
                Instant::now() < end,
                "the sender is not ready: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        Self { join: join.to_owned(), dir: dir.to_owned(), environment: environment.to_vec(), pid, process }
    }

    /// kill -9, and the next start, as a supervisor does it.
    pub(crate) fn killed_and_started(self) -> Self {
        let Self { join, dir, environment, process, .. } = self;
        drop(process);
        Self::start(&join, &dir, &environment)
    }

    /// It stands still until [`Sender::go_on`].
    pub(crate) fn stop(&self) {
        signal("STOP", self.pid);
    }

    pub(crate) fn go_on(&self) {
        signal("CONT", self.pid);
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("sender.log")).unwrap_or_default()
    }
}
