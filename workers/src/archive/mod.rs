//! The archive: the log in several providers.
//!
//! One [`archiver`] per provider and stream copies the log into immutable, encrypted [`segment`]s and a signed, hash-linked
//! [`manifest`] of them; [`restore`] makes a log out of one provider alone, and [`verify`] says whether it could.
//!
//! What lies where at a provider is in [`layout`].

pub mod archiver;
pub mod backend;
pub mod binary;
pub mod blobs;
pub mod epochs;
pub mod faults;
pub mod key;
pub mod key_copies;
pub mod key_restore;
pub mod layout;
pub mod ledger;
pub mod manifest;
pub mod object_store;
pub mod publish;
pub mod record;
pub mod restore;
pub mod segment;
pub mod verify;
pub mod watch;

/// BLAKE3 of messages or objects.
pub use blake3::Hash;

pub use archiver::{Archiver, ArchiverOptions, Progress, SharedSegments};
pub use blobs::BlobCopies;
pub use key::ArchiveKey;
pub use key_copies::{KeyCopies, Newest};
pub use layout::Place;
pub use ledger::{ArchiveError, Ledger};
pub use object_store::{ObjectError, ObjectStore, ObjectStorePort};
