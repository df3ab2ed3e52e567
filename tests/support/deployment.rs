//! What scenarios run on when they are asked to run on the cluster profile (`MILLRACE_TEST_PROFILE=cluster`): a platform of several
//! `millrace run` processes, on one cluster of three nats-servers that all platforms of the test process share, and one Cassandra for twenty of them. Each
//! platform has an account of its own there and a prefix of its own here.
//!
//! In the folder of a platform, `data` is what its processes share; the keys lie there where `millrace up` has them.

use super::{Cassandra, Member, NatsCluster, Ready, platform::START};
use bus_schema::{
    Cell,
    bus::{BusOptions, BusUser},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use workers::smtp::Roots;

type Environment = Vec<(&'static str, String)>;

/// Whether scenarios run on it.
pub(crate) fn on_cluster() -> bool {
    std::env::var_os("MILLRACE_TEST_PROFILE").is_some_and(|profile| profile == "cluster")
}

/// For a scenario about something only `millrace up` has: whether it is passed over.
pub(crate) fn only_embedded(why: &str) -> bool {
    if on_cluster() {
        println!("passed over on the cluster profile: {why}");
    }
    on_cluster()
}

pub(super) struct Deployment {
    dir: PathBuf,
    environment: Environment,
    /// In the order in which they are stopped: those of the role api, projectors, workers.
    members: Vec<Member>,
    /// Where the workers tell of themselves.
    status: Vec<String>,
}

impl Deployment {
    /// Whether a platform in this folder is one: a folder that `millrace restore` filled is for `millrace up`.
    pub(super) fn fits(dir: &Path) -> bool {
        on_cluster() && !dir.join("data/FORMAT").exists() && !dir.join("data/nats").exists()
    }

    /// Starts one process of the role api and `others` of each other role; `remove` goes with the last of them.
    pub(super) fn start(
        dir: &Path,
        remove: Option<&Path>,
        given: &[(&'static str, String)],
        others: usize,
    ) -> Result<(Self, Ready), String> {
        let data = dir.join("data");
        let environment = [environment(dir, &data), given.to_vec()].concat();
        let roles = [("api", 1), ("projector", others), ("worker", others)];
        let (mut members, mut status) = (Vec::new(), Vec::new());
        for (role, count) in roles {
            for number in 1..=count {
                let mut environment = environment.clone();
                if role == "worker" {
                    status.push(free_address());
                    environment.push(("MILLRACE_STATUS_LISTEN", status[number - 1].clone()));
                }
                let folder = dir.join(format!("{role}-{number}"));
                members.push(Member::begin_and_remove(role, &folder, &environment, remove));
            }
        }
        let mut url = None;
        // A drill may kill a worker before the others are there.
        let is_drill = given.iter().any(|(name, _)| *name == "MILLRACE_CRASH_AT");
        for (number, member) in members.iter_mut().enumerate().rev() {
            url = match member.try_wait() {
                Err(_) if is_drill && number > others => None,
                started => started?,
            };
        }
        let login = members[0].login().ok_or("no login was made")?;
        let text = |name: &str| login[name].as_str().unwrap_or_default().to_owned();
        let ready = Ready {
            url: url.ok_or("no address")?,
            tenant: "main".into(),
            email: text("email"),
            password: text("password"),
            api_key: text("api_key"),
            pid: members[0].pid(),
            nats_pid: None,
            inbox: None,
        };
        await_readiness(&ready.url)?;
        // Where the command finds a platform, and its login.
        secret(&data.join("keys/admin.json"), &login);
        secret(&data.join("ready.json"), &serde_json::to_value(&ready).expect("JSON"));
        Ok((Self { dir: dir.to_owned(), environment, members, status }, ready))
    }

    /// What all its processes said in all their lives.
    pub(super) fn log(&self) -> String {
        let folders = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("member.log")).ok()).collect()
    }

    /// Where its workers tell of themselves.
    pub(super) fn status(&self) -> Vec<String> {
        self.status.clone()
    }

    /// kill -9 of all.
    pub(super) fn kill(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// Ends all in order; the exit code of the first that did not end well, else 0.
    pub(super) fn stop(&mut self) -> Option<i32> {
        _ = std::fs::remove_file(self.dir.join("data/ready.json"));
        let codes: Vec<Option<i32>> = self.members.drain(..).map(Member::stop).collect();
        codes.into_iter().find(|code| *code != Some(0)).unwrap_or(Some(0))
    }

    /// Whether one of its processes ended by itself.
    pub(super) fn lost_one(&mut self) -> bool {
        self.members.iter_mut().any(Member::has_ended)
    }

    /// How its own services reach the log.
    pub(super) fn bus_options(&self) -> BusOptions {
        let setting = |wanted: &str| {
            let found = self.environment.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone()).expect("a setting")
        };
        let credentials = std::fs::read_to_string(setting("MILLRACE_NATS_CREDENTIALS")).expect("credentials");
        let (user, password) = credentials.trim().split_once('\n').expect("a user and a password");
        let authority = std::fs::read(setting("MILLRACE_NATS_CA")).expect("a certificate");
        BusOptions {
            url: setting("MILLRACE_NATS"),
            user: BusUser::Password { user: user.to_owned(), password: password.to_owned() },
            tls: Some(Roots::from_pem(&authority).expect("a certificate").config()),
            cell: Cell::try_new("eu1").expect("a cell"),
            replicas: 3,
        }
    }

    /// Every folder in which something of it is kept.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let views = Cassandra::of_platform(account(&self.dir));
        [self.dir.as_path(), NatsCluster::shared().dir(), views.dir()].map(Path::to_owned).to_vec()
    }
}

/// The settings of all processes of the platform in `dir`, the same ones whenever it is started.
/// The number of a platform's account, for as long as its folder is there.
fn account(dir: &Path) -> u32 {
    let number = dir.join("account");
    let known = std::fs::read_to_string(&number).ok().and_then(|text| text.parse().ok());
    known.unwrap_or_else(|| {
        let account = NatsCluster::free_account();
        std::fs::write(&number, account.to_string()).expect("written");
        account
    })
}

fn environment(dir: &Path, data: &Path) -> Environment {
    let (keys, account) = (data.join("keys"), account(dir));
    std::fs::create_dir_all(&keys).expect("a folder");
    let root = keys.join("root.key");
    if !root.exists() {
        let (one, two) = (bus_schema::ids::random_uuid(), bus_schema::ids::random_uuid());
        std::fs::write(&root, [*one.as_bytes(), *two.as_bytes()].concat()).expect("a key");
    }
    let mut environment = NatsCluster::shared().environment_of(account);
    environment.extend(Cassandra::of_platform(account).environment_of(account, dir));
    environment.push(("MILLRACE_ROOT_KEY", root.display().to_string()));
    environment.push(("MILLRACE_SHARED_DIR", data.display().to_string()));
    environment
}

fn secret(path: &Path, value: &serde_json::Value) {
    _ = std::fs::remove_file(path);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(value.to_string().as_bytes())).expect("written");
}

/// A free port, given back at once.
fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port").to_string()
}

/// As ready as `millrace up` is when it says so.
fn await_readiness(url: &str) -> Result<(), String> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let end = Instant::now() + 2 * START;
    loop {
        let mut said = String::new();
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
            stream.read_to_string(&mut said)
        });
        if asked.is_ok() && said.split_whitespace().nth(1) == Some("200") {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("the platform does not become ready: {said}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
