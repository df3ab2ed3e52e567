//! The port to the log: load a subject, commit messages under expectations.

pub mod contract;

use crate::backend::{memory::MemoryStore, nats::NatsStore};
use bus_schema::{
    StoredEvent,
    bus::{AppendError, Outgoing, ReadError},
    subject::Subject,
};
use bytes::Bytes;

/// Messages of one command: stored together or not at all.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The first message of each subject carries its expectation.
    pub messages: Vec<Outgoing>,
}

/// The log of one cell. What code passes around; the backends keep the contract of [`contract`].
///
/// * `load` gives every event of a subject after a position, oldest first, as of some moment after the call began.
/// * `commit` stores all messages at contiguous positions, durably, if every expectation holds, and none otherwise.
///   After `Ok` they are never lost. `Conflict`: none is stored. `Unknown`: the caller must load and look.
/// * `Duplicate`: an event id of this commit is in the log already.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one a process, and the large variant is the one in production")]
pub enum EventStore {
    Nats(NatsStore),
    Memory(MemoryStore),
}

impl EventStore {
    pub async fn load(&self, subject: &Subject, after: u64) -> Result<Vec<StoredEvent>, StoreError> {
        match self {
            Self::Nats(store) => store.load(subject, after).await,
            Self::Memory(store) => store.load(subject, after),
        }
    }

    /// Commits and returns the position of the first message.
    pub async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        match self {
            Self::Nats(store) => store.commit(commit).await,
            Self::Memory(store) => store.commit(commit),
        }
    }

    /// The last event of each subject that has one.
    pub async fn last_events(&self, subjects: &[Subject]) -> Result<Vec<StoredEvent>, StoreError> {
        match self {
            Self::Nats(store) => store.last_events(subjects).await,
            Self::Memory(store) => store.last_events(subjects),
        }
    }

    /// The newest snapshot of a subject.
    pub async fn snapshot(&self, subject: &Subject) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Nats(store) => store.snapshot(subject).await,
            Self::Memory(store) => Ok(store.snapshot(subject)),
        }
    }

    /// Keeps a snapshot. Losing one costs time only.
    pub async fn keep_snapshot(&self, subject: &Subject, body: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Nats(store) => store.keep_snapshot(subject, body).await,
            Self::Memory(store) => {
                store.keep_snapshot(subject, body);
                Ok(())
            }
        }
    }
}

/// What can go wrong between the writer and the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("somebody else was first")]
    Conflict,
    #[error("an event of this command is stored already")]
    Duplicate,
    #[error("it is unknown whether the log took the commit: {0}")]
    Unknown(String),
    #[error("the log cannot be reached: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Full(String),
    #[error("the log holds something that is not an event: {0}")]
    Malformed(String),
    #[error("the log refused a commit as malformed: {0}")]
    Misuse(String),
}

impl From<AppendError> for StoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict,
            AppendError::Duplicate => Self::Duplicate,
            AppendError::Unknown(why) => Self::Unknown(why),
            AppendError::Unreachable(why) => Self::Unreachable(why),
            AppendError::Full(_) => Self::Full(error.to_string()),
            AppendError::Misuse { .. } => Self::Misuse(error.to_string()),
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unreachable(why) => Self::Unreachable(why),
            ReadError::Malformed { .. } => Self::Malformed(error.to_string()),
            ReadError::Refused { .. } | ReadError::Unreadable => Self::Unreachable(error.to_string()),
        }
    }
}
