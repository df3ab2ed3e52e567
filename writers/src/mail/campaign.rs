//! Campaigns: an audience and a content, both complete before a time is set, both frozen while it is, and for good once
//! its time has come. What is sent to whom is decided in its chunks.

mod content;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
};
use bus_schema::{
    Micros,
    mail::campaign::{
        AudienceFrozen, AudienceSet, CampaignCancelled, CampaignContent, CampaignCreated, CampaignEvent,
        CampaignFinished, CampaignLaunched, CampaignPaused, CampaignResumed, CampaignRetried, CampaignScheduled,
        CampaignUnscheduled, ContentSet, RetriedEnd, Segment, SendCounts,
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
    /// Since it was launched.
    #[serde(default)]
    launch: Option<Launch>,
}

/// What is known of a campaign whose time has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What `$NOW` in the segment's filter means.
    pub at: Micros,
    /// Once its audience stands in chunks.
    pub audience: Option<Audience>,
    /// Once it is finished.
    pub counts: Option<SendCounts>,
    /// The retry it is on, or was last.
    #[serde(default)]
    pub retry: Option<Retry>,
}

/// Another attempt at those who did not get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// From 1 on.
    pub round: u32,
    pub ends: Vec<RetriedEnd>,
}

/// A frozen audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    pub chunks: u32,
    pub recipients: u64,
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
    /// Launched: its audience is being found, or it is being sent.
    Sending,
    /// Launched, and nothing is sent for now.
    Paused,
    /// Every recipient has an end.
    Finished,
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
    /// Sets the time, another one too while it is scheduled; without one it goes out now. `time_zone` is an IANA name; without one it
    /// stays as it is scheduled, and is UTC where it is not.
    Schedule {
        at: Option<Micros>,
        time_zone: Option<String>,
    },
    /// Makes it a draft again.
    Unschedule,
    /// It will not go out, or nothing more of it will.
    Cancel,
    /// Its time has come. `filter` is that of its saved segment at this moment.
    Launch {
        filter: Option<String>,
    },
    /// Its chunks are planned, all of them.
    Freeze {
        audience: Audience,
    },
    /// `trouble` says why, when it is not a person who asks.
    Pause {
        trouble: Option<String>,
    },
    Resume,
    /// Its chunks are done, all of them.
    Finish {
        counts: SendCounts,
    },
    /// A finished one goes out again to those with these ends.
    Retry {
        ends: Vec<RetriedEnd>,
    },
}

rejections! {
    /// Why a command to a campaign is refused.
    pub enum CampaignRejection {
        Unknown: Missing, "campaign_not_found", "", "there is no such campaign";
        Exists: State, "campaign_exists", "", "the campaign exists already";
        Scheduled: State, "campaign_scheduled", "", "the campaign is scheduled and cannot be changed; unschedule it first";
        Cancelled: State, "campaign_cancelled", "", "the campaign was cancelled and cannot be used any more";
        Launched: State, "campaign_launched", "", "the campaign is on its way and cannot be changed; it can be paused, resumed and cancelled";
        NotLaunched: State, "campaign_not_launched", "", "the campaign is not on its way, so it cannot be paused or resumed";
        Finished: State, "campaign_finished", "", "the campaign was sent to everybody it was for";
        NotFinished: State, "campaign_not_finished", "", "the campaign is not finished; those it did not reach can be tried again when it is";
        Unsettled: State, "unknown_unsettled", "", "the campaign ended less than 15 minutes ago: mails that were taken may still prove it by themselves; wait, or send at_once";
        NoEnds: Invalid, "ends_missing", "/ends", "name one or more of deferred, rejected and unknown";
        NotDue: State, "campaign_not_due", "", "the campaign is not scheduled, or its time has not come yet";
        NotFrozen: State, "audience_not_frozen", "", "the campaign's audience is not complete yet";
        WrongCounts: Invalid, "wrong_counts", "/counts", "the counts do not add up to the campaign's recipients";
        NoAudience: State, "audience_missing", "/segment", "the campaign has no audience yet";
        ContentIncomplete { field: &'static str }: State, "content_incomplete", "/content/{field}", "the campaign cannot go out without {field}";
        PostalAddressMissing: State, "postal_address_missing", "", "marketing mail shows the sender's postal address, and none is set; set it with PUT /v1/tenant/postal-address";
        Unfit: State, "campaign_unfit", "/content", "the campaign cannot be sent as it is";
        TimePast: Invalid, "time_past", "/at", "the time must be in the future";
        TimeTooFar: Invalid, "time_too_far", "/at", "the time must be within a year";
        InvalidZone: Invalid, "invalid_time_zone", "/time_zone", "a time zone is an IANA name, for example Europe/Berlin";
        InvalidFilter: Invalid, "invalid_filter", "/segment/filter", "a filter is a JSON object";
        InvalidAddress: Invalid, "invalid_email", "/content/from_email", "a sender has the form name@domain in ASCII (RFC 5321), at most 254 characters";
        HoneypotAlone: Invalid, "honeypot_alone", "/content/tracking/honeypot", "the link no person sees needs links that are followed: set clicks too";
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

    /// Since it was launched, also when it was cancelled after that.
    pub fn launch(&self) -> Option<&Launch> {
        self.launch.as_ref()
    }

    /// Whether audience and content may change.
    fn open(&self) -> Result<(), CampaignRejection> {
        match self.status {
            CampaignStatus::Scheduled { .. } => Err(CampaignRejection::Scheduled),
            _ => self.grounded(),
        }
    }

    /// Refuses what cannot be done any more once it is launched.
    fn grounded(&self) -> Result<(), CampaignRejection> {
        match self.status {
            CampaignStatus::Sending | CampaignStatus::Paused => Err(CampaignRejection::Launched),
            CampaignStatus::Finished => Err(CampaignRejection::Finished),
            _ => Ok(()),
        }
    }

    fn launch_now(&self, now: Micros, filter: Option<&str>) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        match self.status {
            CampaignStatus::Scheduled { at, .. } if at <= now => {
                let known = self.segment().map(|segment| segment.filter.as_str());
                let filter = filter.filter(|filter| Some(*filter) != known).map(str::to_owned);
                Ok(Decision::event(CampaignLaunched { scheduled: at, at: now, filter }))
            }
            CampaignStatus::Sending | CampaignStatus::Paused | CampaignStatus::Finished => Ok(Decision::nothing()),
            _ => Err(CampaignRejection::NotDue),
        }
    }

    /// Since it is on its way: the audience it is sent to, once that is known.
    fn under_way(&self) -> Result<Option<Audience>, CampaignRejection> {
        let launched =
            matches!(self.status, CampaignStatus::Sending | CampaignStatus::Paused | CampaignStatus::Finished);
        let launch = self.launch.as_ref().filter(|_| launched).ok_or(CampaignRejection::NotLaunched)?;
        Ok(launch.audience)
    }

    fn freeze(&self, audience: Audience) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        match self.under_way()? {
            None => {
                let Audience { chunks, recipients } = audience;
                Ok(Decision::event(AudienceFrozen { chunks, recipients }))
            }
            Some(frozen) if frozen == audience => Ok(Decision::nothing()),
            Some(_) => Err(CampaignRejection::Launched),
        }
    }

    fn finish(&self, counts: SendCounts) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        let audience = self.under_way()?.ok_or(CampaignRejection::NotFrozen)?;
        if self.status == CampaignStatus::Finished {
            return Ok(Decision::nothing());
        }
        if counts.total() != audience.recipients {
            return Err(CampaignRejection::WrongCounts);
        }
        Ok(Decision::event(CampaignFinished { counts }))
    }

    fn retry(&self, ends: &[RetriedEnd]) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        if ends.is_empty() {
            return Err(CampaignRejection::NoEnds);
        }
        let launch = self.launch.as_ref().filter(|_| self.status == CampaignStatus::Finished);
        let launch = launch.ok_or(CampaignRejection::NotFinished)?;
        let round = launch.retry.as_ref().map_or(1, |retry| retry.round.saturating_add(1));
        let mut ends = ends.to_vec();
        ends.sort_unstable();
        ends.dedup();
        Ok(Decision::event(CampaignRetried { round, ends }))
    }

    fn schedule(
        &self,
        at: Option<Micros>,
        zone: Option<&str>,
        now: Micros,
    ) -> Result<Decision<CampaignEvent>, CampaignRejection> {
        let set = match &self.status {
            CampaignStatus::Scheduled { at, time_zone } => Some((*at, time_zone.as_str())),
            _ => None,
        };
        let time_zone = match (zone, set) {
            (Some(zone), _) => content::valid_zone(zone)?,
            (None, Some((_, time_zone))) => time_zone,
            (None, None) => "UTC",
        };
        if let Some((set, named)) = set
            && at.map_or(set <= now, |at| set == at)
            && named == time_zone
        {
            return Ok(Decision::nothing());
        }
        let at = at.map_or(Ok(now), |at| content::valid_time(at, now))?;
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
            CampaignCommand::Schedule { at, time_zone } => {
                self.grounded()?;
                self.schedule(*at, time_zone.as_deref(), ctx.now)
            }
            CampaignCommand::Unschedule => {
                self.grounded()?;
                match self.status {
                    CampaignStatus::Scheduled { .. } => Ok(Decision::event(CampaignUnscheduled {})),
                    _ => Ok(Decision::nothing()),
                }
            }
            CampaignCommand::Cancel if self.status == CampaignStatus::Finished => Err(R::Finished),
            CampaignCommand::Cancel => Ok(Decision::event(CampaignCancelled {})),
            CampaignCommand::Launch { filter } => self.launch_now(ctx.now, filter.as_deref()),
            CampaignCommand::Freeze { audience } => self.freeze(*audience),
            CampaignCommand::Pause { trouble } => match self.status {
                CampaignStatus::Sending => {
                    let trouble = trouble.as_ref().map(|trouble| trouble.chars().take(500).collect());
                    Ok(Decision::event(CampaignPaused { trouble }))
                }
                CampaignStatus::Paused => Ok(Decision::nothing()),
                CampaignStatus::Finished => Err(R::Finished),
                _ => Err(R::NotLaunched),
            },
            CampaignCommand::Resume => match self.status {
                CampaignStatus::Paused => Ok(Decision::event(CampaignResumed {})),
                CampaignStatus::Sending => Ok(Decision::nothing()),
                CampaignStatus::Finished => Err(R::Finished),
                _ => Err(R::NotLaunched),
            },
            CampaignCommand::Finish { counts } => self.finish(*counts),
            CampaignCommand::Retry { ends } => self.retry(ends),
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
            CampaignEvent::Launched(launched) => {
                if let (Some(filter), Some(segment)) = (&launched.filter, &mut self.segment) {
                    *segment = Arc::new(Segment { filter: filter.clone(), ..(**segment).clone() });
                }
                self.launch = Some(Launch { at: launched.at, audience: None, counts: None, retry: None });
                self.status = CampaignStatus::Sending;
            }
            CampaignEvent::AudienceFrozen(frozen) => {
                let AudienceFrozen { chunks, recipients } = *frozen;
                if let Some(launch) = &mut self.launch {
                    launch.audience = Some(Audience { chunks, recipients });
                }
            }
            CampaignEvent::Paused(_) => self.status = CampaignStatus::Paused,
            CampaignEvent::Resumed(_) => self.status = CampaignStatus::Sending,
            CampaignEvent::Finished(finished) => {
                if let Some(launch) = &mut self.launch {
                    launch.counts = Some(finished.counts);
                }
                self.status = CampaignStatus::Finished;
            }
            CampaignEvent::Retried(retried) => {
                if let Some(launch) = &mut self.launch {
                    let CampaignRetried { round, ends } = retried.clone();
                    launch.retry = Some(Retry { round, ends });
                }
                self.status = CampaignStatus::Sending;
            }
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
