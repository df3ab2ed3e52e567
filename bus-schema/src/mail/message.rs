//! A message: one mail to one person, because of something they did or asked for.
//!
//! It is sent at least once, and each attempt has the same Message-ID (spec/EMAIL.md 5.1): what is not known to be taken is
//! sent again. So its subject begins with the intent and gets one more event for each attempt that ended. To whom and what it
//! says is sealed under the receiver's key, so it is gone with the receiver. Secrets do not belong into it: the link of a
//! password reset is made while the mail is made.

use super::feedback::BounceKind;
use crate::{
    events,
    sealed::{Personal, Sealed},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a message.
    pub enum MessageEvent {
        Requested(MessageRequested) = "message.requested" @ 1,
        Accepted(MessageAccepted) = "message.accepted" @ 1,
        Deferred(MessageDeferred) = "message.deferred" @ 1,
        Rejected(MessageRejected) = "message.rejected" @ 1,
        Parked(MessageParked) = "message.parked" @ 1,
        Withheld(MessageWithheld) = "message.withheld" @ 1,
        Expired(MessageExpired) = "message.expired" @ 1,
        Cancelled(MessageCancelled) = "message.cancelled" @ 1,
        Bounced(MessageBounced) = "message.bounced" @ 1,
        Requeued(MessageRequeued) = "message.requeued" @ 1,
        Delivered(MessageDelivered) = "message.delivered" @ 1,
        Complained(MessageComplained) = "message.complained" @ 1,
        ComplaintWithdrawn(MessageComplaintWithdrawn) = "message.complaint_withdrawn" @ 1,
    }
}

/// Why somebody gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// An order is paid.
    Receipt,
    /// Somebody is in a course.
    Enrolment,
    /// Somebody forgot a password.
    PasswordReset,
    /// Somebody is to choose the first password of an account.
    Invitation,
    /// Somebody is asked whether they meant it (double opt-in).
    Confirmation,
    /// An author looks at their own campaign.
    Test,
    /// Whatever the tenant has to say, in its own words.
    Own,
}

impl MessageKind {
    pub const ALL: [Self; 7] = [
        Self::Receipt,
        Self::Enrolment,
        Self::PasswordReset,
        Self::Invitation,
        Self::Confirmation,
        Self::Test,
        Self::Own,
    ];

    /// Its word, also in filters and as the name of its template.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Enrolment => "enrolment",
            Self::PasswordReset => "password_reset",
            Self::Invitation => "invitation",
            Self::Confirmation => "confirmation",
            Self::Test => "test",
            Self::Own => "own",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// To whom it goes and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageContent {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The fields of its template, a JSON object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
    /// Its own words, which are templates too; those of its kind when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<MessageWords>,
}

impl Personal for MessageContent {
    const LABEL: &'static str = "mail.message.content";
}

/// What a mail says, as templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageWords {
    pub subject: String,
    pub html: String,
    /// The plain part; made from the HTML when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// From whom it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSender {
    pub name: String,
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

/// Somebody is to get a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRequested {
    pub kind: MessageKind,
    /// A template of the tenant instead of that of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Who gets it, when that is a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Uuid>,
    /// Who gets it, when that is an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
    /// What it is about: an order, an enrolment, a campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Uuid>,
    pub content: Sealed<MessageContent>,
    /// As it was when the message was requested, because the Message-ID is in its domain; the platform's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<MessageSender>,
    /// It is of no use after this.
    pub expires_at: Micros,
}

/// The provider took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageAccepted {
    pub generation: u32,
    /// Counts the attempts of a generation, from 1.
    pub attempt: u32,
    /// Without angle brackets.
    pub message_id: String,
    /// What the provider calls the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}

/// An attempt ended without the mail being known to be taken; another follows, with the same Message-ID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageDeferred {
    pub generation: u32,
    pub attempt: u32,
    /// A stage and a code, never a provider's words, which may hold an address: `rcpt 450 4.2.1`.
    pub cause: String,
    /// The provider may have taken it. It is sent again all the same: that is the class's rule.
    pub unknown: bool,
    pub retry_at: Micros,
    /// Of an attempt that may have been taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Nobody will take it as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRejected {
    pub generation: u32,
    pub attempt: u32,
    pub cause: String,
}

/// It was tried as often as it is tried, or cannot be made. It waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageParked {
    pub generation: u32,
    pub attempt: u32,
    pub cause: String,
}

/// It is not sent: its receiver was erased, or gets no mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageWithheld {
    pub cause: String,
}

/// Its time was over before it could be handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageExpired {}

/// Somebody does not want it to be sent any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageCancelled {}

/// It came back after it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageBounced {
    pub generation: u32,
    /// A code: `5.1.1`, or how final it is when there is none.
    pub cause: String,
    /// How final it is. A graver one may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<BounceKind>,
}

/// Its receiver's server took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageDelivered {
    pub generation: u32,
}

/// Its receiver called it spam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageComplained {
    pub generation: u32,
    /// A word of RFC 5965: `abuse`, `fraud`, …
    pub kind: String,
}

/// Its receiver said that it is no spam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageComplaintWithdrawn {
    pub generation: u32,
}

/// Somebody wants it to be sent, again or after all. A higher generation is another mail with a Message-ID of its own; the
/// same one goes on with the mail there was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRequeued {
    pub generation: u32,
    pub expires_at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_words_they_are_stored_with() {
        for kind in MessageKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(MessageKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(MessageKind::parse("postcard"), None);
    }
}
