//! Where files lie that are no events and no rows: in the data directory of the one process, or in a folder that all share.

use crate::data_dir::DataDir;
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use workers::{blob::BlobStore, crm::import_worker::ImportFiles};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    /// The bytes of uploaded files.
    pub files: BlobStore,
    /// Files that are imported.
    pub uploads: BlobStore,
    /// Reports and progress of imports.
    pub imports: ImportFiles,
    /// How far workers are that follow the log.
    pub places: PathBuf,
    /// The same for those of mail.
    pub mail_places: PathBuf,
    /// What is on its way to the providers of the archive.
    pub archive: PathBuf,
    /// Secrets.
    pub keys: PathBuf,
}

impl Storage {
    pub fn local(data: &DataDir) -> Self {
        Self {
            files: BlobStore::folder(data.files()),
            uploads: BlobStore::folder(data.blobs()),
            imports: ImportFiles::new(data.imports()),
            places: data.root().to_owned(),
            mail_places: data.mail(),
            archive: data.archive(),
            keys: data.keys(),
        }
    }

    /// A folder that every process of the roles `api` and `worker` has under some name. It must be there: one that is not is
    /// more likely a file system that was not mounted than a first start.
    pub fn shared(root: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::Unusable { path: root.to_owned(), source };
        if !root.is_dir() {
            return Err(StorageError::Missing { path: root.to_owned() });
        }
        let root = root.canonicalize().map_err(failed)?;
        let folder = |name: &str| {
            let path = root.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map(|()| path).map_err(failed)
        };
        let probe = root.join(format!(".probe-{}", std::process::id()));
        std::fs::write(&probe, []).and_then(|()| std::fs::remove_file(&probe)).map_err(failed)?;
        let places = folder("places")?;
        Ok(Self {
            files: BlobStore::shared_folder(folder("files")?),
            uploads: BlobStore::shared_folder(folder("blobs")?),
            imports: ImportFiles::new(folder("imports")?),
            mail_places: places.clone(),
            places,
            archive: folder("archive")?,
            keys: folder("keys")?,
        })
    }
}

/// Why a shared folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(
        "the shared folder {path} is not there: mount what all processes share (NFS, CephFS, EFS), or make the folder if they run on \
         one machine, and name it with --shared-dir"
    )]
    Missing { path: PathBuf },
    #[error("the shared folder {path} cannot be used: {source}; this user must be able to write there (--shared-dir)")]
    Unusable { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_folder_is_there_or_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = Storage::shared(&folder.path().join("mnt")).err().unwrap().to_string();
        assert!(error.contains("is not there") && error.contains("--shared-dir"), "{error}");
        let storage = Storage::shared(folder.path()).unwrap();
        assert!(storage.places.is_dir() && storage.archive.is_dir());
        Storage::shared(folder.path()).unwrap();
    }
}
