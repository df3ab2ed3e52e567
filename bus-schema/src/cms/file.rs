//! A file of a tenant: a picture of a page, a document to download. Its bytes are a blob, named by their hash, which is
//! durable before the event that names it. They never change: another content is another file.
//!
//! Names and alternative texts are published with the file; they hold no personal data.

use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a file.
    pub enum FileEvent {
        Uploaded(FileUploaded) = "file.uploaded" @ 1,
        Renamed(FileRenamed) = "file.renamed" @ 1,
        Described(FileDescribed) = "file.described" @ 1,
        Deleted(FileDeleted) = "file.deleted" @ 1,
        Reinstated(FileReinstated) = "file.reinstated" @ 1,
        Erased(FileErased) = "file.erased" @ 1,
    }
}

/// The kind of the one event that names a blob: what the archive looks for.
pub const UPLOADED: &str = "file.uploaded";
/// The kind of the event after which nothing names it any more.
pub const ERASED: &str = "file.erased";

/// The file is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUploaded {
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits: the blob's name within its tenant.
    pub blob: String,
    /// Bytes.
    pub size: u64,
    /// What its bytes were found to be: `image/png`.
    pub media_type: String,
    /// One segment of an address, with an ending that fits the type.
    pub name: String,
    /// What stands for it where it cannot be seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alt: String,
    /// Of a picture, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<Pixels>,
}

/// The size of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
}

/// The file has another name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileRenamed {
    pub name: String,
}

/// The file has another alternative text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileDescribed {
    pub alt: String,
}

/// Nobody gets the file any more. Its bytes stay, for history and for those who want it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileDeleted {
    /// Until then it can be brought back.
    pub until: Micros,
}

/// A deleted file is back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileReinstated {}

/// The file is gone for good; its bytes are removed unless another file of the tenant has the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileErased {}
