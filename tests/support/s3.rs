//! S3 servers of the test process: two providers, on free loopback ports, gone with the process.

use super::FaultProxy;
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use workers::archive::{
    ObjectStore, ObjectStorePort,
    backend::s3::{S3Objects, S3Options},
};

/// As for the log: the server ends with this process, and its folder goes with it.
const WATCH: &str =
    r#"dir=$1; shift; "$@" >>"$dir/server.log" 2>&1 & cat >/dev/null; kill -9 $!; wait $! 2>/dev/null; rm -rf "$dir""#;

const ACCESS: &str = "archive";
const SECRET: &str = "secret-of-the-test";

/// The server of one provider.
pub(crate) struct S3Server {
    provider: &'static str,
    port: u16,
    _running: Mutex<Child>,
}

impl S3Server {
    pub(crate) fn north() -> &'static Self {
        static NORTH: OnceLock<S3Server> = OnceLock::new();
        NORTH.get_or_init(|| Self::start("north"))
    }

    pub(crate) fn south() -> &'static Self {
        static SOUTH: OnceLock<S3Server> = OnceLock::new();
        SOUTH.get_or_init(|| Self::start("south"))
    }

    fn start(provider: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder").keep();
        let config = dir.join("identities.json");
        let identities = serde_json::json!({ "identities": [{
            "name": "archive",
            "credentials": [{ "accessKey": ACCESS, "secretKey": SECRET }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }] });
        std::fs::write(&config, identities.to_string()).expect("the configuration is written");
        std::fs::create_dir(dir.join("data")).expect("a folder for the data");
        // All at once, so that they differ.
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let listeners: Vec<TcpListener> = (0..8).map(|_| listen()).collect();
        let ports: Vec<u16> = listeners.iter().map(|one| one.local_addr().expect("an address").port()).collect();
        drop(listeners);
        let names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"];
        let names = names.into_iter().chain(["filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]);
        let child = Command::new("sh")
            .args(["-c", WATCH, "watch"])
            .arg(&dir)
            .arg(binary())
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-iam=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=100"])
            .args(["-master.volumeSizeLimitMB=256"])
            .arg(format!("-dir={}", dir.join("data").display()))
            .arg(format!("-s3.config={}", config.display()))
            .args(names.zip(&ports).map(|(name, port)| format!("-{name}={port}")))
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let server = Self { provider, port: ports[6], _running: Mutex::new(child) };
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err() {
            let log = || std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
            assert!(Instant::now() < end, "the S3 server does not answer on port {}:\n{}", server.port, log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn provider(&self) -> &'static str {
        self.provider
    }

    /// Of a part of the shared bucket, as it is named on the command line.
    pub(crate) fn address(&self, bucket: &str) -> String {
        format!("http://127.0.0.1:{}/{bucket}", self.port)
    }

    /// A file with its credentials, as the command line takes it.
    pub(crate) fn credentials(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.credentials", self.provider));
        std::fs::write(&path, format!("{ACCESS}\n{SECRET}\n")).expect("the credentials are written");
        path
    }

    pub(crate) fn options(&self, bucket: &str) -> S3Options {
        let url = format!("http://127.0.0.1:{}/{bucket}", self.port);
        S3Options::parse(self.provider, &url, ACCESS, SECRET).expect("a bucket's address")
    }

    /// The bucket all tests share.
    pub(crate) const BUCKET: &'static str = "archive";

    /// A part of it that nobody else has.
    pub(crate) async fn bucket(&self) -> ObjectStore {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let objects = S3Objects::try_new(S3Options { prefix, ..self.options(Self::BUCKET) }).expect("a client");
        // The port is open a moment before everything behind it is.
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let ready = match objects.ensure_bucket().await {
                Ok(()) => objects.put_new("ready", "x".into()).await.map(|_| ()),
                Err(error) => Err(error),
            };
            match ready {
                Ok(()) => return ObjectStore::s3(objects),
                Err(error) => assert!(Instant::now() < end, "no bucket can be made: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl S3Server {
    /// A part of the shared bucket, straight and through a proxy that spoils answers.
    pub(crate) async fn spoiled(&self) -> (ObjectStore, ObjectStore, FaultProxy) {
        // The bucket is made.
        self.bucket().await;
        let proxy = FaultProxy::before(self.port).await;
        let endpoint = format!("http://127.0.0.1:{}", proxy.port);
        let prefix = format!("spoiled-{}", proxy.port);
        let of = |options: S3Options| ObjectStore::s3(S3Objects::try_new(options).expect("a client"));
        let straight = S3Options { prefix: prefix.clone(), ..self.options(Self::BUCKET) };
        let through = S3Options { prefix, endpoint, ..self.options(Self::BUCKET) };
        (of(straight), of(through), proxy)
    }

    /// A proxy before this server.
    pub(crate) async fn proxy(&self) -> FaultProxy {
        FaultProxy::before(self.port).await
    }
}

/// `MILLRACE_S3_SERVER`, or what `ops/lib/s3.sh` installed.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MILLRACE_S3_SERVER") {
        return path.into();
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("MILLRACE_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("millrace")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/millrace")));
    let folders = cache.and_then(|cache| std::fs::read_dir(cache.join("tools")).ok()).into_iter().flatten().flatten();
    let server = folders.map(|entry| entry.path().join("weed")).filter(|path| Path::is_file(path)).max();
    server.expect("no S3 server: run ops/test once, which installs it, or set MILLRACE_S3_SERVER")
}
