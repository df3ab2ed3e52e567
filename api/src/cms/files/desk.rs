//! The port to whoever keeps the bytes of files.

use crate::http::problem::Problem;
use bus_schema::TenantId;
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use serde::Serialize;
use utoipa::ToSchema;
use writers::cms::file::Content;

/// Keeps bytes under their hash, per tenant.
pub trait FileDesk: Send + Sync + 'static {
    /// Takes a file in, piece by piece, and finds out what it is. When this returns, its bytes are durable. What is too
    /// large (413), not allowed (415) or not what it is called (422) leaves nothing.
    fn receive<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: BoxStream<'a, Result<Bytes, Problem>>,
        told: Told<'a>,
    ) -> BoxFuture<'a, Result<Content, Problem>>;

    /// The bytes of a file, from their beginning.
    fn open<'a>(&'a self, tenant: &'a TenantId, blob: &'a str) -> BoxFuture<'a, Result<std::fs::File, Problem>>;

    fn space<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<FileSpace, Problem>>;

    /// Bytes of one file.
    fn limit(&self) -> u64;
}

/// What the sender says of a file.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub media_type: Option<&'a str>,
    pub name: &'a str,
}

/// What a tenant has and may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileSpace {
    /// The same bytes count once, however many files have them. Those of deleted files count until they are erased.
    pub used: u64,
    pub quota: u64,
    /// Of one file.
    pub file_limit: u64,
}
