//! What can go wrong in a read store.

use std::error::Error;

/// How an operator should take an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The caller asked for something it may not; nothing is wrong with the store.
    Caller,
    /// Trying again later can succeed.
    Transient,
    /// Needs a person: repeating will fail the same way.
    Permanent,
}

/// Error of a read store. `Display` says what failed, where and what to do; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum ReadStoreError {
    /// A name with characters that are not allowed.
    #[error("{what} {name:?} is not valid; use 1 to 120 characters of a-z, 0-9 and _ (tables also .)")]
    InvalidName { what: &'static str, name: String },

    /// Something is larger (or smaller) than the store accepts.
    #[error("{what}: {got} is outside the limit of {max}; split the request or shorten the value")]
    Limit { what: &'static str, got: usize, max: usize },

    /// The store cannot be reached or refuses to work at the moment.
    #[error("read store could not {doing} at {place}; check that it runs, its disk space and its log, then try again")]
    Unavailable { doing: &'static str, place: String, source: Box<dyn Error + Send + Sync> },

    /// The cluster is there, but it or what was said about it has to be changed.
    #[error("read store at {place} cannot be used: {what}")]
    Misconfigured { place: String, what: String },

    /// Another process has the data directory open.
    #[error("read store directory {place} is locked by another process; stop it or use another directory")]
    Locked { place: String },

    /// The data was written by a version this program does not know.
    #[error(
        "read store at {place} has a format this version cannot read ({found}); run the version that wrote it, or \
         remove the directory to rebuild the views from the log"
    )]
    UnknownFormat { place: String, found: String },

    /// Stored bytes do not make sense.
    #[error(
        "read store at {place} is damaged: {what}; remove it and rebuild the views from the log, which loses nothing"
    )]
    Corrupt { place: String, what: String, source: Option<Box<dyn Error + Send + Sync>> },
}

impl ReadStoreError {
    /// How an operator should take this error.
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidName { .. } | Self::Limit { .. } => Severity::Caller,
            Self::Unavailable { .. } | Self::Locked { .. } => Severity::Transient,
            Self::Misconfigured { .. } | Self::UnknownFormat { .. } | Self::Corrupt { .. } => Severity::Permanent,
        }
    }

    pub(crate) fn corrupt(place: &str, what: impl Into<String>) -> Self {
        Self::Corrupt { place: place.to_owned(), what: what.into(), source: None }
    }
}
