//! A saved segment: contacts by what they have in common, found anew each time it is used.

use crate::events;
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a segment.
    pub enum SegmentEvent {
        Created(SegmentCreated) = "segment.created" @ 1,
        Changed(SegmentChanged) = "segment.changed" @ 1,
        Deleted(SegmentDeleted) = "segment.deleted" @ 1,
    }
}

/// What a segment is. No place for one person's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDefinition {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// A filter of contacts as a JSON object, kept as it was written.
    pub filter: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentCreated {
    pub definition: SegmentDefinition,
}

/// The definition is now this, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentChanged {
    pub definition: SegmentDefinition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentDeleted {}
