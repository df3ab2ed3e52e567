//! The log's copies at providers, as part of a running platform.
//!
//! [`ArchiveArgs`] says which providers; [`Protection`] runs one archiver for each stream and provider, beside them a watcher
//! that reads back what they wrote, and stops them in order. What a provider holds, and how a log is made out of it again,
//! is in [`workers::archive`].

mod address;
pub mod alarms;
mod args;
mod desk;
mod epochs;
mod key;
mod provider;
mod start;

pub use address::ProviderAddress;
pub use args::{ArchiveArgs, ArchiveArgsError, Named, credentials, open_store};
pub use desk::LogDesk;
pub use epochs::{EpochBookError, Restored};
pub use key::{KEY_FILE, announce};
pub use start::{ArchiveStartError, Protection, ProtectionParts, examine};
