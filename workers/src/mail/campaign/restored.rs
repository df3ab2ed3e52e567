//! Campaigns of a log that was restored: mails that went out behind its end are not in it, and would go out again.
//!
//! So whatever was on its way where the log ends, or was due before it was restored, is paused with the reason for its author, who
//! knows the provider's record. Resuming it is an event of the new log, and from then on it is a campaign like any other.

use super::{CampaignParts, JobError, Rest, meta, sender::saved_filter};
use bus_schema::{CommandId, Micros, TenantId};
use uuid::Uuid;
use writers::{
    WriteError,
    mail::campaign::{Campaign, CampaignCommand, CampaignStatus},
    writer::Loaded,
};

/// The restore that a log is the result of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredLog {
    /// The last position of the events that came back.
    pub events: u64,
    /// When it was made.
    pub at: Micros,
}

impl RestoredLog {
    /// Whether mails of a campaign may have gone out that this log does not know of; `revision` is the position of its last event.
    fn doubts(self, revision: u64, status: &CampaignStatus) -> bool {
        revision <= self.events
            && match status {
                CampaignStatus::Scheduled { at, .. } => *at <= self.at,
                CampaignStatus::Sending => true,
                _ => false,
            }
    }
}

/// Pauses a campaign that is in doubt, launched in the same commit if it was only scheduled. `None`: it is not in doubt.
pub(super) async fn hold(
    parts: &CampaignParts,
    tenant: &TenantId,
    id: Uuid,
    campaign: &Loaded<Campaign>,
) -> Result<Option<Rest>, JobError> {
    let status = campaign.state.status();
    let Some(restored) = parts.restored.filter(|restored| restored.doubts(campaign.revision, status)) else {
        return Ok(None);
    };
    let trouble = format!(
        "the log was restored up to event {}, and who got this mail after it is not known here: cancel it, or resume it if it \
         may reach some a second time",
        restored.events
    );
    tracing::error!(%tenant, campaign = %id, why = %trouble, "a campaign is paused");
    let launch = match status {
        CampaignStatus::Scheduled { .. } => {
            Some(CampaignCommand::Launch { filter: saved_filter(parts, tenant, campaign.state.segment()).await? })
        }
        _ => None,
    };
    let commands: Vec<_> = launch.into_iter().chain([CampaignCommand::Pause { trouble: Some(trouble) }]).collect();
    let subjects = [parts.writer.subject::<Campaign>(tenant, id)];
    let (meta, commands) = (meta(id, CommandId::random()), &commands);
    let held = parts.writer.transact(tenant, &meta, &subjects, |tx| {
        Box::pin(async move {
            for command in commands {
                tx.decide::<Campaign>(id, command).await?;
            }
            Ok(())
        })
    });
    match held.await {
        // It ended meanwhile.
        Ok(_) | Err(WriteError::Rejected(_)) => Ok(Some(Rest::Done)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_gone_out_behind_the_end_of_the_log_is_in_doubt() {
        let restored = RestoredLog { events: 100, at: Micros(5_000) };
        let scheduled = |at| CampaignStatus::Scheduled { at: Micros(at), time_zone: "UTC".into() };
        for (revision, status, expected) in [
            (100, CampaignStatus::Sending, true),
            // Launched or resumed since.
            (101, CampaignStatus::Sending, false),
            (90, scheduled(5_000), true),
            // Nobody could send it before the restore.
            (90, scheduled(5_001), false),
            (101, scheduled(4_000), false),
            (90, CampaignStatus::Paused, false),
            (90, CampaignStatus::Finished, false),
            (90, CampaignStatus::Draft, false),
        ] {
            assert_eq!(restored.doubts(revision, &status), expected, "{revision} {status:?}");
        }
    }
}
