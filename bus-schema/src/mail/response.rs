//! What receivers do with a mail: it is opened, a link of it is followed, its receiver leaves. Facts only: nobody decides
//! them.
//!
//! Every hit is kept with what it is taken for ([`ResponseClass`]) and why, so that a report can show people and programs
//! apart, and rules of later can be tried on old hits (spec/EMAIL.md 2.2). No address of a person is in them: where a
//! hit came from stands as a hash under the tenant's key that differs from day to day.

use crate::events;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The facts of the journal `response`.
    pub enum ResponseEvent {
        Opened(MailOpened) = "mail.opened" @ 1,
        Clicked(MailClicked) = "mail.clicked" @ 1,
        Left(MailLeft) = "mail.left" @ 1,
    }
}

/// Which mail it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailRef {
    pub campaign: Uuid,
    pub contact: Uuid,
    /// Where the receiver stands in the campaign's audience; absent when the link did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
    /// Raised when a person asked for a resend.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
}

/// A place in a campaign's frozen audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat {
    /// The number of the chunk.
    pub chunk: u32,
    /// The place in the chunk.
    pub index: u16,
}

/// What a hit is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseClass {
    Human,
    /// Apple's Mail Privacy Protection loads every picture of every mail. A person may have looked too.
    MachineMpp,
    /// Something loaded it ahead.
    Prefetch,
    /// A program that looks into mails.
    Scanner,
    #[default]
    Unknown,
}

impl ResponseClass {
    pub const ALL: [Self; 5] = [Self::Human, Self::MachineMpp, Self::Prefetch, Self::Scanner, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::MachineMpp => "machine_mpp",
            Self::Prefetch => "prefetch",
            Self::Scanner => "scanner",
            Self::Unknown => "unknown",
        }
    }
}

/// The picture of a mail was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailOpened {
    pub mail: MailRef,
    pub class: ResponseClass,
    /// The rule that decided: a word such as `apple_proxy`.
    pub reason: String,
    /// Where it came from: equal within a day and a tenant for the same network, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A link of a mail was followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailClicked {
    pub mail: MailRef,
    /// Which link of the mail, from 0 on; [`HONEYPOT`] is the one people do not see.
    pub link: u16,
    /// Where it leads, without query and fragment, in which people's data mostly is.
    pub target: String,
    pub class: ResponseClass,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// The link that no person sees: whatever follows it is a program.
pub const HONEYPOT: u16 = u16::MAX;

/// The receiver left by the link of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailLeft {
    pub mail: MailRef,
}

impl ResponseEvent {
    pub fn mail(&self) -> MailRef {
        match self {
            Self::Opened(event) => event.mail,
            Self::Clicked(event) => event.mail,
            Self::Left(event) => event.mail,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
