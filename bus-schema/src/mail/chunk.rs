//! A chunk: a part of a campaign's frozen audience, sent by one worker at a time.
//!
//! A chunk is the fence of sending. Its events are appended under the expectation of its last position, so of two workers
//! that both believe to own it only one gets its next window recorded, and a mail is handed over only in a window that is
//! recorded. Between `window_attempting` and `window_outcome` nobody but the worker's own journal knows how far it came
//! (spec/EMAIL.md 5.3). Receivers are named by their ids only; their addresses are looked up when they are needed.

use super::campaign::ConsentPurpose;
use crate::{events, ids::CommandId, time::Micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most recipients of a chunk.
pub const MAX_RECIPIENTS: usize = 500;
/// The most recipients of a window: what is unknown after a host is lost.
pub const MAX_WINDOW: usize = 32;

events! {
    /// What can happen to a chunk.
    pub enum ChunkEvent {
        Planned(ChunkPlanned) = "chunk.planned" @ 1,
        Claimed(ChunkClaimed) = "chunk.claimed" @ 1,
        WindowAttempting(WindowAttempting) = "chunk.window_attempting" @ 1,
        WindowOutcome(WindowOutcome) = "chunk.window_outcome" @ 1,
        Done(ChunkDone) = "chunk.done" @ 1,
        Reopened(ChunkReopened) = "chunk.reopened" @ 1,
        Reconciled(ChunkReconciled) = "chunk.reconciled" @ 1,
    }
}

/// The id of a chunk follows from its campaign and its number, so planning it again makes no second one.
pub fn chunk_id(campaign: Uuid, number: u32) -> Uuid {
    CommandId::derived(&["mail.chunk", &campaign.to_string(), &number.to_string()]).0
}

/// The place of a chunk in its campaign; every event of it says it, so that a reader needs no other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkPlace {
    pub campaign: Uuid,
    /// From 0 on, in the order of the recipients' ids.
    pub number: u32,
}

impl ChunkEvent {
    pub fn place(&self) -> ChunkPlace {
        let (campaign, number) = match self {
            Self::Planned(event) => (event.campaign, event.number),
            Self::Claimed(event) => (event.campaign, event.number),
            Self::WindowAttempting(event) => (event.campaign, event.number),
            Self::WindowOutcome(event) => (event.campaign, event.number),
            Self::Done(event) => (event.campaign, event.number),
            Self::Reopened(event) => (event.campaign, event.number),
            Self::Reconciled(event) => (event.campaign, event.number),
        };
        ChunkPlace { campaign, number }
    }
}

/// These receive the campaign, and this is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkPlanned {
    pub campaign: Uuid,
    pub number: u32,
    /// Contacts, ascending; at most [`MAX_RECIPIENTS`].
    pub recipients: Vec<Uuid>,
    pub class: ConsentPurpose,
    /// SHA-256 of what the campaign says, in hexadecimal digits: what is sent later must be that.
    pub content_hash: String,
    /// Raised when a person asks for a resend; part of each mail's Message-ID.
    pub generation: u32,
}

/// A worker has the chunk until then, or longer if it says so. The same epoch again: the lease is extended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkClaimed {
    pub campaign: Uuid,
    pub number: u32,
    /// The worker's journal: whoever has that is the worker, whatever its process.
    pub worker: String,
    /// Counts the owners of the chunk.
    pub epoch: u32,
    pub lease_until: Micros,
}

/// From here on each of these may have been sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowAttempting {
    pub campaign: Uuid,
    pub number: u32,
    pub epoch: u32,
    /// Places in the chunk's recipients, ascending; at most [`MAX_WINDOW`].
    pub indexes: Vec<u16>,
    /// How many of them were deferred before; the others were never attempted.
    pub again: u16,
    pub lease_until: Micros,
}

/// What became of each recipient of the open window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowOutcome {
    pub campaign: Uuid,
    pub number: u32,
    pub epoch: u32,
    /// One for each index of the window, ascending.
    pub outcomes: Vec<Outcome>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub index: u16,
    pub fate: Fate,
    /// A stage and a code, never a provider's words, which may hold an address: `rcpt 550 5.1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the provider calls the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Which provider it was, as the installation calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Of a deferred or unsent one: when it may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Micros>,
}

impl Outcome {
    pub fn new(index: u16, fate: Fate) -> Self {
        Self { index, fate, cause: None, provider_id: None, provider: None, retry_at: None }
    }

    pub fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

/// How it ended for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The provider took it.
    Accepted,
    /// Nobody will take it as it is.
    Rejected,
    /// Nobody took it; it may be taken later.
    Deferred,
    /// The provider may have taken it: it is not sent again.
    Unknown,
    /// It was not sent, and will not be: no consent any more, no address, nothing to say to this person.
    Skipped,
    /// It was not sent, and stays to be sent.
    Unsent,
}

/// A person asked for another attempt: these are to be sent again, each with the Message-ID it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkReopened {
    pub campaign: Uuid,
    pub number: u32,
    /// Which retry of the campaign it was.
    pub round: u32,
    /// By what they were until now, ascending.
    pub deferred: Vec<u16>,
    pub rejected: Vec<u16>,
    pub unknown: Vec<u16>,
}

/// Of these recipients it was unknown whether the provider took their mail, and now it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkReconciled {
    pub campaign: Uuid,
    pub number: u32,
    /// Ascending.
    pub entries: Vec<Reconciled>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    pub index: u16,
    /// True: the provider took it. False: it did not, and the recipient counts as deferred.
    pub accepted: bool,
    pub proof: Proof,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}

/// How it is known. All but the first two can come only from a mail that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// An event of the provider names the mail.
    ProviderEvent,
    /// The provider's log or queue was searched for the Message-ID.
    ProviderLog,
    Bounce,
    Complaint,
    Open,
    Click,
    Unsubscribe,
}

impl Proof {
    pub const ALL: [Self; 7] = [
        Self::ProviderEvent,
        Self::ProviderLog,
        Self::Bounce,
        Self::Complaint,
        Self::Open,
        Self::Click,
        Self::Unsubscribe,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderEvent => "provider_event",
            Self::ProviderLog => "provider_log",
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Open => "open",
            Self::Click => "click",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.as_str() == name)
    }

    /// Whether it can show that a mail was not taken.
    pub fn can_deny(self) -> bool {
        matches!(self, Self::ProviderEvent | Self::ProviderLog)
    }
}

/// Nothing is left to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkDone {
    pub campaign: Uuid,
    pub number: u32,
    pub epoch: u32,
}
