//! The API's port to the bytes of files, over the blob store of this data directory.

use api::{
    cms::files::desk::{FileDesk, FileSpace, Told},
    http::{
        codes::ProblemCode,
        problem::{FieldError, Problem},
    },
};
use bus_schema::TenantId;
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use std::{io::ErrorKind, time::Duration};
use tokio::sync::Semaphore;
use workers::{
    blob::{BlobError, BlobId, BlobStore},
    cms::{
        file_intake::{self, Unfit},
        location,
    },
};
use writers::cms::file::Content;

/// Files on their way in at once; others wait a while for their turn.
const UPLOADS: usize = 32;
const TURN: Duration = Duration::from_secs(10);
const MEBIBYTE: u64 = 1 << 20;

/// What tenants may upload.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// MiB of one uploaded file
    #[arg(long, env = "MILLRACE_FILE_LIMIT", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=2048))]
    pub file_limit: u64,
    /// MiB of all files of a tenant
    #[arg(long, env = "MILLRACE_FILE_QUOTA", default_value_t = 10_240, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub file_quota: u64,
}

pub struct Desk {
    blobs: BlobStore,
    limit: u64,
    quota: u64,
    uploads: Semaphore,
}

impl Desk {
    pub fn new(blobs: BlobStore, args: FileArgs) -> Self {
        let (limit, quota) = (args.file_limit * MEBIBYTE, args.file_quota * MEBIBYTE);
        Self { blobs, limit, quota, uploads: Semaphore::new(UPLOADS) }
    }

    async fn take(
        &self,
        tenant: &TenantId,
        mut bytes: BoxStream<'_, Result<Bytes, Problem>>,
        told: Told<'_>,
    ) -> Result<Content, Problem> {
        let turn = tokio::time::timeout(TURN, self.uploads.acquire()).await;
        let Ok(Ok(_upload)) = turn else { return Err(Problem::overloaded("too many files are being uploaded", 5)) };
        let mut upload = self.blobs.receive_within(tenant, self.limit, self.quota).await.map_err(refused)?;
        while let Some(piece) = bytes.next().await {
            upload.write(&piece?).await.map_err(refused)?;
        }
        let seen = upload.look().await.map_err(refused)?;
        let (media_type, name) = (told.media_type.map(str::to_owned), told.name.to_owned());
        let examined = move || {
            let found = file_intake::examine(&seen, media_type.as_deref(), &name)?;
            Ok((found, location::patches(&seen, found.media)?))
        };
        let examined = tokio::task::spawn_blocking(examined).await.map_err(|error| Problem::fault(&error))?;
        let (found, patches) = examined.map_err(unfit)?;
        if !patches.is_empty() {
            upload.patch(&patches).await.map_err(refused)?;
        }
        let size = upload.length();
        let blob = upload.keep().await.map_err(refused)?;
        Ok(Content { blob: blob.to_string(), size, media_type: found.media.name.to_owned(), pixels: found.pixels })
    }
}

impl FileDesk for Desk {
    fn receive<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: BoxStream<'a, Result<Bytes, Problem>>,
        told: Told<'a>,
    ) -> BoxFuture<'a, Result<Content, Problem>> {
        Box::pin(self.take(tenant, bytes, told))
    }

    fn open<'a>(&'a self, tenant: &'a TenantId, blob: &'a str) -> BoxFuture<'a, Result<std::fs::File, Problem>> {
        Box::pin(async move {
            let blob: BlobId = blob.parse().map_err(|error| Problem::fault(&error))?;
            self.blobs.open(tenant, &blob).await.map_err(|error| Problem::unavailable(&error, 5))
        })
    }

    fn space<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<FileSpace, Problem>> {
        Box::pin(async move {
            let used = self.blobs.used(tenant).await.map_err(|error| Problem::unavailable(&error, 5))?;
            Ok(FileSpace { used, quota: self.quota, file_limit: self.limit })
        })
    }

    fn limit(&self) -> u64 {
        self.limit
    }
}

fn refused(error: BlobError) -> Problem {
    match error {
        BlobError::TooLarge { limit } => Problem::payload_too_large(usize::try_from(limit).unwrap_or(usize::MAX)),
        error @ BlobError::Quota { .. } => {
            let message = error.to_string();
            Problem::new(ProblemCode::PayloadTooLarge, message.clone()).with_error(FieldError::new(
                "/file",
                "quota_exceeded",
                message,
            ))
        }
        BlobError::Io { ref source, .. } if is_full(source) => {
            let message = "there is no room for it on the server's disk; nothing of it was kept, send it again later";
            Problem::unavailable(&error, 30).with_error(FieldError::new("/file", "storage_full", message))
        }
        error => Problem::unavailable(&error, 5),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn unfit(error: Unfit) -> Problem {
    let message = error.to_string();
    let code = match error {
        Unfit::Io(_) => return Problem::unavailable(&error, 5),
        Unfit::NotAllowed { .. } => ProblemCode::UnsupportedMediaType,
        _ => ProblemCode::ValidationFailed,
    };
    Problem::new(code, message.clone()).with_error(FieldError::new("/file", error.code(), message))
}
