//! The API's port to the reader of what comes back about mails.

use api::{
    http::problem::Problem,
    mail::inbound::{InboundNoted, MailDesk},
};
use bus_schema::TenantId;
use bytes::Bytes;
use futures::future::BoxFuture;
use workers::mail::feedback::{Feedback, Noted, report::Said};

/// Seconds after which a message that could not be recorded may be handed in again.
const RETRY: u64 = 5;

pub struct Desk(pub Feedback);

impl MailDesk for Desk {
    fn inbound<'a>(&'a self, tenant: &'a TenantId, message: Bytes) -> BoxFuture<'a, Result<InboundNoted, Problem>> {
        Box::pin(async move {
            let noted = self.0.message(&message, None, Some(tenant)).await;
            Ok(shown(noted.map_err(|error| Problem::unavailable(&error, RETRY))?))
        })
    }
}

fn shown(noted: Noted) -> InboundNoted {
    let (mail, said, news) = match noted {
        Noted::NoReport => return InboundNoted::nothing("no_report"),
        Noted::Unmatched => return InboundNoted::nothing("unmatched"),
        Noted::Recorded { mail, said, news } => (mail.mail, said, news),
    };
    let (word, kind, status) = match said {
        Said::Bounced { kind, status } => ("bounced", Some(kind.as_str()), status),
        Said::Delivered => ("delivered", None, None),
        Said::Complained { .. } => ("complained", None, None),
        Said::NotSpam => ("not_spam", None, None),
        Said::Nothing => return InboundNoted::nothing("no_report"),
    };
    InboundNoted {
        outcome: if news { "recorded" } else { "known" },
        said: Some(word),
        kind,
        status,
        campaign: Some(mail.campaign),
        contact: Some(mail.contact),
    }
}
