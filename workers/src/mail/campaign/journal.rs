//! The worker's own journal: one small file for each open window.
//!
//! A line goes in before a mail is handed over and one after its answer, each in one `write`. They are not synced: the
//! kernel keeps them when the process is killed, and that is the case they are for. When the machine itself went down the
//! kernel's memory went too; the file says in which life of the machine it was written, and a line that is missing then
//! proves nothing.
//!
//! ```text
//! worker                 the name of this worker, made once
//! <chunk>-<epoch>        {"tenant":…,"boot":…,"indexes":[…]}, then {"sending":17} and {"outcome":{…}} lines
//! ```

use bus_schema::{
    TenantId,
    ids::random_uuid,
    mail::chunk::{Fate, Outcome},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

const WORKER: &str = "worker";
/// Where Linux names the life of this machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes of one file that are read; a window of 32 has a tenth of it.
const FILE_LIMIT: u64 = 256 * 1024;

/// The journal of one worker. Cheap to clone. A folder belongs to one process at a time.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    worker: String,
    boot: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    tenant: TenantId,
    boot: String,
    indexes: Vec<u16>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Sending(u16),
    Outcome(Outcome),
}

/// The file of an open window.
#[derive(Debug)]
pub(super) struct WindowJournal {
    file: File,
    path: PathBuf,
}

/// What a file says of a window that was not closed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) tenant: TenantId,
    pub(super) chunk: Uuid,
    pub(super) epoch: u32,
    indexes: Vec<u16>,
    /// Written in this life of the machine, so every line is there.
    whole: bool,
    sending: Vec<u16>,
    outcomes: BTreeMap<u16, Outcome>,
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is not there. The folder makes the worker: with another one it
    /// is another worker.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(WORKER);
        let worker = match fs::read_to_string(&path) {
            Ok(name) if Uuid::parse_str(name.trim()).is_ok() => name.trim().to_owned(),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the file `worker` names no worker")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = random_uuid().to_string();
                let beside = folder.join("worker.new");
                let mut file = File::create(&beside)?;
                file.write_all(name.as_bytes())?;
                file.sync_all()?;
                fs::rename(beside, &path)?;
                File::open(folder)?.sync_all()?;
                name
            }
            Err(error) => return Err(error),
        };
        // Without a name of this life nothing is believed to be whole.
        let boot = fs::read_to_string(BOOT).map(|boot| boot.trim().to_owned()).unwrap_or_default();
        Ok(Self(Arc::new(Inner { folder: folder.to_owned(), worker, boot })))
    }

    /// What this worker is called in claims.
    pub fn worker(&self) -> &str {
        &self.0.worker
    }

    fn path(&self, chunk: Uuid, epoch: u32) -> PathBuf {
        self.0.folder.join(format!("{chunk}-{epoch}"))
    }

    /// Begins the file of a window. It is there before the window is recorded as attempted.
    pub(super) fn begin(
        &self,
        tenant: &TenantId,
        chunk: Uuid,
        epoch: u32,
        indexes: &[u16],
    ) -> io::Result<WindowJournal> {
        let path = self.path(chunk, epoch);
        let mut open = OpenOptions::new();
        let file = open.create(true).write(true).truncate(true).mode(0o600).open(&path)?;
        let mut journal = WindowJournal { file, path };
        journal.line(&Head { tenant: tenant.clone(), boot: self.0.boot.clone(), indexes: indexes.to_vec() })?;
        Ok(journal)
    }

    /// What is left of the window that was opened in this epoch; nothing when it is another window or there is no file.
    pub(super) fn found(&self, chunk: Uuid, epoch: u32, indexes: &[u16]) -> Option<Found> {
        self.read(chunk, epoch).filter(|found| found.indexes == indexes)
    }

    /// All windows that are left from before.
    pub(super) fn left(&self) -> io::Result<Vec<Found>> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.0.folder)? {
            let name = entry?.file_name();
            let Some((chunk, epoch)) = name.to_str().and_then(|name| name.rsplit_once('-')) else { continue };
            let (Ok(chunk), Ok(epoch)) = (Uuid::parse_str(chunk), epoch.parse()) else { continue };
            match self.read(chunk, epoch) {
                Some(found) => left.push(found),
                // It ended in its first line: nothing was attempted in it.
                None => self.forget(chunk, epoch),
            }
        }
        Ok(left)
    }

    /// Removes a file: its window is closed.
    pub(super) fn forget(&self, chunk: Uuid, epoch: u32) {
        remove(&self.path(chunk, epoch));
    }

    fn read(&self, chunk: Uuid, epoch: u32) -> Option<Found> {
        use io::Read;
        let mut text = Vec::new();
        File::open(self.path(chunk, epoch)).ok()?.take(FILE_LIMIT).read_to_end(&mut text).ok()?;
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let Head { tenant, boot, indexes } = serde_json::from_slice(lines.next()?).ok()?;
        let whole = !self.0.boot.is_empty() && boot == self.0.boot;
        let mut found = Found { tenant, chunk, epoch, indexes, whole, sending: Vec::new(), outcomes: BTreeMap::new() };
        for line in lines {
            match serde_json::from_slice(line) {
                Ok(Line::Sending(index)) => {
                    // To another provider: what the one before said is not its end.
                    found.outcomes.remove(&index);
                    found.sending.push(index);
                }
                Ok(Line::Outcome(outcome)) => _ = found.outcomes.insert(outcome.index, outcome),
                // A damaged line proves nothing about those it could have been about.
                Err(_) => found.whole = false,
            }
        }
        Some(found)
    }
}

impl WindowJournal {
    /// Before a mail is handed over. If this fails it must not be.
    pub(super) fn sending(&mut self, index: u16) -> io::Result<()> {
        self.line(&Line::Sending(index))
    }

    /// After its answer.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        self.line(&Line::Outcome(outcome.clone()))
    }

    /// The window is closed, or was never opened.
    pub(super) fn end(self) {
        remove(&self.path);
    }

    fn line<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)
    }
}

impl Found {
    /// What became of each recipient of the window, in its order: what was answered; unknown, what was being handed
    /// over; still to be sent, what was not reached.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |index: &u16| match self.outcomes.get(index) {
            Some(outcome) => outcome.clone(),
            None if self.whole && !self.sending.contains(index) => Outcome::new(*index, Fate::Unsent),
            None => unknown(*index, "the sending process ended there"),
        };
        self.indexes.iter().map(outcome).collect()
    }
}

/// Nobody can tell.
pub(super) fn unknown(index: u16, cause: &str) -> Outcome {
    Outcome::new(index, Fate::Unknown).because(cause)
}

/// One that stays does no harm: it is of a window that is not open.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a closed window's journal is not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: Uuid = Uuid::from_u128(0xc);

    fn accepted(index: u16) -> Outcome {
        Outcome { provider_id: Some("q1".into()), ..Outcome::new(index, Fate::Accepted) }
    }

    fn fates(found: &Found) -> Vec<Fate> {
        found.outcomes().iter().map(|outcome| outcome.fate).collect()
    }

    fn begun(journal: &Journal) -> WindowJournal {
        let tenant = TenantId::try_new("acme").unwrap();
        journal.begin(&tenant, CHUNK, 2, &[3, 5, 7]).unwrap()
    }

    #[test]
    fn a_killed_window_is_known_up_to_the_mail_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let mut window = begun(&journal);
        window.sending(3).unwrap();
        window.outcome(&accepted(3)).unwrap();
        window.sending(5).unwrap();
        drop(window);
        let again = Journal::open(folder.path()).unwrap();
        assert_eq!(again.worker(), journal.worker());
        let found = again.found(CHUNK, 2, &[3, 5, 7]).unwrap();
        assert_eq!(fates(&found), [Fate::Accepted, Fate::Unknown, Fate::Unsent]);
        assert_eq!(found.outcomes()[0], accepted(3));
        assert_eq!(again.found(CHUNK, 2, &[3, 5]), None, "another window");
        assert_eq!(again.found(CHUNK, 3, &[3, 5, 7]), None, "another epoch");
        assert_eq!(again.left().unwrap(), [found]);
        again.forget(CHUNK, 2);
        assert_eq!(again.left().unwrap(), []);
    }

    #[test]
    fn a_line_that_may_have_been_lost_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let mut window = begun(&journal);
        window.outcome(&accepted(3)).unwrap();
        let path = folder.path().join(format!("{CHUNK}-2"));
        let text = fs::read_to_string(&path).unwrap();
        // The machine went down.
        fs::write(&path, text.replace(&journal.0.boot, "another life")).unwrap();
        let fates_then = fates(&journal.found(CHUNK, 2, &[3, 5, 7]).unwrap());
        assert_eq!(fates_then, [Fate::Accepted, Fate::Unknown, Fate::Unknown]);
        // A line in the middle is damaged.
        fs::write(&path, format!("{text}{{\"sen\n")).unwrap();
        let fates_then = fates(&journal.found(CHUNK, 2, &[3, 5, 7]).unwrap());
        assert_eq!(fates_then, [Fate::Accepted, Fate::Unknown, Fate::Unknown]);
        // A first line that was not written to its end.
        fs::write(&path, "{\"tenant\"").unwrap();
        assert_eq!(journal.left().unwrap(), []);
        assert!(!path.exists());
    }
}
