//! The worker's own journal: one small file for each chunk it sends, which is about the last window of that chunk.
//!
//! A line goes in before a mail is handed over and one after its answer, each in one `write`. They are not synced: the
//! kernel keeps them when the process is killed, and that is the case they are for. When the machine itself went down the
//! kernel's memory went too; the file says in which life of the machine it was written, and a line that is missing then
//! proves nothing.
//!
//! The file is emptied and gets its first line before a window is recorded as attempted. So of an open window it speaks,
//! or it is not there; that it speaks of a closed one is seen by the log, where that window is not open. After the machine
//! went down it may also be as it was for the window before, which can have had the same recipients when none of them was
//! accepted. So of a file of another life only what was accepted is believed.
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

/// The file of a chunk that is sent, for one window after the other. Dropped while no window is open it removes the file; it
/// stays when nobody knows how its window ended.
#[derive(Debug)]
pub(super) struct ChunkJournal {
    journal: Journal,
    tenant: TenantId,
    chunk: Uuid,
    epoch: u32,
    /// Since the first window.
    file: Option<File>,
    /// A window may be, by what this process knows.
    open: bool,
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

    /// For the windows of a chunk that this worker has in this epoch. Nothing is written before the first one.
    pub(super) fn of_chunk(&self, tenant: &TenantId, chunk: Uuid, epoch: u32) -> ChunkJournal {
        ChunkJournal { journal: self.clone(), tenant: tenant.clone(), chunk, epoch, file: None, open: false }
    }

    /// What is left of the window that was opened in this epoch; nothing when it is another window or there is no file.
    pub(super) fn found(&self, chunk: Uuid, epoch: u32, indexes: &[u16]) -> Option<Found> {
        self.read(chunk, epoch).filter(|found| found.indexes == indexes)
    }

    /// The last window of each file that is left from before; it may be closed.
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

impl ChunkJournal {
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Begins a window, before it is recorded as attempted. From here on the file says nothing of the one before.
    pub(super) fn begin(&mut self, indexes: &[u16]) -> io::Result<()> {
        match &self.file {
            Some(file) => file.set_len(0)?,
            None => {
                let path = self.journal.path(self.chunk, self.epoch);
                // One that is there is of a window that is closed. Appending begins at its new end after it is emptied.
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
                file.set_len(0)?;
                self.file = Some(file);
            }
        }
        self.open = true;
        let (tenant, boot) = (self.tenant.clone(), self.journal.0.boot.clone());
        self.line(&Head { tenant, boot, indexes: indexes.to_vec() })
    }

    /// Before a mail is handed over. If this fails it must not be.
    pub(super) fn sending(&mut self, index: u16) -> io::Result<()> {
        self.line(&Line::Sending(index))
    }

    /// After its answer.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        self.line(&Line::Outcome(outcome.clone()))
    }

    /// The window is closed, or was never opened.
    pub(super) fn end(&mut self) {
        self.open = false;
    }

    fn line<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let mut file = self.file.as_ref().ok_or_else(|| io::Error::other("no window was begun"))?;
        file.write_all(&bytes)
    }
}

impl Drop for ChunkJournal {
    fn drop(&mut self) {
        if self.file.is_some() && !self.open {
            self.journal.forget(self.chunk, self.epoch);
        }
    }
}

impl Found {
    /// What became of each recipient of the window, in its order: what was answered; unknown, what was being handed
    /// over; still to be sent, what was not reached.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        // Nobody who was accepted is in a later window, so that line is of this one, whatever else is missing.
        let believed = |outcome: &&Outcome| self.whole || outcome.fate == Fate::Accepted;
        let outcome = |index: &u16| match self.outcomes.get(index).filter(believed) {
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

    fn chunk(journal: &Journal) -> ChunkJournal {
        let tenant = TenantId::try_new("acme").unwrap();
        journal.of_chunk(&tenant, CHUNK, 2)
    }

    fn begun(journal: &Journal) -> ChunkJournal {
        let mut chunk = chunk(journal);
        chunk.begin(&[3, 5, 7]).unwrap();
        chunk
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
    fn a_closed_window_says_nothing_of_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let mut chunk = begun(&journal);
        for index in [3, 5, 7] {
            chunk.sending(index).unwrap();
            chunk.outcome(&Outcome::new(index, Fate::Deferred)).unwrap();
        }
        chunk.end();
        // The same recipients again, in the same epoch: they were deferred.
        chunk.begin(&[3, 5, 7]).unwrap();
        let fates_now = || fates(&journal.found(CHUNK, 2, &[3, 5, 7]).unwrap());
        assert_eq!(fates_now(), [Fate::Unsent; 3]);
        chunk.sending(5).unwrap();
        assert_eq!(fates_now(), [Fate::Unsent, Fate::Unknown, Fate::Unsent]);
        chunk.end();
        chunk.begin(&[9]).unwrap();
        assert_eq!(journal.found(CHUNK, 2, &[3, 5, 7]), None);
        assert_eq!(fates(&journal.found(CHUNK, 2, &[9]).unwrap()), [Fate::Unsent]);
        // The process ended before it was emptied for a window of its own; whoever has the chunk then begins anew.
        drop(chunk);
        let mut next = self::chunk(&journal);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the worker's name and one file");
        next.begin(&[3, 5, 7]).unwrap();
        assert_eq!(fates_now(), [Fate::Unsent; 3]);
    }

    #[test]
    fn a_chunk_leaves_a_file_only_while_a_window_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        drop(chunk(&journal));
        assert_eq!(journal.left().unwrap(), []);
        let mut given_up = begun(&journal);
        given_up.end();
        assert_eq!(
            journal.left().unwrap().len(),
            1,
            "killed here, the next start has it, and the log knows that it is closed"
        );
        drop(given_up);
        assert_eq!(journal.left().unwrap(), [], "finished, or left to others");
        let mut uncertain = begun(&journal);
        uncertain.end();
        uncertain.begin(&[9]).unwrap();
        drop(uncertain);
        let left = journal.left().unwrap();
        assert_eq!(
            (left.len(), left[0].indexes.as_slice()),
            (1, &[9][..]),
            "an error between, and the window may be open"
        );
    }

    #[test]
    fn a_line_that_may_have_been_lost_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let mut window = begun(&journal);
        window.outcome(&accepted(3)).unwrap();
        window.outcome(&Outcome::new(5, Fate::Rejected)).unwrap();
        let path = folder.path().join(format!("{CHUNK}-2"));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            fates(&journal.found(CHUNK, 2, &[3, 5, 7]).unwrap()),
            [Fate::Accepted, Fate::Rejected, Fate::Unsent]
        );
        // The machine went down: that line may be of a window before.
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
