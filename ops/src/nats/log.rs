//! The output of the supervised server: into a rotated file, into tracing, and its last lines kept for error messages.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A line longer than this (bytes) is cut into several.
const MAX_LINE: u64 = 16 << 10;

/// The file is rotated beyond this size (bytes), and this many older ones are kept.
const MAX_FILE: u64 = 8 << 20;
const KEPT_FILES: u32 = 3;

/// This many lines are kept to explain why the server ended.
const TAIL_LINES: usize = 8;

/// What a line of the server says about its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It restores the log from its files, which takes as long as the log is large.
    Restoring,
}

/// A log file that is renamed to `NAME.1` (`.2`, ...) when it is full.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
}

impl RotatedFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_max_size(path, MAX_FILE)
    }

    fn with_max_size(path: &Path, max_size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max_size })
    }

    pub(crate) fn write_line(&mut self, line: &str) -> io::Result<()> {
        if self.size >= self.max_size {
            self.rotate()?;
        }
        self.size += line.len() as u64 + 1;
        writeln!(self.file, "{line}")
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT_FILES).rev() {
            if numbered(number).exists() {
                fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        *self = Self::with_max_size(&self.path, self.max_size)?;
        Ok(())
    }
}

/// Copies the server's output until it ends, and returns the last lines.
///
/// A log that cannot be written is said once and does not stop the copying: a server whose output nobody reads blocks.
pub(crate) fn copy(output: impl Read, mut file: Option<RotatedFile>, mut notice: impl FnMut(Notice)) -> Vec<String> {
    let mut reader = BufReader::new(output);
    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "the output of nats-server can no longer be read");
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end();
        if line.is_empty() {
            continue;
        }
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_line(line)) {
            tracing::warn!(%error, "the log file of nats-server cannot be written, its output goes only to this log");
            file = None;
        }
        trace(line);
        if line.contains("Starting restore for stream") {
            notice(Notice::Restoring);
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(message(line).to_owned());
    }
    tail.into()
}

/// The server's everyday lines are our details: its start is reported by us in one line.
fn trace(line: &str) {
    let text = message(line);
    if line.contains("[ERR]") || line.contains("[FTL]") {
        tracing::error!(target: "nats", "{text}");
    } else if line.contains("[WRN]") {
        tracing::warn!(target: "nats", "{text}");
    } else {
        tracing::debug!(target: "nats", "{text}");
    }
}

/// The line without `[pid] date time [LEVEL]`.
fn message(line: &str) -> &str {
    ["[INF] ", "[WRN] ", "[ERR] ", "[FTL] ", "[DBG] "]
        .iter()
        .find_map(|level| line.split_once(level))
        .map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_without_their_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nats.log");
        let mut text: String = (0..20).map(|n| format!("[7] 2026/01/01 10:00:00.000001 [INF] line {n}\n\n")).collect();
        text.push_str("[7] 2026/01/01 10:00:00.000001 [INF]   Starting restore for stream 'a'\n");
        text.push_str("[7] 2026/01/01 10:00:00.000001 [FTL] the end");
        let mut notices = Vec::new();
        let tail = copy(text.as_bytes(), Some(RotatedFile::open(&path).unwrap()), |notice| notices.push(notice));
        assert_eq!(tail.last().map(String::as_str), Some("the end"));
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(notices, [Notice::Restoring]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 22);
    }

    #[test]
    fn long_and_broken_lines_are_bounded() {
        let mut bytes = vec![b'a'; 3 * MAX_LINE as usize];
        bytes.extend([0xff, 0xfe, b'\n']);
        let tail = copy(bytes.as_slice(), None, |_| {});
        assert_eq!(tail.len(), 4);
        assert!(tail.iter().all(|line| line.len() <= MAX_LINE as usize));
    }

    #[test]
    fn rotates_and_forgets_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nats.log");
        let mut file = RotatedFile::with_max_size(&path, 10).unwrap();
        for n in 0..10 {
            file.write_line(&format!("number {n:04}")).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["nats.log", "nats.log.1", "nats.log.2", "nats.log.3"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "number 0009\n");
        assert_eq!(fs::read_to_string(folder.path().join("nats.log.3")).unwrap(), "number 0006\n");
    }
}
