//! The archive: the log in several providers.
//!
//! One [`archiver`] per provider and stream copies the log into immutable, encrypted [`segment`]s and a signed, hash-linked
//! [`manifest`] of them; [`restore`] makes a log out of one provider alone, and [`verify`] says whether it could.
//!
//! What lies where at a provider is in [`layout`].

pub mod backend;
pub mod binary;
pub mod faults;
pub mod key;
pub mod layout;
pub mod manifest;
pub mod object_store;
pub mod record;
pub mod segment;

pub use key::ArchiveKey;
pub use layout::Place;
pub use object_store::{ObjectError, ObjectStore, ObjectStorePort};
