//! Files by their content: what is uploaded is kept under the SHA-256 of its bytes, per tenant.
//!
//! The port: [`BlobStore::receive`] takes a file in pieces and nothing is there until [`Upload::keep`], which is durable;
//! the same bytes twice are one file. [`BlobStore::open`] gives a file that can be read and sought. No name from outside
//! ever becomes part of a path: a tenant's id and a blob's id are checked when they are made.

mod folder;
mod space;

use bus_schema::{Micros, TenantId};
use folder::FolderUpload;
use std::{fmt, path::PathBuf, str::FromStr};

/// The SHA-256 of a file, 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(String);

impl BlobId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(digest: &[u8]) -> Self {
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobId {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Self, BlobError> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let valid = text.len() == 64 && text.bytes().all(hexadecimal);
        if valid { Ok(Self(text.to_owned())) } else { Err(BlobError::Name) }
    }
}

/// Where files are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub enum BlobStore {
    /// A folder of this machine: the embedded profile.
    Folder(folder::Folder),
}

/// A file on its way in. Dropped before [`Upload::keep`], nothing of it stays.
pub struct Upload(FolderUpload);

impl BlobStore {
    /// Files in a folder, which exists.
    pub fn folder(root: PathBuf) -> Self {
        Self::Folder(folder::Folder::new(root))
    }

    /// The same in a folder that several processes share (NFS and the like).
    pub fn shared_folder(root: PathBuf) -> Self {
        Self::Folder(folder::Folder::shared(root))
    }

    /// Begins to take a file of at most `limit` bytes.
    pub async fn receive(&self, tenant: &TenantId, limit: u64) -> Result<Upload, BlobError> {
        self.receive_within(tenant, limit, u64::MAX).await
    }

    /// The same within a quota: the bytes a tenant has here altogether, with those that come in at this moment.
    pub async fn receive_within(&self, tenant: &TenantId, limit: u64, quota: u64) -> Result<Upload, BlobError> {
        let Self::Folder(folder) = self;
        folder.receive(tenant, limit, quota).await.map(Upload)
    }

    /// Bytes a tenant has here.
    pub async fn used(&self, tenant: &TenantId) -> Result<u64, BlobError> {
        let Self::Folder(folder) = self;
        folder.used(tenant).await
    }

    /// The tenants that have files here.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, BlobError> {
        let Self::Folder(folder) = self;
        folder.tenants().await
    }

    /// Files of a tenant that were not uploaded (again) since `before`, in the order of their ids.
    pub async fn older(&self, tenant: &TenantId, before: Micros) -> Result<Vec<BlobId>, BlobError> {
        let Self::Folder(folder) = self;
        folder.older(tenant, before).await
    }

    pub async fn open(&self, tenant: &TenantId, blob: &BlobId) -> Result<std::fs::File, BlobError> {
        let Self::Folder(folder) = self;
        folder.open(tenant, blob).await
    }

    /// Removes a file that was not uploaded (again) since `before`. True: it is not there (any more).
    pub async fn remove_older(&self, tenant: &TenantId, blob: &BlobId, before: Micros) -> Result<bool, BlobError> {
        let Self::Folder(folder) = self;
        folder.remove_older(tenant, blob, before).await
    }
}

impl Upload {
    /// Adds a piece. [`BlobError::TooLarge`] when the file has more bytes than allowed.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.0.write(piece).await
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.0.length()
    }

    /// What has come so far, to look at before it is kept.
    pub async fn look(&mut self) -> Result<std::fs::File, BlobError> {
        self.0.look().await
    }

    /// Writes over bytes that came, before it is kept under the hash of what it is then.
    pub async fn patch(&mut self, patches: &[(u64, Vec<u8>)]) -> Result<(), BlobError> {
        self.0.patch(patches).await
    }

    /// Makes the file durable under its id.
    pub async fn keep(self) -> Result<BlobId, BlobError> {
        self.0.keep().await
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("a file is named by its SHA-256, 64 lower-case hexadecimal digits")]
    Name,
    #[error("the file has more than {limit} bytes; split it")]
    TooLarge { limit: u64 },
    #[error("the quota of {quota} bytes would be exceeded; erase files that are not needed, or have the quota raised")]
    Quota { quota: u64 },
    #[error("there is no such file; it was removed or the data directory is not complete")]
    Missing,
    #[error("a file cannot be {what} in the blob folder: {source}; check its free space and its owner")]
    Io { what: &'static str, source: std::io::Error },
}
