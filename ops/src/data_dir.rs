//! The data directory of an embedded platform: its layout, its format number and its lock.
//!
//! One process owns a data directory at a time. The lock is the kernel's, on an open file, so it goes away with the
//! process however that ends; the number inside the lock file only names the owner in a message.
//!
//! ```text
//! FORMAT   the number of this layout           LOCK    locked while in use, holds the owner's process id
//! nats/    the event log and its server        views/  the read store          search/  the search index
//! blobs/   imported files                      keys/   secrets, 0600           logs/    logs of supervised programs
//! imports/ reports and progress of imports     eraser.json  how far the eraser has come
//! mail/    the journal of what is being sent   archive/ what is on its way to providers
//! files/   uploaded files, by their content    inbox/   mails that were taken on this machine (`--local-inbox`)
//! providers/ local S3 servers, if asked for    RESTORING there while a restore is not complete
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// The layout that this version writes and the newest it can read.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
/// Says that what is here is a part of a log only.
const RESTORING_FILE: &str = "RESTORING";
const FOLDERS: [&str; 10] = ["nats", "views", "search", "blobs", "files", "imports", "mail", "archive", "keys", "logs"];

/// A platform that just stopped, or a `millrace doctor` that just looks, holds the lock for a moment longer.
const LOCK_ATTEMPTS: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("the data directory {path} is already in use by {}: stop it, or choose another with --data-dir", owner(*.pid))]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "the data directory {path} has format {found}, this version of millrace reads up to {FORMAT_VERSION}: \
         run the newer version that wrote it"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("{path} holds no readable format number: restore the data directory from a backup, or choose another")]
    UnreadableFormat { path: PathBuf },
    #[error(
        "the data directory {path} holds a restore that did not end: run the same `millrace restore` again, which begins anew, \
         or remove the directory"
    )]
    HalfRestored { path: PathBuf },
    #[error("{path} holds a platform's data: a restore goes into an empty or a new directory and overwrites nothing")]
    Filled { path: PathBuf },
    #[error("{path} is not empty and no data directory of millrace: choose an empty or a new directory")]
    Foreign { path: PathBuf },
    #[error("cannot {action} {path}: check that it is on a local disk with free space and belongs to this user")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { action, path: path.to_owned(), source }
}

/// An open, locked data directory. Dropping it releases the lock.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory, creates what is missing (directories with mode 0700) and locks it.
    ///
    /// A directory that holds something else than a data directory is refused and left as it is.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let data = Self::prepare(path)?;
        if data.root.join(RESTORING_FILE).exists() {
            return Err(DataDirError::HalfRestored { path: data.root });
        }
        Ok(data)
    }

    /// The same for a restore: an empty directory, or one whose restore did not end, which begins anew. Until
    /// [`DataDir::restored`] nothing else opens it.
    pub fn open_to_restore(path: &Path) -> Result<Self, DataDirError> {
        let data = Self::prepare(path)?;
        let marker = data.root.join(RESTORING_FILE);
        if marker.exists() {
            for folder in [data.root.join("nats"), data.archive()] {
                fs::remove_dir_all(&folder).map_err(fault("empty", &folder))?;
                create_private(&folder)?;
            }
            return Ok(data);
        }
        for folder in FOLDERS {
            if !is_empty(&data.root.join(folder))? {
                return Err(DataDirError::Filled { path: data.root });
            }
        }
        let mark = || {
            File::create(&marker)?.sync_all()?;
            File::open(&data.root)?.sync_all()
        };
        mark().map_err(fault("write", &marker))?;
        Ok(data)
    }

    /// The restore is complete.
    pub fn restored(&self) -> Result<(), DataDirError> {
        let marker = self.root.join(RESTORING_FILE);
        let unmark = || {
            fs::remove_file(&marker)?;
            File::open(&self.root)?.sync_all()
        };
        unmark().map_err(fault("remove", &marker))
    }

    fn prepare(path: &Path) -> Result<Self, DataDirError> {
        create_private(path)?;
        let root = path.canonicalize().map_err(fault("resolve", path))?;
        let found = read_format(&root)?;
        if found.is_none() && !is_empty(&root)? {
            return Err(DataDirError::Foreign { path: root });
        }
        let mode = fs::metadata(&root).map_err(fault("read the mode of", &root))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&root, Permissions::from_mode(0o700)).map_err(fault("restrict access to", &root))?;
        }
        let lock = lock(&root)?;
        // Read again: only now nobody else can be creating it.
        match read_format(&root)? {
            Some(found) if found > FORMAT_VERSION => return Err(DataDirError::Newer { path: root, found }),
            Some(_) => {}
            None => write_format(&root)?,
        }
        for folder in FOLDERS {
            create_private(&root.join(folder))?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// The absolute path of the directory, free of symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The event log, and the configuration and process record of its server.
    #[cfg(test)]
    pub fn nats(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// The read store.
    pub fn views(&self) -> PathBuf {
        self.root.join("views")
    }

    /// The search index.
    pub fn search(&self) -> PathBuf {
        self.root.join("search")
    }

    /// Files that are imported, as long as their imports need them.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The bytes of uploaded files.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Reports and progress of imports.
    pub fn imports(&self) -> PathBuf {
        self.root.join("imports")
    }

    /// The journal of what is being sent; it makes this process the worker it is.
    pub fn mail(&self) -> PathBuf {
        self.root.join("mail")
    }

    /// What is on its way to the providers of the archive, and which epoch is written there.
    pub fn archive(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// The S3 servers that `--local-archives` starts.
    pub fn providers(&self) -> PathBuf {
        self.root.join("providers")
    }

    /// Secrets; every file in it has mode 0600.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Logs of supervised programs.
    #[cfg(test)]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
}

/// What can be said of a data directory without changing it, for `millrace doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    Missing,
    Empty,
    Foreign,
    Idle { format: u32 },
    InUse { format: u32, pid: Option<u32> },
}

/// Looks at a directory without creating or changing anything (the lock is tried and given back at once).
pub fn inspect(path: &Path) -> Result<Inspection, DataDirError> {
    if !path.try_exists().map_err(fault("read", path))? {
        return Ok(Inspection::Missing);
    }
    let Some(format) = read_format(path)? else {
        return Ok(if is_empty(path)? { Inspection::Empty } else { Inspection::Foreign });
    };
    let lock_path = path.join(LOCK_FILE);
    let file = match File::open(&lock_path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inspection::Idle { format }),
        Err(error) => return Err(fault("open", &lock_path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Inspection::Idle { format }),
        Err(TryLockError::WouldBlock) => Ok(Inspection::InUse { format, pid: read_number(&lock_path) }),
        Err(TryLockError::Error(error)) => Err(fault("lock", &lock_path)(error)),
    }
}

fn create_private(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault("create the directory", path))
}

/// Empty, apart from the lock file that an interrupted first start may have left.
fn is_empty(root: &Path) -> Result<bool, DataDirError> {
    for entry in fs::read_dir(root).map_err(fault("list", root))? {
        if entry.map_err(fault("list", root))?.file_name() != LOCK_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(fault("open", &path))?;
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: root.to_owned(), pid: read_number(&path) });
            }
            Err(TryLockError::Error(error)) => return Err(fault("lock", &path)(error)),
        }
    }
    let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    write.map_err(fault("write", &path))?;
    Ok(file)
}

/// The format number, or `None` when the directory holds none.
fn read_format(root: &Path) -> Result<Option<u32>, DataDirError> {
    let path = root.join(FORMAT_FILE);
    if !path.try_exists().map_err(fault("read", &path))? {
        return Ok(None);
    }
    read_number(&path).map(Some).ok_or(DataDirError::UnreadableFormat { path })
}

/// Written to the side and renamed, so that a power loss leaves no half-written number.
fn write_format(root: &Path) -> Result<(), DataDirError> {
    let path = root.join(FORMAT_FILE);
    let side = root.join("FORMAT.new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&side)?;
        writeln!(file, "{FORMAT_VERSION}")?;
        file.sync_all()?;
        fs::rename(&side, &path)?;
        File::open(root)?.sync_all()
    };
    write().map_err(fault("write", &path))
}

fn read_number(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_creates_and_reopens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        for sub in [dir.nats(), dir.views(), dir.search(), dir.blobs(), dir.keys(), dir.logs(), dir.root().to_owned()] {
            assert_eq!(fs::metadata(&sub).unwrap().permissions().mode() & 0o777, 0o700, "{}", sub.display());
        }
        drop(dir);
        assert_eq!(inspect(&path).unwrap(), Inspection::Idle { format: 1 });
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_second_owner_learns_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let _first = DataDir::open(folder.path()).unwrap();
        let message = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
        let pid = Some(std::process::id());
        assert_eq!(inspect(folder.path()).unwrap(), Inspection::InUse { format: 1, pid });
    }

    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "2\n").unwrap();
        let message = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("has format 2, this version of millrace reads up to 1"), "{message}");
        assert!(!folder.path().join("nats").exists());
    }

    #[test]
    fn a_damaged_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "one\n").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::UnreadableFormat { .. })));
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Foreign { .. })));
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(inspect(folder.path()).unwrap(), Inspection::Foreign);
    }

    #[test]
    fn an_open_directory_is_restricted() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        DataDir::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_restore_goes_into_nothing_or_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let dir = DataDir::open_to_restore(&path).unwrap();
        fs::write(dir.nats().join("half"), "x").unwrap();
        drop(dir);
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(message.contains("restore that did not end"), "{message}");
        let dir = DataDir::open_to_restore(&path).unwrap();
        assert!(!dir.nats().join("half").exists(), "it began anew");
        dir.restored().unwrap();
        fs::write(dir.nats().join("log"), "x").unwrap();
        drop(dir);
        assert!(matches!(DataDir::open_to_restore(&path), Err(DataDirError::Filled { .. })));
        assert!(path.join("nats/log").exists());
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(message.starts_with("cannot create the directory"), "{message}");
        assert_eq!(inspect(&folder.path().join("none")).unwrap(), Inspection::Missing);
    }
}
