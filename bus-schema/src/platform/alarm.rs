//! Something that needs a person: raised and cleared by the part of the platform that watches it, in the tenant it
//! concerns.

use crate::events;
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to an alarm. Its id follows from what it is about.
    pub enum AlarmEvent {
        Raised(AlarmRaised) = "alarm.raised" @ 1,
        Cleared(AlarmCleared) = "alarm.cleared" @ 1,
    }
}

/// It needs a person from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRaised {
    /// A word for programs: `fulfilment_overdue`.
    pub what: String,
    /// `context.aggregate.id` of what it is about.
    pub about: String,
    /// For people; no personal data.
    pub text: String,
}

/// What it is about is as it should be again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmCleared {}
