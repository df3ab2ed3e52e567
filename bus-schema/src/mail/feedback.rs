//! What came back about one mail: its server could not deliver it, or did; its receiver called it spam, or took that back.
//!
//! One aggregate for each mail (campaign, contact, generation). Reports come in any order, late, and more than once; what is
//! known in the end is the same (spec/EMAIL.md 3.1, checks 54 to 58). Receivers are named by their ids only.

use super::response::MailRef;
use crate::{events, ids::CommandId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can come back about a mail.
    pub enum FeedbackEvent {
        Bounced(MailBounced) = "feedback.bounced" @ 1,
        Delivered(MailDelivered) = "feedback.delivered" @ 1,
        Complained(MailComplained) = "feedback.complained" @ 1,
        ComplaintWithdrawn(ComplaintWithdrawn) = "feedback.complaint_withdrawn" @ 1,
    }
}

/// The id follows from the mail, so every report about it meets the same aggregate.
pub fn feedback_id(mail: &MailRef) -> Uuid {
    let MailRef { campaign, contact, generation, .. } = mail;
    CommandId::derived(&["mail.feedback", &campaign.to_string(), &contact.to_string(), &generation.to_string()]).0
}

/// How final a bounce is, from what says least to what says most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BounceKind {
    /// It was refused, and that says nothing about the address: its content, the sender, a rule.
    Undetermined,
    /// The mailbox is full or its server was away for too long.
    Transient,
    /// There is no such mailbox.
    Permanent,
}

impl BounceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undetermined => "undetermined",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

/// The mail came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailBounced {
    pub mail: MailRef,
    pub kind: BounceKind,
    /// What was known before, if this says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<BounceKind>,
    /// `5.1.1` (RFC 3463). Not the server's words, which often hold the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What said so: `dsn`, `smtp`, `sns`.
    pub via: String,
}

/// The receiver's server took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailDelivered {
    pub mail: MailRef,
    pub via: String,
}

/// The receiver called it spam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailComplained {
    pub mail: MailRef,
    /// A word of RFC 5965: `abuse`, `fraud`, …
    pub kind: String,
    pub via: String,
}

/// The receiver said that it is no spam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComplaintWithdrawn {
    pub mail: MailRef,
    pub via: String,
}

impl FeedbackEvent {
    pub fn mail(&self) -> MailRef {
        match self {
            Self::Bounced(event) => event.mail,
            Self::Delivered(event) => event.mail,
            Self::Complained(event) => event.mail,
            Self::ComplaintWithdrawn(event) => event.mail,
        }
    }
}
