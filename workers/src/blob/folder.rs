//! Blobs in a folder: `<tenant>/<first two digits>/<id>`; files on their way in lie in `<tenant>/incoming`.

use super::{
    BlobError, BlobId,
    space::{Room, Spaces},
};
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
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::Mutex,
};

const INCOMING: &str = "incoming";
/// An upload that nobody has written to for so long is nobody's.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// How long a count of a shared folder is believed.
const RECOUNT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Folder {
    root: Arc<Path>,
    spaces: Spaces,
    /// Held while a file appears under its name or is removed from it, so that none is removed that was kept again at
    /// this moment.
    names: Arc<Mutex<()>>,
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
        Self { root: root.into(), spaces: Spaces::default(), names: Arc::default() }
    }

    /// A folder that other processes use too. What is on its way in may be theirs, unless it is old; what a tenant has is counted
    /// again every now and then, so a quota may be exceeded by what came in elsewhere within [`RECOUNT`].
    pub(super) fn shared(root: PathBuf) -> Self {
        for tenant in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            for upload in std::fs::read_dir(tenant.path().join(INCOMING)).into_iter().flatten().flatten() {
                let age =
                    upload.metadata().and_then(|found| found.modified()).map(|at| at.elapsed().unwrap_or_default());
                if age.is_ok_and(|age| age >= ABANDONED) {
                    _ = std::fs::remove_file(upload.path());
                }
            }
        }
        Self { root: root.into(), spaces: Spaces::expiring(RECOUNT), names: Arc::default() }
    }

    fn path(&self, tenant: &TenantId, blob: &BlobId) -> PathBuf {
        let prefix: String = blob.as_str().chars().take(2).collect();
        self.root.join(tenant.as_str()).join(prefix).join(blob.as_str())
    }

    /// Bytes of a tenant's files. They are counted once and kept up to date from then on.
    pub(super) async fn used(&self, tenant: &TenantId) -> Result<u64, BlobError> {
        if let Some(stored) = self.spaces.stored(tenant) {
            return Ok(stored);
        }
        let _names = self.names.lock().await;
        let listed = self.listed(tenant).await?;
        Ok(self.spaces.begin(tenant, listed.iter().map(|(_, length, _)| length).sum()))
    }

    pub(super) async fn tenants(&self) -> Result<Vec<TenantId>, BlobError> {
        let mut tenants = Vec::new();
        let mut entries = fs::read_dir(&*self.root).await.map_err(failed("listed"))?;
        while let Some(entry) = entries.next_entry().await.map_err(failed("listed"))? {
            tenants.extend(entry.file_name().to_str().and_then(|name| TenantId::try_new(name).ok()));
        }
        tenants.sort_unstable();
        Ok(tenants)
    }

    pub(super) async fn older(&self, tenant: &TenantId, before: Micros) -> Result<Vec<BlobId>, BlobError> {
        let before = Duration::from_micros(u64::try_from(before.0).unwrap_or(0));
        let listed = self.listed(tenant).await?;
        let mut old: Vec<_> = listed.into_iter().filter(|(_, _, age)| *age < before).map(|(blob, ..)| blob).collect();
        old.sort_unstable();
        Ok(old)
    }

    /// Every file with its length and when it was last kept.
    async fn listed(&self, tenant: &TenantId) -> Result<Vec<(BlobId, u64, Duration)>, BlobError> {
        let folder = self.root.join(tenant.as_str());
        let listed = tokio::task::spawn_blocking(move || list(&folder)).await;
        listed.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed("listed"))
    }

    pub(super) async fn receive(&self, tenant: &TenantId, limit: u64, quota: u64) -> Result<FolderUpload, BlobError> {
        // Who has no quota need not be counted.
        if quota < u64::MAX {
            self.used(tenant).await?;
        }
        let room = self.spaces.room(tenant, quota);
        let folder = self.root.join(tenant.as_str()).join(INCOMING);
        fs::create_dir_all(&folder).await.map_err(failed("made"))?;
        let path = folder.join(bus_schema::ids::random_uuid().to_string());
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed("made"))?;
        let (incoming, digest) = (Incoming(path), Sha256::new());
        Ok(FolderUpload { store: self.clone(), tenant: tenant.clone(), incoming, file, digest, length: 0, limit, room })
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
        let _names = self.names.lock().await;
        let (modified, length) = match fs::metadata(&path).await.and_then(|found| Ok((found.modified()?, found.len())))
        {
            Ok((modified, length)) => (modified.duration_since(UNIX_EPOCH).unwrap_or_default(), length),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed("looked at")(error)),
        };
        if modified >= Duration::from_micros(u64::try_from(before.0).unwrap_or(0)) {
            return Ok(false);
        }
        fs::remove_file(&path).await.map_err(failed("removed"))?;
        self.spaces.removed(tenant, length);
        Ok(true)
    }
}

fn list(tenant: &Path) -> std::io::Result<Vec<(BlobId, u64, Duration)>> {
    let mut listed = Vec::new();
    let folders = match std::fs::read_dir(tenant) {
        Ok(folders) => folders,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(listed),
        Err(error) => return Err(error),
    };
    for folder in folders {
        let folder = folder?;
        if folder.file_name() == INCOMING || !folder.file_type()?.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder.path())? {
            let entry = entry?;
            let Some(blob) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let metadata = entry.metadata()?;
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            listed.push((blob, metadata.len(), modified));
        }
    }
    Ok(listed)
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
    room: Room,
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
        self.room.take(piece.len() as u64)?;
        self.digest.update(piece);
        self.file.write_all(piece).await.map_err(failed("written"))
    }

    pub(super) async fn look(&mut self) -> Result<std::fs::File, BlobError> {
        self.file.flush().await.map_err(failed("written"))?;
        let file = File::open(&self.incoming.0).await.map_err(failed("opened"))?;
        Ok(file.into_std().await)
    }

    pub(super) async fn patch(&mut self, patches: &[(u64, Vec<u8>)]) -> Result<(), BlobError> {
        for (at, bytes) in patches {
            self.file.seek(std::io::SeekFrom::Start(*at)).await.map_err(failed("written"))?;
            self.file.write_all(bytes).await.map_err(failed("written"))?;
        }
        self.file.flush().await.map_err(failed("written"))?;
        self.file.rewind().await.map_err(failed("read"))?;
        self.digest = Sha256::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.file.read(&mut piece).await.map_err(failed("read"))? {
                0 => return Ok(()),
                read => self.digest.update(&piece[..read]),
            }
        }
    }

    pub(super) async fn keep(mut self) -> Result<BlobId, BlobError> {
        self.file.flush().await.map_err(failed("written"))?;
        self.file.sync_all().await.map_err(failed("saved"))?;
        let blob = BlobId::of(&self.digest.finalize());
        let path = self.store.path(&self.tenant, &blob);
        let folder = path.parent().unwrap_or(&self.store.root).to_owned();
        fs::create_dir_all(&folder).await.map_err(failed("made"))?;
        let names = self.store.names.lock().await;
        let is_new = !fs::try_exists(&path).await.map_err(failed("looked at"))?;
        // Also over the same content from before: its age begins anew.
        fs::rename(&self.incoming.0, &path).await.map_err(failed("kept"))?;
        if is_new {
            self.store.spaces.kept(&self.tenant, self.length);
        }
        drop(names);
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
    async fn processes_that_share_a_folder_leave_each_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::shared_folder(folder.path().to_owned());
        let mut upload = store.receive(&tenant("demo"), 10).await.unwrap();
        upload.write(b"1234").await.unwrap();
        let other = BlobStore::shared_folder(folder.path().to_owned());
        assert_eq!(incoming(folder.path()), 1, "it is still on its way in");
        let blob = upload.keep().await.unwrap();
        assert!(other.open(&tenant("demo"), &blob).await.is_ok());
        assert_eq!(other.used(&tenant("demo")).await.unwrap(), 4);
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
