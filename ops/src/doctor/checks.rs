//! The checks, one function each.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::data_dir::{self, DataDirError, FORMAT_VERSION, Inspection};
use crate::nats;

/// Atomic batches, on which every commit relies, came with this version of the server.
const MIN_NATS: (u32, u32) = (2, 12);

const DISK_WARN: u64 = 5_000_000_000;
const DISK_FAIL: u64 = 500_000_000;

/// A commit waits for one flush, so a disk slower than this makes every action of a user slow.
const SYNC_WARN: Duration = Duration::from_millis(50);
const SYNC_TRIES: u32 = 5;

/// The read store and the search index keep hundreds of files open, each connection one more.
const FILES_WARN: u64 = 4096;
const FILES_FAIL: u64 = 512;

/// 2026-01-01T00:00:00Z in seconds: this program is younger, so a clock before it is wrong.
const EARLIEST: u64 = 1_767_225_600;

/// A file's time and the clock may differ by this much.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

const PROGRAM_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn all(data_dir: &Path, listen: SocketAddr) -> Vec<Check> {
    let inspection = data_dir::inspect(data_dir);
    let running = matches!(inspection, Ok(Inspection::InUse { .. }));
    let disk = nearest_existing(data_dir);
    vec![
        nats_server(),
        data_directory(data_dir, &inspection),
        leftover_server(data_dir, running),
        disk_space(&disk),
        durable_writes(&disk),
        port(listen, running),
        open_files(getrlimit(Resource::Nofile).current),
        clock(data_dir, &disk),
    ]
}

fn nats_server() -> Check {
    const NAME: &str = "nats-server";
    let install = format!("run ./ops/up, which installs nats-server {}", nats::PINNED_VERSION);
    let binary = match nats::find_binary() {
        Ok(binary) => binary,
        Err(error) => return Check::fail(NAME, "nats-server was not found.", error.to_string()),
    };
    let place = binary.display();
    let Some(text) = output_of(&binary, "--version") else {
        return Check::fail(NAME, format!("{place} does not tell its version."), install);
    };
    match parse_version(&text) {
        Some(version) if version < MIN_NATS => Check::fail(
            NAME,
            format!(
                "{place} is version {}.{}, at least {}.{} is needed.",
                version.0, version.1, MIN_NATS.0, MIN_NATS.1
            ),
            install,
        ),
        Some(_) if text.trim().ends_with(&format!("v{}", nats::PINNED_VERSION)) => {
            Check::ok(NAME, format!("{place} is version {}.", nats::PINNED_VERSION))
        }
        Some(_) => Check::warn(
            NAME,
            format!("{place} says \"{}\", tested is {}.", text.trim(), nats::PINNED_VERSION),
            "unset MILLRACE_NATS_SERVER to use the tested version",
        ),
        None => Check::fail(NAME, format!("{place} is no nats-server."), install),
    }
}

/// Standard output of `program argument`, bounded in time and size.
fn output_of(program: &Path, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + PROGRAM_PATIENCE;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                // It is ours and hangs; that it may end this very moment is fine.
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
        }
    };
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(child.stdout.take()?, 4096), &mut text).ok()?;
    ended.then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Major and minor of `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn data_directory(path: &Path, inspection: &Result<Inspection, DataDirError>) -> Check {
    const NAME: &str = "data directory";
    let place = path.display();
    let format = match inspection {
        Err(error) => return Check::fail(NAME, format!("{place} cannot be used."), chain(error)),
        Ok(Inspection::Missing | Inspection::Empty) => None,
        Ok(Inspection::Foreign) => {
            let error = DataDirError::Foreign { path: path.to_owned() };
            return Check::fail(NAME, error.to_string(), "give the right directory with --data-dir");
        }
        Ok(Inspection::Idle { format } | Inspection::InUse { format, .. }) => Some(*format),
    };
    if let Some(found) = format.filter(|format| *format > FORMAT_VERSION) {
        let what = format!("{place} has format {found}, this version of millrace reads up to {FORMAT_VERSION}.");
        return Check::fail(NAME, what, "run the newer version that wrote it");
    }
    if let Err(error) = try_write(&nearest_existing(path), false) {
        let what = format!("{place} cannot be written to: {error}.");
        return Check::fail(NAME, what, "make it belong to this user, or choose another with --data-dir");
    }
    Check::ok(
        NAME,
        match inspection {
            Ok(Inspection::InUse { pid: Some(pid), .. }) => format!("{place} is in use by process {pid}."),
            Ok(Inspection::InUse { pid: None, .. }) => format!("{place} is in use."),
            Ok(Inspection::Idle { format }) => format!("{place} has format {format} and is not in use."),
            _ => format!("{place} will be created at the first start."),
        },
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" ({cause})"));
        source = cause.source();
    }
    text
}

fn leftover_server(data_dir: &Path, running: bool) -> Check {
    const NAME: &str = "leftover server";
    match nats::living_server(data_dir) {
        Some(pid) if running => Check::ok(NAME, format!("nats-server runs as process {pid} and is supervised.")),
        Some(pid) => Check::warn(
            NAME,
            format!("nats-server of this data directory runs as process {pid}, but nobody supervises it."),
            "start millrace, which stops it first",
        ),
        None if running => Check::warn(
            NAME,
            "millrace runs, but its nats-server does not at this moment.",
            "look at logs/nats.log in the data directory if this stays so",
        ),
        None => Check::ok(NAME, "no nats-server was left behind."),
    }
}

fn disk_space(folder: &Path) -> Check {
    const NAME: &str = "disk space";
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge_space(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            Check::fail(NAME, format!("{} tells no free space: {error}.", folder.display()), "check the disk")
        }
    }
}

fn judge_space(free: u64) -> Check {
    const NAME: &str = "disk space";
    let what = format!("{}.{} GB are free.", free / 1_000_000_000, free / 100_000_000 % 10);
    match free {
        ..DISK_FAIL => Check::fail(NAME, what, "free some space now: below 0.5 GB writes will soon be refused"),
        DISK_FAIL..DISK_WARN => Check::warn(NAME, what, "free some space, or move the data directory to a larger disk"),
        _ => Check::ok(NAME, what),
    }
}

fn durable_writes(folder: &Path) -> Check {
    const NAME: &str = "durable writes";
    let mut times = Vec::new();
    for _ in 0..SYNC_TRIES {
        match try_write(folder, true) {
            Ok(time) => times.push(time),
            Err(error) => {
                let what = format!("a file in {} cannot be written and flushed: {error}.", folder.display());
                return Check::fail(NAME, what, "use a local disk that is writable for this user");
            }
        }
    }
    times.sort();
    judge_sync(times[times.len() / 2])
}

fn judge_sync(median: Duration) -> Check {
    const NAME: &str = "durable writes";
    let what =
        format!("writing and flushing 4 kB takes {}.{:01} ms.", median.as_millis(), median.as_micros() / 100 % 10);
    if median > SYNC_WARN {
        return Check::warn(NAME, what, "every commit waits for that: use a local SSD, no network file system");
    }
    Check::ok(NAME, what)
}

/// Writes 4 kB into a new file, flushes it if wanted, removes it, and tells how long writing and flushing took.
fn try_write(folder: &Path, sync: bool) -> io::Result<Duration> {
    let path = folder.join(format!(".millrace-doctor-{}", std::process::id()));
    let begin = Instant::now();
    let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        file.write_all(&[0; 4096])?;
        if sync { file.sync_all() } else { Ok(()) }
    });
    let took = begin.elapsed();
    let removed = fs::remove_file(&path);
    written.and(removed).map(|()| took)
}

fn port(listen: SocketAddr, running: bool) -> Check {
    const NAME: &str = "port";
    match TcpListener::bind(listen) {
        Ok(_) if running => Check::ok(NAME, format!("{listen} is free; the running millrace listens elsewhere.")),
        Ok(_) => Check::ok(NAME, format!("{listen} is free.")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => {
            Check::ok(NAME, format!("{listen} is in use, as it should be while millrace runs."))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Check::fail(
            NAME,
            format!("{listen} is used by another program."),
            "stop that program, or choose another address with --listen",
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::fail(
            NAME,
            format!("{listen} may not be used by this user."),
            "choose a port from 1024 up with --listen, or grant CAP_NET_BIND_SERVICE",
        ),
        Err(error) => {
            Check::fail(NAME, format!("{listen} cannot be listened on: {error}."), "choose an address of this machine")
        }
    }
}

/// `None` is no limit.
fn open_files(limit: Option<u64>) -> Check {
    const NAME: &str = "open files";
    let fix = "raise it: ulimit -n 65536 in a shell, LimitNOFILE=65536 in a systemd unit";
    match limit {
        None => Check::ok(NAME, "the number of open files is not limited."),
        Some(limit @ ..FILES_FAIL) => Check::fail(NAME, format!("only {limit} files may be open at once."), fix),
        Some(limit @ FILES_FAIL..FILES_WARN) => {
            Check::warn(NAME, format!("only {limit} files may be open at once."), fix)
        }
        Some(limit) => Check::ok(NAME, format!("{limit} files may be open at once.")),
    }
}

fn clock(data_dir: &Path, disk: &Path) -> Check {
    #[expect(clippy::disallowed_methods, reason = "the ambient clock itself is what this check is about")]
    let now = SystemTime::now();
    judge_clock(now, modified(&data_dir.join("FORMAT")), time_of_new_file(disk))
}

fn judge_clock(now: SystemTime, data_dir_made: Option<SystemTime>, file_made: Option<SystemTime>) -> Check {
    const NAME: &str = "clock";
    let fix = "set the clock and keep it right with an NTP service: times in the log are never corrected";
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since_epoch.as_secs() < EARLIEST {
        return Check::fail(NAME, "the clock shows a time before 2026.", fix);
    }
    if data_dir_made.is_some_and(|made| made > now + CLOCK_TOLERANCE) {
        return Check::fail(NAME, "the clock shows a time before the data directory was made.", fix);
    }
    let skew = file_made.map(|made| made.duration_since(now).unwrap_or_else(|earlier| earlier.duration()));
    match skew {
        Some(skew) if skew > CLOCK_TOLERANCE => {
            Check::warn(NAME, format!("the clock and the disk's times differ by {} s.", skew.as_secs()), fix)
        }
        _ => Check::ok(NAME, "the clock agrees with the disk's times."),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn time_of_new_file(folder: &Path) -> Option<SystemTime> {
    let path = folder.join(format!(".millrace-clock-{}", std::process::id()));
    fs::write(&path, b"x").ok()?;
    let time = modified(&path);
    // A file that stays is a nuisance and no wrong clock.
    let _ = fs::remove_file(&path);
    time
}

/// The directory itself, or the nearest one above it that exists: there it would be created.
fn nearest_existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|folder| folder.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_healthy_machine_passes_and_keeps_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let checks = all(&path, free);
        for name in ["data directory", "leftover server", "durable writes", "port", "clock"] {
            let check = checks.iter().find(|check| check.name == name).unwrap();
            assert_ne!(check.verdict, Verdict::Fail, "{check:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_running_platform_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let _dir = data_dir::DataDir::open(folder.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inspection = data_dir::inspect(folder.path());
        let check = data_directory(folder.path(), &inspection);
        assert!(check.what.contains("in use by process"), "{check:?}");
        assert_eq!(port(address, true).verdict, Verdict::Ok);
        assert_eq!(port(address, false).verdict, Verdict::Fail);
        assert_eq!(leftover_server(folder.path(), false).verdict, Verdict::Ok);
    }

    #[test]
    fn wrong_directories_fail_with_a_fix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "99").unwrap();
        let newer = data_directory(folder.path(), &data_dir::inspect(folder.path()));
        assert!(newer.verdict == Verdict::Fail && newer.what.contains("format 99"), "{newer:?}");
        fs::rename(folder.path().join("FORMAT"), folder.path().join("other")).unwrap();
        let foreign = data_directory(folder.path(), &data_dir::inspect(folder.path()));
        assert!(foreign.verdict == Verdict::Fail && foreign.fix.is_some(), "{foreign:?}");
    }

    #[test]
    fn bounds_are_judged() {
        assert_eq!(judge_space(DISK_FAIL - 1).verdict, Verdict::Fail);
        assert_eq!(judge_space(DISK_FAIL).verdict, Verdict::Warn);
        assert_eq!(judge_space(DISK_WARN).what, "5.0 GB are free.");
        assert_eq!(judge_sync(Duration::from_micros(1_250)).what, "writing and flushing 4 kB takes 1.2 ms.");
        assert_eq!(judge_sync(Duration::from_millis(51)).verdict, Verdict::Warn);
        let verdicts = [Some(100), Some(1024), Some(65536), None].map(|limit| open_files(limit).verdict);
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Warn, Verdict::Ok, Verdict::Ok]);
    }

    #[test]
    fn a_wrong_clock_is_found() {
        let good = SystemTime::UNIX_EPOCH + Duration::from_secs(EARLIEST + 1_000_000);
        let later = good + Duration::from_secs(60);
        assert_eq!(judge_clock(good, Some(good), Some(good)).verdict, Verdict::Ok);
        assert_eq!(judge_clock(SystemTime::UNIX_EPOCH, None, None).verdict, Verdict::Fail);
        assert_eq!(judge_clock(good, Some(later), None).verdict, Verdict::Fail);
        assert_eq!(judge_clock(later, Some(good), Some(good)).verdict, Verdict::Warn);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(parse_version("GNU bash, version 5"), None);
        assert_eq!(output_of(Path::new("/bin/echo"), "hi").as_deref(), Some("hi\n"));
        assert_eq!(output_of(Path::new("/bin/false"), "hi"), None);
    }
}
