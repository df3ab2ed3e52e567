//! A test send: a campaign's mail to its author's own mailboxes, once each.
//!
//! It is recorded before the first mail leaves and again when each has its end, so that the same request sent again sends
//! nothing. The addresses stand here as keyed hashes only.

use super::{chunk::Fate, feedback::BounceKind};
use crate::{claim::ClaimHash, events};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a test send.
    pub enum TestSendEvent {
        Requested(TestSendRequested) = "test_send.requested" @ 1,
        Finished(TestSendFinished) = "test_send.finished" @ 1,
        Bounced(TestSendBounced) = "test_send.bounced" @ 1,
        Complained(TestSendComplained) = "test_send.complained" @ 1,
    }
}

/// From here on each of these may have got the mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSendRequested {
    pub campaign: Uuid,
    /// Of the addresses, in the order of the request.
    pub addresses: Vec<ClaimHash>,
}

/// What became of each, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSendFinished {
    pub outcomes: Vec<TestOutcome>,
}

/// One of its mails came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSendBounced {
    /// Of the address, from 0.
    pub place: u16,
    pub kind: BounceKind,
    /// `5.1.1` (RFC 3463).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// The receiver of one of its mails called it spam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSendComplained {
    pub place: u16,
    /// A word of RFC 5965.
    pub kind: String,
}

/// What became of one test mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutcome {
    pub fate: Fate,
    /// A stage and a code, or why nothing was sent; never a provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}
