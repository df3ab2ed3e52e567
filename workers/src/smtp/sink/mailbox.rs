//! The messages a sink keeps to be looked at: one file each, the oldest removed when there are too many.
//!
//! A file is one line of JSON, the envelope, and then the message byte for byte.

use super::Taken;
use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const FOLDER: &str = "messages";
const ENDING: &str = "mail";

/// A mail that came in, for one recipient or several.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) taken: Vec<Taken>,
    pub(super) message: Vec<u8>,
}

/// Reads what a sink keeps; works while the sink runs and after.
#[derive(Clone, Debug)]
pub struct Mailbox {
    folder: PathBuf,
}

/// A message that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Rises with each mail; the newest has the highest.
    pub number: u64,
    /// One entry for each recipient.
    pub envelope: Vec<Taken>,
    /// As it came, without the doubled dots.
    pub message: Vec<u8>,
}

impl Mailbox {
    /// Of a sink with this folder.
    pub fn new(sink: &Path) -> Self {
        Self { folder: sink.join(FOLDER) }
    }

    /// The numbers of the messages, newest first.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = numbers_in(&self.folder)?;
        numbers.reverse();
        Ok(numbers)
    }

    /// Removes all messages; the ledger stays.
    pub fn clear(&self) -> io::Result<()> {
        for number in numbers_in(&self.folder)? {
            match fs::remove_file(path(&self.folder, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Nothing when it was never there or made room for newer ones.
    pub fn read(&self, number: u64) -> io::Result<Option<Kept>> {
        let bytes = match fs::read(path(&self.folder, number)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = memchr::memchr(b'\n', &bytes).unwrap_or(bytes.len());
        let envelope = serde_json::from_slice(&bytes[..end])?;
        Ok(Some(Kept { number, envelope, message: bytes.get(end + 1..).unwrap_or_default().to_vec() }))
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.{ENDING}"))
}

/// In order.
fn numbers_in(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The writing side; belongs to the ledger's thread.
pub(super) struct Keeper {
    folder: PathBuf,
    most: usize,
    most_bytes: u64,
    kept: VecDeque<(u64, u64)>,
    bytes: u64,
    next: u64,
}

impl Keeper {
    pub(super) fn open(sink: &Path, (most, most_bytes): (usize, u64)) -> io::Result<Self> {
        let folder = sink.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let mut this = Self { folder, most, most_bytes, kept: VecDeque::new(), bytes: 0, next: 1 };
        for number in numbers_in(&this.folder)? {
            let length = fs::metadata(path(&this.folder, number)).map_or(0, |metadata| metadata.len());
            this.kept.push_back((number, length));
            this.bytes += length;
            this.next = number + 1;
        }
        this.make_room(0);
        Ok(this)
    }

    /// The ledger is what counts: a message that cannot be kept is reported and no more.
    pub(super) fn keep(&mut self, parcel: &Parcel) {
        if self.most == 0 {
            return;
        }
        let Ok(mut bytes) = serde_json::to_vec(&parcel.taken) else { return };
        bytes.push(b'\n');
        bytes.extend_from_slice(&parcel.message);
        let length = bytes.len() as u64;
        if length > self.most_bytes {
            return;
        }
        self.make_room(length);
        let (number, path) = (self.next, path(&self.folder, self.next));
        let beside = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            io::Write::write_all(&mut file, &bytes)?;
            // A reader sees it whole or not at all.
            fs::rename(&beside, &path)
        };
        match write() {
            Ok(()) => {
                self.next += 1;
                self.bytes += length;
                self.kept.push_back((number, length));
            }
            Err(error) => tracing::warn!(%error, "the mail sink cannot keep a message to be looked at"),
        }
    }

    fn make_room(&mut self, length: u64) {
        let incoming = usize::from(length > 0);
        while self.kept.len() + incoming > self.most || self.bytes + length > self.most_bytes {
            let Some((number, bytes)) = self.kept.pop_front() else { return };
            _ = fs::remove_file(path(&self.folder, number));
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::Micros;

    fn parcel(text: &str) -> Parcel {
        let recipient = "a@b.example".to_owned();
        let taken =
            Taken { at: Micros(1), message_id: "x".into(), sender: String::new(), recipient, bytes: 1, tls: None };
        Parcel { taken: vec![taken], message: text.as_bytes().to_vec() }
    }

    #[test]
    fn the_newest_messages_are_kept_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(folder.path(), (3, 10_000)).unwrap();
        for text in ["1", "2", "3", "4\n"] {
            keeper.keep(&parcel(text));
        }
        let mailbox = Mailbox::new(folder.path());
        assert_eq!(mailbox.numbers().unwrap(), [4, 3, 2]);
        let kept = mailbox.read(4).unwrap().unwrap();
        assert_eq!((kept.message, kept.envelope), (b"4\n".to_vec(), parcel("").taken));
        assert_eq!(mailbox.read(1).unwrap(), None);
        let mut keeper = Keeper::open(folder.path(), (2, 10_000)).unwrap();
        assert_eq!(mailbox.numbers().unwrap(), [4, 3]);
        keeper.keep(&parcel("5"));
        assert_eq!(mailbox.numbers().unwrap(), [5, 4]);
        let mut keeper = Keeper::open(folder.path(), (9, 250)).unwrap();
        keeper.keep(&parcel(&"6".repeat(100)));
        assert_eq!(mailbox.numbers().unwrap(), [6]);
        keeper.keep(&parcel(&"7".repeat(1000)));
        assert_eq!(mailbox.numbers().unwrap(), [6]);
    }
}
