//! A campaign: one message to everybody who is in a segment when it goes out.

use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a campaign until it is sent.
    pub enum CampaignEvent {
        Created(CampaignCreated) = "campaign.created" @ 1,
        AudienceSet(AudienceSet) = "campaign.audience_set" @ 1,
        ContentSet(ContentSet) = "campaign.content_set" @ 1,
        Scheduled(CampaignScheduled) = "campaign.scheduled" @ 1,
        Unscheduled(CampaignUnscheduled) = "campaign.unscheduled" @ 1,
        Cancelled(CampaignCancelled) = "campaign.cancelled" @ 1,
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

/// It will never go out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignCancelled {}
