//! Campaigns: an audience and a content, both complete before a time is set, both frozen while it is.

mod content;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
};
use bus_schema::{
    Micros,
    mail::campaign::{
        AudienceSet, CampaignCancelled, CampaignContent, CampaignCreated, CampaignEvent, CampaignScheduled,
        CampaignUnscheduled, ContentSet, Segment,
    },
};
pub use content::{MAX_FILTER, MAX_HTML, MAX_TEXT};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A campaign. Its parts are shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Campaign {
    name: String,
    status: CampaignStatus,
    segment: Option<Arc<Segment>>,
    content: Option<Arc<CampaignContent>>,
}

/// How far a campaign is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CampaignStatus {
    #[default]
    Absent,
    Draft,
    Scheduled {
        at: Micros,
        time_zone: String,
    },
    Cancelled,
}

/// What can be asked of a campaign.
#[derive(Clone, Debug)]
pub enum CampaignCommand {
    Create {
        name: String,
    },
    SetAudience {
        segment: Segment,
    },
    SetContent {
        content: CampaignContent,
    },
    /// Sets the time, another one too while it is scheduled. `time_zone` is an IANA name.
    Schedule {
        at: Micros,
        time_zone: String,
    },
    /// Makes it a draft again.
    Unschedule,
    Cancel,
}

rejections! {
    /// Why a command to a campaign is refused.
    pub enum CampaignRejection {
        Unknown: Missing, "campaign_not_found", "", "there is no such campaign";
        Exists: State, "campaign_exists", "", "the campaign exists already";
        Scheduled: State, "campaign_scheduled", "", "the campaign is scheduled and cannot be changed; unschedule it first";
        Cancelled: State, "campaign_cancelled", "", "the campaign was cancelled and cannot be used any more";
        NoAudience: State, "audience_missing", "/segment", "the campaign has no audience yet";
        ContentIncomplete { field: &'static str }: State, "content_incomplete", "/content/{field}", "the campaign cannot go out without {field}";
        TimePast: Invalid, "time_past", "/at", "the time must be in the future";
        TimeTooFar: Invalid, "time_too_far", "/at", "the time must be within a year";
        InvalidZone: Invalid, "invalid_time_zone", "/time_zone", "a time zone is an IANA name, for example Europe/Berlin";
        InvalidFilter: Invalid, "invalid_filter", "/segment/filter", "a filter is a JSON object";
        InvalidAddress: Invalid, "invalid_email", "/content/from_email", "a sender has the form name@domain in ASCII (RFC 5321), at most 254 characters";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of filter, html and text, characters of other fields)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed, and no line break where one line is meant";
    }
}

impl From<TextFault> for CampaignRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Campaign {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn status(&self) -> &CampaignStatus {
        &self.status
    }

    pub fn segment(&self) -> Option<&Segment> {
        self.segment.as_deref()
    }

    pub fn content(&self) -> Option<&CampaignContent> {
        self.content.as_deref()
    }

    /// Whether audience and content may change.
    fn open(&self) -> Result<(), CampaignRejection> {
        match self.status {
            CampaignStatus::Scheduled { .. } => Err(CampaignRejection::Scheduled),
            _ => Ok(()),
        }
    }

    fn schedule(&self, at: Micros, zone: &str, now: Micros) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        let time_zone = content::valid_zone(zone)?;
        if matches!(&self.status, CampaignStatus::Scheduled { at: set, time_zone: named } if *set == at && named == time_zone)
        {
            return Ok(Decision::nothing());
        }
        let at = content::valid_time(at, now)?;
        self.segment.as_ref().ok_or(CampaignRejection::NoAudience)?;
        content::complete(self.content().unwrap_or(&CampaignContent::default()))?;
        Ok(Decision::event(CampaignScheduled { at, time_zone: time_zone.to_owned() }))
    }
}

impl Decider for Campaign {
    type Event = CampaignEvent;
    type Command = CampaignCommand;
    type Rejection = CampaignRejection;

    fn decide(&self, command: &CampaignCommand, ctx: &Ctx) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        use CampaignRejection as R;
        match (&self.status, command) {
            (_, CampaignCommand::Create { .. }) => {}
            (CampaignStatus::Absent, _) => return Err(R::Unknown),
            (CampaignStatus::Cancelled, CampaignCommand::Cancel) => return Ok(Decision::nothing()),
            (CampaignStatus::Cancelled, _) => return Err(R::Cancelled),
            _ => {}
        }
        match command {
            CampaignCommand::Create { name } => {
                let name = text::required_line("name", name, 200)?;
                if self.status != CampaignStatus::Absent {
                    return Err(R::Exists);
                }
                Ok(Decision::event(CampaignCreated { name }))
            }
            CampaignCommand::SetAudience { segment } => {
                self.open()?;
                let segment = content::valid_segment(segment)?;
                if self.segment() == Some(&segment) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(AudienceSet { segment }))
            }
            CampaignCommand::SetContent { content } => {
                self.open()?;
                let content = content::valid_content(content)?;
                if self.content() == Some(&content) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ContentSet { content }))
            }
            CampaignCommand::Schedule { at, time_zone } => self.schedule(*at, time_zone, ctx.now),
            CampaignCommand::Unschedule => match self.status {
                CampaignStatus::Scheduled { .. } => Ok(Decision::event(CampaignUnscheduled {})),
                _ => Ok(Decision::nothing()),
            },
            CampaignCommand::Cancel => Ok(Decision::event(CampaignCancelled {})),
        }
    }

    fn evolve(&mut self, event: &CampaignEvent) {
        match event {
            CampaignEvent::Created(created) => {
                self.name = created.name.clone();
                self.status = CampaignStatus::Draft;
            }
            CampaignEvent::AudienceSet(set) => self.segment = Some(Arc::new(set.segment.clone())),
            CampaignEvent::ContentSet(set) => self.content = Some(Arc::new(set.content.clone())),
            CampaignEvent::Scheduled(scheduled) => {
                let time_zone = scheduled.time_zone.clone();
                self.status = CampaignStatus::Scheduled { at: scheduled.at, time_zone };
            }
            CampaignEvent::Unscheduled(_) => self.status = CampaignStatus::Draft,
            CampaignEvent::Cancelled(_) => self.status = CampaignStatus::Cancelled,
        }
    }

    fn creates(command: &CampaignCommand) -> bool {
        matches!(command, CampaignCommand::Create { .. })
    }

    /// A campaign claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> CampaignRejection {
        CampaignRejection::Exists
    }
}

#[cfg(test)]
mod tests;
