//! A campaign: one message to everybody who is in a segment when it goes out.
//!
//! When its time has come it is launched, then its audience is frozen into chunks (see [`super::chunk`]), and when each of
//! those is done it is finished.

use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a campaign.
    pub enum CampaignEvent {
        Created(CampaignCreated) = "campaign.created" @ 1,
        AudienceSet(AudienceSet) = "campaign.audience_set" @ 1,
        ContentSet(ContentSet) = "campaign.content_set" @ 1,
        Scheduled(CampaignScheduled) = "campaign.scheduled" @ 1,
        Unscheduled(CampaignUnscheduled) = "campaign.unscheduled" @ 1,
        Cancelled(CampaignCancelled) = "campaign.cancelled" @ 1,
        Launched(CampaignLaunched) = "campaign.launched" @ 1,
        AudienceFrozen(AudienceFrozen) = "campaign.audience_frozen" @ 1,
        Paused(CampaignPaused) = "campaign.paused" @ 1,
        Resumed(CampaignResumed) = "campaign.resumed" @ 1,
        Finished(CampaignFinished) = "campaign.finished" @ 1,
        Retried(CampaignRetried) = "campaign.retried" @ 1,
    }
}

/// What a receiver must have agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentPurpose {
    Service,
    Marketing,
}

/// Who gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// A filter of contacts as a JSON object, kept as it was written. It says what people have in common; it is no
    /// place for one person's data.
    pub filter: String,
    pub purpose: ConsentPurpose,
    /// The saved segment it is of: until the launch that one's filter counts, then the one it had at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Uuid>,
}

/// What it says. A draft may lack anything; scheduling asks for what is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignContent {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The line a mailbox shows after the subject.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preheader: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub html: String,
    /// The plain part; made from the HTML when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is watched of its readers; nothing unless its author says so.
    #[serde(default, skip_serializing_if = "Tracking::is_off")]
    pub tracking: Tracking,
}

/// What is watched of the readers of marketing mail. Service mail is never watched: nobody agreed to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// A picture of one dot says that the mail was opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opens: bool,
    /// Links lead over this platform.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clicks: bool,
    /// With `clicks`: one more link that no person sees, for telling programs from people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub honeypot: bool,
    /// Words added to links that have none of them, for the statistics of the sites they lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utm: Option<Utm>,
}

impl Tracking {
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

/// `utm_source`, `utm_medium` and `utm_campaign`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Utm {
    pub source: String,
    pub medium: String,
    pub campaign: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignCreated {
    pub name: String,
}

/// The audience is now this, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudienceSet {
    pub segment: Segment,
}

/// The content is now this, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentSet {
    pub content: CampaignContent,
}

/// It goes out at this time; audience and content stay as they are until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignScheduled {
    pub at: Micros,
    /// The IANA name of the zone its author thinks in, for showing the time.
    pub time_zone: String,
}

/// It is a draft again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignUnscheduled {}

/// It will never go out, or nothing more of it will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignCancelled {}

/// Its time has come: from now on it cannot be changed, and its audience is being found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignLaunched {
    /// The time it was scheduled for.
    pub scheduled: Micros,
    /// What `$NOW` in the filter of its segment means.
    pub at: Micros,
    /// The filter that counts from now on, when the audience is a saved segment that has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Everybody who gets it stands in its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudienceFrozen {
    pub chunks: u32,
    pub recipients: u64,
}

/// Nothing is sent until it is resumed; what is under way ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignPaused {
    /// Why, when the platform itself paused it: a sentence for its author. Absent when a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignResumed {}

/// Every recipient has an end; these many had each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignFinished {
    pub counts: SendCounts,
}

/// A person asked for another attempt at those who did not get it: a finished campaign is on its way again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignRetried {
    /// Counts the retries of the campaign, from 1 on.
    pub round: u32,
    /// Whom; ascending.
    pub ends: Vec<RetriedEnd>,
}

/// Recipients that may be tried again, by how their first attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetriedEnd {
    /// Nobody took it as often as it was tried.
    Deferred,
    Rejected,
    /// It may have been taken: this one may get the mail twice. Once only.
    Unknown,
}

impl RetriedEnd {
    pub const ALL: [Self; 3] = [Self::Deferred, Self::Rejected, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

/// Recipients of a campaign by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendCounts {
    pub accepted: u64,
    pub rejected: u64,
    /// Nobody took it as often as it was tried.
    pub deferred: u64,
    /// The provider may have taken it, and nobody can tell.
    pub unknown: u64,
    pub skipped: u64,
}

impl SendCounts {
    pub fn total(&self) -> u64 {
        self.accepted + self.rejected + self.deferred + self.unknown + self.skipped
    }
}
