//! What operators tell a worker. Its name is fixed in the code; the events are in the tenant that operates the
//! installation.

use crate::{events, ids::CommandId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What operators can tell a worker.
    pub enum WorkerEvent {
        Paused(WorkerPaused) = "worker.paused" @ 1,
        Resumed(WorkerResumed) = "worker.resumed" @ 1,
    }
}

/// It begins nothing new until it is resumed, also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerPaused {
    pub worker: String,
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerResumed {
    pub worker: String,
}

/// Where the events of a worker are: the id follows from its name.
pub fn worker_id(name: &str) -> Uuid {
    CommandId::derived(&["platform.worker", name]).0
}
