//! An event a worker has given up: it was tried often enough, or cannot be handled as it is. It stays here, in the tenant of
//! the event, until somebody lets the worker try again or drops it.

use crate::{events, ids::EventId};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a parked item. Its id is the effect's, so one event is parked once for each worker.
    pub enum ParkedItemEvent {
        Parked(ItemParked) = "parked_item.parked" @ 1,
        RetryRequested(ItemRetryRequested) = "parked_item.retry_requested" @ 1,
        Handled(ItemHandled) = "parked_item.handled" @ 1,
        Dropped(ItemDropped) = "parked_item.dropped" @ 1,
    }
}

/// The worker goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemParked {
    pub worker: String,
    /// The event in the log: its position, id, kind and `context.aggregate.id`.
    pub position: u64,
    pub event: EventId,
    pub kind: String,
    pub subject: String,
    /// How often it was tried since the worker was started. 0: not at all, because it seems to end the processes that take it.
    pub attempts: u32,
    /// Why it failed the last time. No personal data.
    pub cause: String,
}

/// The worker is to try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRetryRequested {}

/// Tried again, it succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemHandled {}

/// Nobody wants it done any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemDropped {
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
