//! Blobs in a folder: `<tenant>/<first two digits>/<id>`; files on their way in lie in `<tenant>/incoming`.

use super::{BlobError, BlobId};
use bus_schema::{Micros, TenantId};
use sha2::{Digest, Sha256};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
};

const INCOMING: &str = "incoming";

#[derive(Clone, Debug)]
pub struct Folder {
    root: Arc<Path>,
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> BlobError {
    move |source| BlobError::Io { what, source }
}

impl Folder {
    /// Files that were on their way in when the process ended will not come to their end: they are removed. (One
    /// process owns a data directory.)
    pub(super) fn new(root: PathBuf) -> Self {
        for tenant in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            _ = std::fs::remove_dir_all(tenant.path().join(INCOMING));
        }
        Self { root: root.into() }
    }

    fn path(&self, tenant: &TenantId, blob: &BlobId) -> PathBuf {
        let prefix: String = blob.as_str().chars().take(2).collect();
        self.root.join(tenant.as_str()).join(prefix).join(blob.as_str())
    }

    pub(super) async fn receive(&self, tenant: &TenantId, limit: u64) -> Result<FolderUpload, BlobError> {
        let folder = self.root.join(tenant.as_str()).join(INCOMING);
        fs::create_dir_all(&folder).await.map_err(failed("made"))?;
        let path = folder.join(bus_schema::ids::random_uuid().to_string());
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed("made"))?;
        let (incoming, digest) = (Incoming(path), Sha256::new());
        Ok(FolderUpload { store: self.clone(), tenant: tenant.clone(), incoming, file, digest, length: 0, limit })
    }

    pub(super) async fn open(&self, tenant: &TenantId, blob: &BlobId) -> Result<std::fs::File, BlobError> {
        match File::open(self.path(tenant, blob)).await {
            Ok(file) => Ok(file.into_std().await),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(BlobError::Missing),
            Err(error) => Err(failed("opened")(error)),
        }
    }

    pub(super) async fn remove_older(
        &self,
        tenant: &TenantId,
        blob: &BlobId,
        before: Micros,
    ) -> Result<bool, BlobError> {
        let path = self.path(tenant, blob);
        let modified = match fs::metadata(&path).await.and_then(|metadata| metadata.modified()) {
            Ok(modified) => modified.duration_since(UNIX_EPOCH).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed("looked at")(error)),
        };
        if modified >= Duration::from_micros(u64::try_from(before.0).unwrap_or(0)) {
            return Ok(false);
        }
        fs::remove_file(&path).await.map_err(failed("removed"))?;
        Ok(true)
    }
}

/// The path of a file that goes away with its upload.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        // After it was kept there is nothing under this name.
        _ = std::fs::remove_file(&self.0);
    }
}

pub(super) struct FolderUpload {
    store: Folder,
    tenant: TenantId,
    incoming: Incoming,
    file: File,
    digest: Sha256,
    length: u64,
    limit: u64,
}

impl FolderUpload {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(BlobError::TooLarge { limit: self.limit });
        }
        self.digest.update(piece);
        self.file.write_all(piece).await.map_err(failed("written"))
    }

    pub(super) async fn look(&mut self) -> Result<std::fs::File, BlobError> {
        self.file.flush().await.map_err(failed("written"))?;
        let file = File::open(&self.incoming.0).await.map_err(failed("opened"))?;
        Ok(file.into_std().await)
    }

    pub(super) async fn keep(mut self) -> Result<BlobId, BlobError> {
        self.file.flush().await.map_err(failed("written"))?;
        self.file.sync_all().await.map_err(failed("saved"))?;
        let blob = BlobId::of(&self.digest.finalize());
        let path = self.store.path(&self.tenant, &blob);
        let folder = path.parent().unwrap_or(&self.store.root).to_owned();
        fs::create_dir_all(&folder).await.map_err(failed("made"))?;
        // Also over the same content from before: its age begins anew.
        fs::rename(&self.incoming.0, &path).await.map_err(failed("kept"))?;
        for made in folder.ancestors().take_while(|made| made.starts_with(&self.store.root)) {
            let made = File::open(made).await.map_err(failed("saved"))?;
            made.sync_all().await.map_err(failed("saved"))?;
        }
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::BlobStore, *};
    use std::io::Read;

    fn tenant(name: &str) -> TenantId {
        TenantId::try_new(name).unwrap()
    }

    async fn put(store: &BlobStore, owner: &str, content: &[u8]) -> BlobId {
        let mut upload = store.receive(&tenant(owner), 1_000).await.unwrap();
        for piece in content.chunks(3) {
            upload.write(piece).await.unwrap();
        }
        assert_eq!(upload.length(), content.len() as u64);
        let mut seen = Vec::new();
        upload.look().await.unwrap().read_to_end(&mut seen).unwrap();
        assert_eq!(seen, content);
        upload.keep().await.unwrap()
    }

    #[tokio::test]
    async fn files_are_found_by_their_content_and_only_by_their_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::folder(folder.path().to_owned());
        let blob = put(&store, "demo", b"hello world").await;
        assert_eq!(blob.as_str(), "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
        assert_eq!(blob, put(&store, "demo", b"hello world").await);
        let mut content = String::new();
        store.open(&tenant("demo"), &blob).await.unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello world");
        assert!(matches!(store.open(&tenant("other"), &blob).await, Err(BlobError::Missing)));
        assert_eq!(incoming(folder.path()), 0);
    }

    fn incoming(root: &Path) -> usize {
        std::fs::read_dir(root.join("demo").join(INCOMING)).unwrap().count()
    }

    #[tokio::test]
    async fn what_is_too_large_or_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::folder(folder.path().to_owned());
        let mut upload = store.receive(&tenant("demo"), 10).await.unwrap();
        upload.write(&[1; 10]).await.unwrap();
        assert!(matches!(upload.write(&[1]).await, Err(BlobError::TooLarge { limit: 10 })));
        assert_eq!(incoming(folder.path()), 1);
        drop(upload);
        assert_eq!(incoming(folder.path()), 0);
        std::fs::write(folder.path().join("demo").join(INCOMING).join("cut off"), "x").unwrap();
        let store = BlobStore::folder(folder.path().to_owned());
        assert!(!folder.path().join("demo").join(INCOMING).exists());
        put(&store, "demo", b"x").await;
    }

    #[tokio::test]
    async fn only_old_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::folder(folder.path().to_owned());
        let (demo, blob) = (tenant("demo"), put(&store, "demo", b"a,b\n").await);
        assert!(!store.remove_older(&demo, &blob, Micros(0)).await.unwrap());
        assert!(store.remove_older(&demo, &blob, Micros(i64::MAX)).await.unwrap());
        assert!(store.remove_older(&demo, &blob, Micros(i64::MAX)).await.unwrap());
    }

    #[test]
    fn names_are_checked() {
        let good = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert!(good.parse::<BlobId>().is_ok());
        for bad in ["", "..", &good.to_uppercase(), &good[1..], &format!("../{}", &good[3..])] {
            assert!(bad.parse::<BlobId>().is_err(), "{bad}");
        }
    }
}
