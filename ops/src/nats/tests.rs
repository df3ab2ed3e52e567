//! The supervision against the real program: `ops/test` provides it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nkeys::KeyPair;
use rustix::process::Signal;

use super::*;

/// Set for the copy of this test program that plays the platform which is killed.
const PARENT_VARIABLE: &str = "MILLRACE_TEST_PARENT_DIR";

fn options(data_dir: &Path) -> NatsOptions {
    let binary = find_binary().expect("these tests need nats-server: run them with ops/test");
    NatsOptions { max_file_store: Some(64 << 20), ..NatsOptions::new(binary, data_dir) }
}

fn skip_slow() -> bool {
    std::env::var_os("MILLRACE_SKIP_SLOW").is_some()
}

async fn running_pid(server: &NatsServer) -> u32 {
    let mut state = server.state();
    let found = tokio::time::timeout(
        Duration::from_secs(10),
        state.wait_for(|state| matches!(state, ServerState::Running { .. })),
    );
    let found = found.await.expect("the server does not run within 10 s").unwrap();
    match *found {
        ServerState::Running { pid, .. } => pid,
        _ => unreachable!(),
    }
}

/// Waits until a process is gone, at most two seconds.
fn is_gone(pid: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if process::start_ticks(pid).is_none() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Speaks the first lines of the protocol and returns the server's answer to PING.
fn sign_in(port: u16, pair: Option<&KeyPair>) -> String {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut info = String::new();
    reader.read_line(&mut info).unwrap();
    let info: serde_json::Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    let connect = match pair {
        Some(pair) => {
            let signature = pair.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
            serde_json::json!({ "verbose": false, "nkey": pair.public_key(), "sig": base64url(&signature) })
        }
        None => serde_json::json!({ "verbose": false }),
    };
    write!(&stream, "CONNECT {connect}\r\nPING\r\n").unwrap();
    let mut answer = String::new();
    reader.read_line(&mut answer).unwrap();
    answer.trim().to_owned()
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * index)) as usize & 63]));
        }
    }
    out
}

#[tokio::test]
async fn starts_admits_only_its_user_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let server = NatsServer::start(options(folder.path())).await.unwrap();
    let pid = running_pid(&server).await;
    let Endpoint { port, seed } = server.endpoint().clone();
    assert_eq!(server.endpoint().url(), format!("nats://127.0.0.1:{port}"));
    assert!(probe::greeting(port, Duration::from_secs(1)).unwrap().jetstream);

    assert_eq!(sign_in(port, Some(&KeyPair::from_seed(&seed).unwrap())), "PONG");
    assert_eq!(sign_in(port, Some(&KeyPair::new_user())), "-ERR 'Authorization Violation'");
    assert_eq!(sign_in(port, None), "-ERR 'Authorization Violation'");

    assert_eq!(living_server(folder.path()), Some(pid));
    assert_eq!(Endpoint::of_running(folder.path()).unwrap().seed, seed);
    let config = std::fs::read_to_string(folder.path().join("nats/nats.conf")).unwrap();
    assert!(!config.contains(&seed));

    let mut state = server.state();
    server.stop().await;
    assert_eq!(*state.borrow_and_update(), ServerState::Stopped);
    assert!(process::start_ticks(pid).is_none());
    assert!(Endpoint::of_running(folder.path()).is_none());
    let log = std::fs::read_to_string(folder.path().join("logs/nats.log")).unwrap();
    assert!(log.contains("Server is ready"), "{log}");

    // The next start takes the same port and the same key.
    let again = NatsServer::start(options(folder.path())).await.unwrap();
    assert_eq!((again.endpoint().port, &again.endpoint().seed), (port, &seed));
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port() {
    if skip_slow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = NatsServer::start(options(folder.path())).await.unwrap();
    let first = running_pid(&server).await;
    let mut state = server.state();
    state.mark_unchanged();
    let killed = Instant::now();
    process::send(first, Signal::KILL);
    state.changed().await.unwrap();
    let second = running_pid(&server).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    assert_ne!(first, second);
    let pair = KeyPair::from_seed(&server.endpoint().seed).unwrap();
    assert_eq!(sign_in(server.endpoint().port, Some(&pair)), "PONG");
    assert_eq!(living_server(folder.path()), Some(second));
    drop(server);
    assert!(is_gone(second));
}

#[tokio::test]
async fn two_data_directories_do_not_meet() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = NatsServer::start(options(one.path())).await.unwrap();
    let second = NatsServer::start(options(two.path())).await.unwrap();
    assert_ne!(first.endpoint().port, second.endpoint().port);
    let pair = KeyPair::from_seed(&first.endpoint().seed).unwrap();
    assert_eq!(sign_in(second.endpoint().port, Some(&pair)), "-ERR 'Authorization Violation'");
}

#[tokio::test]
async fn an_orphan_is_stopped_before_a_new_start() {
    if skip_slow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    NatsServer::start(options.clone()).await.unwrap().stop().await;
    // The same program on the same configuration, with nobody to supervise it.
    let config = folder.path().canonicalize().unwrap().join("nats/nats.conf");
    let mut command = Command::new(&options.binary);
    command.arg("-c").arg(&config).stderr(Stdio::null()).process_group(0);
    let mut orphan = command.spawn().unwrap();
    let record_path = folder.path().join("nats/server.json");
    let started_ticks = process::start_ticks(orphan.id()).unwrap();
    let id = process::ProcessId { pid: orphan.id(), started_ticks };
    let record = Record { process: Some(id), ..Record::read(&record_path).unwrap() };
    record.write(&record_path).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while probe::greeting(record.port, Duration::from_millis(100)).is_err() {
        assert!(Instant::now() < deadline, "the orphan does not answer");
    }
    assert_eq!(living_server(folder.path()), Some(orphan.id()));

    let server = NatsServer::start(options).await.unwrap();
    assert!(orphan.try_wait().unwrap().is_some(), "the orphan still runs");
    assert_eq!(server.endpoint().port, record.port);
}

/// The part of the platform that is killed in the next test; alone it does nothing.
#[tokio::test]
async fn plays_a_platform_that_waits_to_be_killed() {
    let Some(folder) = std::env::var_os(PARENT_VARIABLE) else { return };
    let _server = NatsServer::start(options(Path::new(&folder))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
}

#[test]
fn the_server_does_not_outlive_a_killed_platform() {
    if skip_slow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nats::tests::plays_a_platform_that_waits_to_be_killed"])
        .env(PARENT_VARIABLE, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let endpoint = loop {
        let found = Endpoint::of_running(folder.path());
        match found.filter(|found| probe::greeting(found.port, Duration::from_millis(100)).is_ok()) {
            Some(endpoint) => break endpoint,
            None => assert!(Instant::now() < deadline, "the server of the other process does not answer"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let pid = living_server(folder.path()).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    if process::setpriv().is_some() {
        assert!(is_gone(pid), "the kernel did not kill the server with its parent");
    } else {
        // Without the kernel's help the next start is the one that clears up.
        Record::read(&folder.path().join("nats/server.json")).unwrap().stop_orphan().unwrap();
    }
    assert!(probe::greeting(endpoint.port, Duration::from_millis(100)).is_err());
}

#[tokio::test]
async fn says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let missing = NatsOptions { binary: "/no/such/nats-server".into(), ..options(folder.path()) };
    let message = NatsServer::start(missing).await.unwrap_err().to_string();
    assert!(message.contains("no nats-server was found at /no/such/nats-server: run ./ops/up once"), "{message}");

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let used = NatsOptions { listen_port: Some(port), ..options(folder.path()) };
    assert!(matches!(NatsServer::start(used).await, Err(NatsError::PortUsed { port: found }) if found == port));

    std::fs::write(folder.path().join("file"), "").unwrap();
    let blocked = NatsOptions { store_dir: folder.path().join("file/store"), ..options(folder.path()) };
    let message = NatsServer::start(blocked).await.unwrap_err().to_string();
    assert!(message.contains("file/store cannot be written to"), "{message}");

    let not_a_server = NatsOptions { binary: "/bin/false".into(), ..options(folder.path()) };
    let begin = Instant::now();
    let message = NatsServer::start(not_a_server).await.unwrap_err().to_string();
    assert!(message.contains("nats-server ended while starting (exit status: 1): it said nothing"), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}
