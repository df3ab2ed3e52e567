//! The backends of the object store.

pub mod memory;
pub mod s3;
