//! A nats-server of the test process: durable like the real one, on a free port, gone with the process.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

/// Runs the server and kills it when its standard input ends, which the death of this process brings about too. The
/// folder of the shared server, which nobody else can remove, goes with it.
const WATCH: &str =
    r#""$1" -c "$2" >>"$3" 2>&1 & cat >/dev/null; kill -9 $!; wait $! 2>/dev/null; [ -z "$4" ] || rm -rf "$4""#;

pub(crate) struct Server {
    dir: PathBuf,
    /// Of a server that is not shared.
    owned: Option<tempfile::TempDir>,
    port: u16,
    running: Mutex<Option<Child>>,
}

impl Server {
    /// The server all tests share; each takes cells of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a temporary folder").keep();
            Self::begin(dir, None)
        })
    }

    /// One for a test that kills it.
    pub(crate) fn own() -> Self {
        let owned = tempfile::tempdir().expect("a temporary folder");
        Self::begin(owned.path().to_owned(), Some(owned))
    }

    fn begin(dir: PathBuf, owned: Option<tempfile::TempDir>) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let server = Self { dir, owned, port: free.expect("a free port").port(), running: Mutex::new(None) };
        server.start();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Where its streams are.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Starts it, again on the same port with the same data, and waits until it answers.
    pub(crate) fn start(&self) {
        let config = self.dir.join("server.conf");
        let text = format!(
            "host: \"127.0.0.1\"\nport: {}\nmax_payload: 8388608\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            self.port,
            self.store_dir()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let remove = if self.owned.is_some() { Path::new("") } else { &self.dir };
        let child = Command::new("sh")
            .args(["-c", WATCH, "watch"])
            .args([&nats_server(), &config, &self.dir.join("server.log")])
            .arg(remove)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        *self.running.lock().expect("no test panics here") = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        while !self.answers() {
            let log = || std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            assert!(Instant::now() < end, "nats-server does not answer on port {}:\n{}", self.port, log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let mut line = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && BufReader::new(stream).read_line(&mut line).is_ok()
            && line.starts_with("INFO")
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.running.lock().expect("no test panics here").take() {
            drop(child.stdin.take());
            child.wait().expect("the watcher ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `MILLRACE_NATS_SERVER`, or what `ops/lib/tools.sh` installed.
pub(crate) fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("MILLRACE_NATS_SERVER") {
        return path.into();
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("MILLRACE_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("millrace")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/millrace")));
    let folders = cache.and_then(|cache| std::fs::read_dir(cache.join("tools")).ok()).into_iter().flatten().flatten();
    let server = folders.map(|entry| entry.path().join("nats-server")).filter(|path| path.is_file()).max();
    server.expect("no nats-server: run ops/test once, which installs it, or set MILLRACE_NATS_SERVER")
}
