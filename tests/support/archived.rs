//! A platform that archives to two S3 servers, and what one does with such an archive.

use super::{Client, FaultProxy, Platform, S3Server, eventually, millrace};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
};
use workers::archive::{
    ObjectStore,
    backend::s3::{S3Objects, S3Options},
};

/// Two providers with a part of their buckets that nobody else has, and a folder for data directories and files.
pub(crate) struct Archived {
    pub(crate) dir: tempfile::TempDir,
    prefix: String,
}

impl Archived {
    pub(crate) async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for server in Self::servers() {
            // The bucket is made.
            server.bucket().await;
        }
        let prefix = format!("platform-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { dir: tempfile::tempdir().expect("a temporary folder"), prefix }
    }

    pub(crate) fn servers() -> [&'static S3Server; 2] {
        [S3Server::north(), S3Server::south()]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn address(&self, server: &S3Server) -> String {
        server.address(&format!("{}/{}", S3Server::BUCKET, self.prefix))
    }

    /// What makes `millrace up` archive to both.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let [north, south] = Self::servers().map(|server| {
            let credentials = server.credentials(self.dir.path());
            let name = server.provider();
            (format!("{name}={}", self.address(server)), format!("{name}={}", credentials.display()))
        });
        vec![
            ("MILLRACE_ARCHIVE", format!("{},{}", north.0, south.0)),
            ("MILLRACE_ARCHIVE_CREDENTIALS", format!("{},{}", north.1, south.1)),
        ]
    }

    /// A platform in a folder of this one's; started again there it has the data of before.
    pub(crate) fn platform(&self, name: &str) -> Platform {
        self.platform_with(name, &[])
    }

    pub(crate) fn platform_with(&self, name: &str, more: &[(&'static str, String)]) -> Platform {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let environment = [self.environment(), more.to_vec()].concat();
        Platform::open_with(&folder, &environment)
    }

    /// The same, asking one server through a proxy.
    pub(crate) fn platform_through(
        &self,
        name: &str,
        server: &S3Server,
        proxy: &FaultProxy,
        more: &[(&'static str, String)],
    ) -> Platform {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut environment = self.environment();
        let straight = server.address("");
        let through = format!("http://127.0.0.1:{}/", proxy.port);
        for (_, value) in &mut environment {
            *value = value.replace(&straight, &through);
        }
        environment.extend_from_slice(more);
        Platform::open_with(&folder, &environment)
    }

    /// Its objects, to look at and to damage.
    pub(crate) fn objects(&self, server: &S3Server) -> ObjectStore {
        let options = S3Options { prefix: self.prefix.clone(), ..server.options(S3Server::BUCKET) };
        ObjectStore::s3(S3Objects::try_new(options).expect("a client"))
    }

    /// `millrace restore` of the platform in `of` into the data directory of `into`.
    pub(crate) fn restore(&self, server: &S3Server, of: &str, into: &str, more: &[&str]) -> Output {
        let target = self.path(into).join("data");
        std::fs::create_dir_all(self.path(into)).expect("a folder");
        let root_key = self.path(of).join("data/keys/root.key");
        let mut arguments = vec!["restore", "--into", text(&target), "--root-key", text(&root_key)];
        arguments.extend_from_slice(more);
        self.ask(server, of, &arguments)
    }

    /// A command that reads one provider.
    pub(crate) fn ask(&self, server: &S3Server, of: &str, arguments: &[&str]) -> Output {
        let (from, credentials) = (self.address(server), server.credentials(self.dir.path()));
        let from = format!("{}={from}", server.provider());
        let key = self.path(of).join("data/keys/archive.key");
        let source = ["--from", &from, "--credentials", text(&credentials), "--archive-key", text(&key)];
        millrace(&[arguments, &source].concat(), &[])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Waits until every provider has everything, and until it was read back.
pub(crate) async fn all_archived(platform: &Platform) {
    archived_by(&platform.client()).await;
}

/// The same, of the platform that answers this client.
pub(crate) async fn archived_by(client: &Client) {
    eventually("everything is archived", 60, async || {
        let ready = client.get("/readyz").send().await.json();
        let (events, facts) = (ready["log_position"].as_u64(), ready["facts_position"].as_u64());
        let status = client.get("/v1/protection").send().await.expect(200).json();
        let providers = status["providers"].as_array().cloned().unwrap_or_default();
        let streams: Vec<Value> =
            providers.iter().flat_map(|one| one["streams"].as_array().cloned().unwrap_or_default()).collect();
        streams.len() == 2 * providers.len()
            && streams.iter().all(|stream| {
                let last = if stream["stream"] == "EV_eu1" { events } else { facts };
                last.is_some() && stream["archived"].as_u64() == last && stream["confirmed"].as_u64() == last
            })
    })
    .await;
}
