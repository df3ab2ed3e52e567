//! A real `millrace up` in a process of its own, or on the cluster profile several processes: started, asked over HTTP, killed.

use super::{Client, deployment::Deployment};
use bus_schema::{
    Cell,
    bus::{Bus, BusOptions, BusUser},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

/// Runs the platform and kills it when the standard input ends, which the death of this process brings about too. The
/// folder of the shared platform, which nobody else can remove, goes with it.
pub(super) const WATCH: &str = r#"
log=$1; remove=$2; shift 2
exec 3<&0 >>"$log" 2>&1
"$@" 3<&- & platform=$!
(cat <&3 >/dev/null; kill -9 $platform) 2>/dev/null & watcher=$!
wait $platform; status=$?
kill $watcher 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit $status"#;

/// A debug build on a busy machine needs this long to restore a log at worst.
pub(super) const START: Duration = Duration::from_secs(90);

/// What the platform writes when it serves.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) tenant: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) api_key: String,
    pub(crate) pid: u32,
    pub(crate) nats_pid: Option<u32>,
    #[serde(default)]
    pub(crate) inbox: Option<String>,
}

pub(crate) struct Platform {
    pub(crate) ready: Ready,
    pub(crate) data_dir: PathBuf,
    log: PathBuf,
    watch: Mutex<Option<Child>>,
    /// On the cluster profile.
    deployment: Mutex<Option<Deployment>>,
    /// Of a platform that is not shared and has no directory of somebody else.
    _owned: Option<tempfile::TempDir>,
}

impl Platform {
    /// The one all scenarios share; each takes names nobody else has.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Platform> = OnceLock::new();
        SHARED.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a temporary folder").keep();
            Self::start(&dir, None, Some(&dir), &[]).unwrap_or_else(|why| panic!("{why}"))
        })
    }

    /// One for a test that breaks or stops it.
    pub(crate) fn own() -> Self {
        let owned = tempfile::tempdir().expect("a temporary folder");
        let dir = owned.path().to_owned();
        Self::start(&dir, Some(owned), None, &[]).unwrap_or_else(|why| panic!("{why}"))
    }

    /// One in a folder of the caller's; started again there it has the data of before.
    pub(crate) fn open(dir: &Path) -> Self {
        Self::open_with(dir, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn open_with(dir: &Path, environment: &[(&'static str, String)]) -> Self {
        Self::start(dir, None, None, environment).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, but its files lie on a memory file system of their own that has room for so many bytes. `None`: this machine
    /// lets nobody mount one.
    pub(crate) fn open_with_room(dir: &Path, bytes: u32) -> Option<Self> {
        let possible =
            Command::new("unshare").args(["--mount", "--map-root-user", "true"]).stderr(Stdio::null()).status();
        if !possible.is_ok_and(|status| status.success()) {
            return None;
        }
        // It makes its data directory itself.
        Self::open(dir).stop();
        let files = dir.join("data/files");
        let mount = format!("mount -t tmpfs -o size={bytes},mode=700 none {} && exec \"$@\"", files.display());
        let within = ["unshare", "--mount", "--map-root-user", "sh", "-c", &mount, "mounted"];
        Some(Self::start_within(dir, None, None, &[], &within).unwrap_or_else(|why| panic!("{why}")))
    }

    /// In `dir` are the data directory, the ready file and the log of all starts.
    fn start(
        dir: &Path,
        owned: Option<tempfile::TempDir>,
        remove: Option<&Path>,
        environment: &[(&'static str, String)],
    ) -> Result<Self, String> {
        if !Deployment::fits(dir) {
            return Self::start_within(dir, owned, remove, environment, &[]);
        }
        // Those that share a work, where it is to be shared: the platform of all, and archives.
        let is_archived = environment.iter().any(|(name, _)| *name == "MILLRACE_ARCHIVE");
        let others = if remove.is_some() || is_archived { 2 } else { 1 };
        let (deployment, ready) = Deployment::start(dir, remove, environment, others)?;
        Ok(Self {
            ready,
            data_dir: dir.join("data"),
            log: PathBuf::new(),
            watch: Mutex::default(),
            deployment: Mutex::new(Some(deployment)),
            _owned: owned,
        })
    }

    /// `within` is what the platform is run by.
    fn start_within(
        dir: &Path,
        owned: Option<tempfile::TempDir>,
        remove: Option<&Path>,
        environment: &[(&'static str, String)],
        within: &[&str],
    ) -> Result<Self, String> {
        let (data_dir, ready_file, log) = (dir.join("data"), dir.join("ready.json"), dir.join("platform.log"));
        _ = std::fs::remove_file(&ready_file);
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(&log).arg(remove.unwrap_or(Path::new("")));
        command
            .args(within)
            .arg(binary())
            .args(["up", "--no-demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir);
        command.arg("--ready-file").arg(&ready_file).stdin(Stdio::piped());
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let watch = command.spawn().map_err(|error| format!("sh does not run: {error}"))?;
        let mut watch = KillOnDrop(Some(watch));
        let end = Instant::now() + START;
        let ready = loop {
            if let Ok(text) = std::fs::read(&ready_file) {
                break serde_json::from_slice(&text).map_err(|error| format!("the ready file: {error}"))?;
            }
            let ended = watch.0.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > end {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let why = if ended { "ended" } else { "was not ready in time" };
                return Err(format!("the platform {why}; its log:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let (watch, deployment) = (Mutex::new(watch.0.take()), Mutex::default());
        Ok(Self { ready, data_dir, log, watch, deployment, _owned: owned })
    }

    /// A client with the first tenant's API key.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.ready.url, &self.ready.api_key)
    }

    /// What the platform said so far.
    pub(crate) fn log(&self) -> String {
        let of_file = || std::fs::read_to_string(&self.log).unwrap_or_default();
        self.deployment().as_ref().map_or_else(of_file, Deployment::log)
    }

    /// Whether a part of it has ended by itself, where it has parts.
    pub(crate) fn lost_a_process(&self) -> bool {
        self.deployment().as_mut().is_some_and(Deployment::lost_one)
    }

    /// Where its workers remember how far they are in the log.
    pub(crate) fn worker_places(&self) -> PathBuf {
        self.data_dir.join(if self.deployment().is_some() { "places" } else { "mail" })
    }

    /// Every folder in which something of it is kept.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.deployment().as_ref().map_or_else(|| vec![self.data_dir.clone()], Deployment::folders)
    }

    /// The metrics of all its processes.
    pub(crate) async fn metrics(&self) -> String {
        let others = self.deployment().as_ref().map(Deployment::status).unwrap_or_default();
        let mut text = self.client().get("/metrics").send().await.expect(200).text();
        for address in others {
            text += &Client::new(&format!("http://{address}"), "").get("/metrics").send().await.expect(200).text();
        }
        text
    }

    /// Its log, as only its own services reach it.
    pub(crate) async fn bus(&self) -> Bus {
        let of_cluster = self.deployment().as_ref().map(Deployment::bus_options);
        let options = of_cluster.unwrap_or_else(|| {
            let read = |path: &str| std::fs::read_to_string(self.data_dir.join(path)).expect(path);
            let record: serde_json::Value = serde_json::from_str(&read("nats/server.json")).expect("JSON");
            BusOptions {
                url: format!("nats://127.0.0.1:{}", record["port"]),
                user: BusUser::Nkey(read("keys/nats-user.seed").trim().to_owned()),
                tls: None,
                cell: Cell::try_new("eu1").expect("a cell"),
                replicas: 1,
            }
        });
        Bus::connect(options).await.expect("the log answers")
    }

    /// kill -9, and waits until it is gone. Its nats-server dies with it.
    pub(crate) fn kill(&self) {
        if let Some(deployment) = self.deployment().as_mut() {
            deployment.kill();
        }
        if let Some(child) = self.lock().take() {
            drop(KillOnDrop(Some(child)));
        }
    }

    /// Ends it in order, as Ctrl-C does, and gives its exit code.
    pub(crate) fn stop(&self) -> Option<i32> {
        if let Some(deployment) = self.deployment().as_mut() {
            return deployment.stop();
        }
        signal("TERM", self.ready.pid);
        self.end()
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub(crate) fn end(&self) -> Option<i32> {
        let mut child = self.lock().take()?;
        // Waiting would close it, which kills.
        let open = child.stdin.take();
        let status = child.wait().expect("the watcher ends");
        drop(open);
        status.code()
    }

    /// kill -9 of the present nats-server alone; gives its process id. The platform starts another.
    pub(crate) fn kill_log_server(&self) -> Option<u32> {
        let pid = self.log_server()?;
        signal("KILL", pid);
        Some(pid)
    }

    /// The process id of the nats-server that is supervised now.
    pub(crate) fn log_server(&self) -> Option<u32> {
        let record = std::fs::read(self.data_dir.join("nats/server.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
        record["process"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    fn deployment(&self) -> std::sync::MutexGuard<'_, Option<Deployment>> {
        self.deployment.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(200).collect();
            eprintln!("the end of the platform's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

pub(super) struct KillOnDrop(pub(super) Option<Child>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            _ = child.wait();
        }
    }
}

pub(super) fn signal(name: &str, pid: u32) {
    // It may be gone already, which is as good.
    _ = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// `millrace` with these arguments, run to its end; at most a minute.
pub(crate) fn millrace(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "60"]).arg(binary()).args(arguments);
    command.envs(environment.iter().copied()).stdin(Stdio::null()).output().expect("timeout and millrace run")
}

/// `MILLRACE_BIN`, or the one cargo built beside this test; built now when it is not there.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("MILLRACE_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("the path of this test");
        let profile = test.parent().and_then(Path::parent).expect("a folder of cargo's");
        let path = profile.join("millrace");
        if !path.is_file() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--package", "ops", "--target-dir"]).arg(profile.parent().expect("a target folder"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().is_ok_and(|status| status.success()), "millrace does not build");
        }
        path
    })
}
