//! What keeps a platform from starting is said in one sentence that tells what to do.

use crate::support::{Platform, binary, millrace, only_embedded};
use serde_json::json;
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Starts a platform that cannot start; gives its one sentence.
fn refusal(data_dir: &Path, listen: &str, environment: &[(&str, &str)]) -> String {
    let data_dir = data_dir.to_str().expect("UTF-8");
    let output = millrace(&["up", "--no-demo", "--data-dir", data_dir, "--listen", listen], environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.status.code() != Some(124), "{}: {said}", output.status);
    let log = |line: &&str| line.contains(" INFO ") || line.contains(" WARN ") || line.contains(" ERROR ");
    let plain: Vec<&str> = said.lines().filter(|line| !log(line) && !line.trim().is_empty()).collect();
    assert_eq!(plain.len(), 1, "one sentence is expected:\n{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    assert!(plain[0].starts_with("millrace: "), "{said}");
    plain[0].to_owned()
}

fn says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is missing in: {sentence}");
    }
}

const FREE: &str = "127.0.0.1:0";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_used_port() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let used = TcpListener::bind(FREE).expect("a port");
    let address = used.local_addr().expect("an address").to_string();
    let sentence = refusal(&dir.path().join("data"), &address, &[]);
    says(&sentence, &[&address, "--listen"]);
    assert!(!dir.path().join("data/nats").exists(), "nothing was begun");
}

#[test]
fn a_missing_log_server() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let nowhere = dir.path().join("no-such-server");
    let named = [("MILLRACE_NATS_SERVER", nowhere.to_str().expect("UTF-8"))];
    says(&refusal(&dir.path().join("one"), FREE, &named), &["nats-server", "no-such-server", "./ops/up"]);
    let program = dir.path().join("liar");
    std::fs::write(&program, "#!/bin/sh\necho not today >&2\nexit 3\n").expect("written");
    let made = Command::new("chmod").arg("+x").arg(&program).status();
    assert!(made.is_ok_and(|status| status.success()));
    let named = [("MILLRACE_NATS_SERVER", program.to_str().expect("UTF-8"))];
    says(&refusal(&dir.path().join("two"), FREE, &named), &["nats-server", "not today", "nats.log"]);
}

#[test]
fn a_data_directory_in_use() {
    if only_embedded("it is the data directory of `millrace up`") {
        return;
    }
    let platform = Platform::own();
    let sentence = refusal(&platform.data_dir, FREE, &[]);
    says(&sentence, &["already in use", &platform.ready.pid.to_string(), "--data-dir"]);
}

#[test]
fn a_data_directory_of_a_newer_version() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("FORMAT"), "77\n").expect("written");
    says(&refusal(dir.path(), FREE, &[]), &["format 77", "newer version"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("FORMAT")).expect("still there"), "77\n");
}

#[test]
fn a_directory_of_somebody_else() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
    says(&refusal(dir.path(), FREE, &[]), &["not empty", "choose"]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("still there").count(), 1);
}

#[test]
fn a_lost_root_key() {
    if only_embedded("it is the data directory of `millrace up`; roles.rs tells of a missing root key") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    drop(Platform::open(dir.path()));
    let data = dir.path().join("data");
    std::fs::write(data.join("keys/root.key"), "garbage").expect("written");
    says(&refusal(&data, FREE, &[]), &["root key", "root.key"]);
}

/// A file system of a few megabytes, gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn try_new(folder: &Path, megabytes: u32) -> Option<Self> {
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "millrace"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Leaves this much room, in kilobytes.
    fn fill(&self, room: usize) {
        let filler = self.0.join("filler");
        // Writes until the disk is full, then gives a little back.
        let mut file = std::fs::File::create(&filler).expect("a file");
        while std::io::Write::write_all(&mut file, &[7; 16_384]).is_ok() {}
        let full = file.metadata().expect("its size").len();
        file.set_len(full.saturating_sub(room as u64 * 1024)).expect("cut");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = SmallDisk::try_new(folder.path(), 8) else {
        eprintln!("passed over: this user may not mount a small file system, so no disk is full");
        return;
    };
    for room in [0, 16, 64] {
        disk.fill(room);
        let sentence = refusal(&folder.path().join(format!("data{room}")), FREE, &[]);
        assert!(sentence.contains("space"), "with {room} kB of room: {sentence}");
    }
}

/// What was acknowledged is there when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up() {
    if only_embedded("it is the disk under the log of `millrace up`") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = SmallDisk::try_new(folder.path(), 200) else {
        eprintln!("passed over: this user may not mount a small file system, so no disk is full");
        return;
    };
    let platform = Platform::open(folder.path());
    let client = platform.client();
    let mut made = Vec::new();
    for number in 0..50 {
        made.push(client.make("/v1/contacts", &json!({"email": format!("c{number}@x.example")})).await);
    }
    disk.fill(20 * 1024);
    let ended = tokio::task::spawn_blocking(move || (platform.end(), platform.log()));
    let (code, log) = tokio::time::timeout(PATIENCE, ended).await.expect("it ends by itself").expect("no panic");
    assert_eq!(code, Some(1), "{log}");
    let sentence = log.lines().last().unwrap_or_default();
    says(sentence, &["millrace: ", "disk", "is full", "free some space"]);
    assert!(!log.contains("panicked"), "{log}");
    says(&refusal(&folder.path().join("data"), FREE, &[]), &["is full", "free some space"]);
    std::fs::remove_file(folder.path().join("filler")).expect("removed");
    let platform = Platform::open(folder.path());
    let client = client.at(&platform.ready.url);
    for id in made {
        client.read(&format!("/v1/contacts/{id}")).await.expect(200);
    }
    drop(platform);
    drop(disk);
}

#[test]
fn the_binary_tells_how_to_use_it() {
    let help = Command::new(binary()).arg("--help").output().expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    says(&help, &["millrace up", "doctor", "events", "views"]);
    let wrong = Command::new(binary()).arg("upp").output().expect("it runs");
    assert!(!wrong.status.success());
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut doctor = Command::new(binary());
    doctor.args(["doctor", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
    let mut child = doctor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
}
