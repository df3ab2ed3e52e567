//! A running platform: the binary `millrace` over a folder of its own.

use crate::{
    AnyError,
    http::Connection,
    process::{Process, processor_time, resident},
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What the platform says of itself once it serves.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ready {
    /// Absent in roles that answer no requests.
    url: Option<String>,
    tenant: String,
    api_key: String,
    pid: u32,
    nats_pid: Option<u32>,
}

pub(crate) struct Platform {
    ready: Ready,
    address: SocketAddr,
    // Stopped before its folder goes.
    _process: Process,
    folder: tempfile::TempDir,
}

impl Platform {
    /// An empty one, or one with the demo data.
    pub(crate) fn start(demo: bool) -> Result<Self, AnyError> {
        Self::start_with(demo, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(demo: bool, environment: &[(&str, String)]) -> Result<Self, AnyError> {
        let arguments: &[&str] = if demo { &["up"] } else { &["up", "--no-demo"] };
        Self::run(arguments, environment)
    }

    /// One process with a role, over servers that run elsewhere. The first one that answers requests has a login.
    pub(crate) fn join(role: &str, environment: &[(&str, String)]) -> Result<Self, AnyError> {
        let mut joined = Self::run(&["run", "--role", role], environment)?;
        if let Ok(login) = fs::read(joined.data_dir().join("keys/admin.json")) {
            let login: Ready = serde_json::from_slice(&login)?;
            (joined.ready.tenant, joined.ready.api_key) = (login.tenant, login.api_key);
        }
        Ok(joined)
    }

    fn run(arguments: &[&str], environment: &[(&str, String)]) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("ready.json");
        let mut command = Command::new(binary()?);
        command.args(arguments).arg("--data-dir").arg(folder.path().join("data"));
        command.args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&file).stdout(Stdio::null());
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let mut process = Process::start(command)?;
        let end = Instant::now() + Duration::from_secs(180);
        let ready: Ready = loop {
            if let Some(ready) = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                break ready;
            }
            process.check()?;
            if Instant::now() > end {
                return Err("the platform did not become ready within three minutes".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = match &ready.url {
            Some(url) => url.trim_start_matches("http://").parse()?,
            None => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        Ok(Self { ready, address, _process: process, folder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> &str {
        self.ready.url.as_deref().unwrap_or_default()
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.ready.tenant
    }

    pub(crate) fn key(&self) -> &str {
        &self.ready.api_key
    }

    pub(crate) async fn connect(&self) -> Result<Connection, AnyError> {
        Ok(Connection::open(self.address).await?)
    }

    /// The bytes of a request with the platform's own key.
    pub(crate) fn request(&self, method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
        let key = self.key();
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        format!(
            "{method} {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n{content}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Waits until every view and search stand where the log stands.
    pub(crate) async fn settle(&self) -> Result<(), AnyError> {
        let mut connection = self.connect().await?;
        let end = Instant::now() + Duration::from_secs(600);
        loop {
            let request = self.request("GET", "/readyz", "", "");
            let readiness: Value = serde_json::from_slice(connection.send(&request).await?.body)?;
            let last = readiness["log_position"].as_u64().unwrap_or(u64::MAX);
            let views = readiness["views"].as_array().map(Vec::as_slice).unwrap_or_default();
            let facts = readiness["facts_position"].as_u64().unwrap_or(0);
            let stands = |view: &Value| view["position"].as_u64().is_some_and(|at| at >= last || at == facts);
            let search = readiness["search_position"].as_u64().is_some_and(|at| at >= last);
            if search && views.iter().all(stands) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("the views do not catch up: {readiness}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until every provider has everything.
    pub(crate) async fn archived(&self) -> Result<(), AnyError> {
        let mut connection = self.connect().await?;
        let end = Instant::now() + Duration::from_secs(120);
        let request = self.request("GET", "/v1/protection", "", "");
        loop {
            let status: Value = serde_json::from_slice(connection.send(&request).await?.expect(200)?)?;
            let providers = status["providers"].as_array().map(Vec::as_slice).unwrap_or_default();
            if providers.iter().all(|provider| provider["rpo_events"] == 0) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("the archives do not catch up: {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Address, access key and secret key of one of its local providers.
    pub(crate) fn local_provider(&self, name: &str) -> Result<(String, String, String), AnyError> {
        let folder = self.folder.path().join("data/providers").join(name);
        let record: Value = serde_json::from_slice(&fs::read(folder.join("server.json"))?)?;
        let port = record["ports"][6].as_u64().ok_or("no port in the record")?;
        let text = fs::read_to_string(folder.join("credentials"))?;
        let mut lines = text.lines().map(str::to_owned);
        let (access, secret) = (lines.next().ok_or("no access key")?, lines.next().ok_or("no secret key")?);
        Ok((format!("http://127.0.0.1:{port}/archive"), access, secret))
    }

    /// Processor time the platform and its nats-server have used.
    pub(crate) fn processor_time(&self) -> Result<(Duration, Duration), AnyError> {
        let log = self.ready.nats_pid.ok_or("the platform names no nats-server")?;
        Ok((processor_time(self.ready.pid)?, processor_time(log)?))
    }

    /// Processor time this process alone has used.
    pub(crate) fn own_processor_time(&self) -> Result<Duration, AnyError> {
        processor_time(self.ready.pid)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Resident bytes of the platform and of its nats-server.
    pub(crate) fn resident(&self) -> Result<(u64, u64), AnyError> {
        let log = self.ready.nats_pid.ok_or("the platform names no nats-server")?;
        Ok((resident(self.ready.pid)?, resident(log)?))
    }
}

/// `MILLRACE_BIN`, or what was built beside this program.
fn binary() -> Result<PathBuf, AnyError> {
    if let Some(path) = std::env::var_os("MILLRACE_BIN") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe()?.with_file_name("millrace");
    if beside.is_file() { Ok(beside) } else { Err("no millrace beside this program: run ops/bench".into()) }
}
