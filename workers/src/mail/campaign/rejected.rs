//! Addresses that the provider refused while it was spoken to: no such mailbox, so they bounced without a mail
//! (spec/EMAIL.md 5.2). Others that were refused stay what they are: rejected.

use super::CampaignParts;
use crate::mail::feedback::{Feedback, Reported, report::degree};
use bus_schema::{
    TenantId,
    mail::{
        chunk::{Fate, Outcome},
        feedback::BounceKind,
        response::{MailRef, Seat},
    },
};
use writers::mail::{
    chunk::Chunk,
    feedback::{Told, is_status},
};

/// Records the bounces among the outcomes of a window. Called before the window is closed, so that a crash repeats it. What
/// fails here is said in the log only: the mail itself has its end.
pub(super) async fn note(parts: &CampaignParts, tenant: &TenantId, chunk: &Chunk, outcomes: &[Outcome]) {
    let Some(plan) = chunk.plan() else { return };
    let feedback = Feedback::new(parts.bus.clone(), parts.writer.clone(), parts.views.clone());
    for outcome in outcomes.iter().filter(|outcome| outcome.fate == Fate::Rejected) {
        let Some(status) = outcome.cause.as_deref().and_then(refused_address) else { continue };
        let Some(contact) = plan.recipients.get(usize::from(outcome.index)).copied() else { continue };
        let seat = Some(Seat { chunk: plan.place.number, index: outcome.index });
        let campaign = plan.place.campaign;
        let mail = MailRef { campaign, contact, seat, generation: plan.generation };
        let what = Told::Bounced { kind: BounceKind::Permanent, status: Some(status.to_owned()) };
        let reported = Reported { what: &what, via: "smtp", recipients: &[] };
        if let Err(error) = feedback.note(tenant, mail, &reported).await {
            tracing::warn!(%tenant, %campaign, %error, "an address that was refused is not recorded as bounced");
        }
    }
}

/// The status of a refusal that is about the address for good: `rcpt 550 5.1.1`.
fn refused_address(cause: &str) -> Option<&str> {
    let mut words = cause.split(' ');
    let stage = words.next().filter(|stage| ["rcpt", "dot"].contains(stage));
    let status = words.nth(1).filter(|status| is_status(status))?;
    stage.filter(|_| degree(Some(status)) == BounceKind::Permanent).map(|_| status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_address_bounces() {
        for (cause, status) in [
            ("rcpt 550 5.1.1", Some("5.1.1")),
            ("dot 550 5.1.10", Some("5.1.10")),
            ("rcpt 550 5.7.1", None),
            ("rcpt 552 5.2.2", None),
            ("rcpt 550", None),
            ("mail 550 5.1.1", None),
            ("template html, line 1", None),
        ] {
            assert_eq!(refused_address(cause), status, "{cause}");
        }
    }
}
