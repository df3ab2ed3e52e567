//! The API's port to the reader of what comes back about mails.

use api::{
    http::{codes::ProblemCode, problem::Problem},
    mail::{
        inbound::{FeedbackDesk, InboundNoted},
        sns::SnsAnswer,
    },
};
use bus_schema::{TenantId, time::Clock};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::OnceLock;
use workers::mail::{
    feedback::{Addressed, Feedback, MailAddressed, Noted, report::Said},
    sns::{Certificates, FetchError, Fetcher, Sns, SnsNoted, SnsOptions},
};

/// Seconds after which a message that could not be recorded may be handed in again.
const RETRY: u64 = 5;

pub struct Desk {
    feedback: Feedback,
    sns: OnceLock<Sns>,
}

impl Desk {
    pub fn new(feedback: Feedback) -> Self {
        Self { feedback, sns: OnceLock::new() }
    }

    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// From now on messages of SNS are taken. Once; later calls change nothing.
    pub fn hear_sns(&self, options: SnsOptions) -> Result<(), FetchError> {
        let certificates = Certificates::new(Fetcher::system(options.address)?);
        _ = self.sns.set(Sns::new(options, certificates, self.feedback.clone(), Clock::System));
        Ok(())
    }
}

impl FeedbackDesk for Desk {
    fn inbound<'a>(&'a self, tenant: &'a TenantId, message: Bytes) -> BoxFuture<'a, Result<InboundNoted, Problem>> {
        Box::pin(async move {
            let noted = self.feedback.message(&message, None, Some(tenant)).await;
            Ok(shown(noted.map_err(|error| Problem::unavailable(&error, RETRY))?))
        })
    }

    fn sns<'a>(&'a self, tenant: &'a TenantId, raw: bool, body: Bytes) -> BoxFuture<'a, Result<SnsAnswer, Problem>> {
        Box::pin(async move {
            let Some(sns) = self.sns.get() else {
                let why = "no topic of SNS may speak here; name them with --sns-topic TENANT=ARN";
                return Err(Problem::new(ProblemCode::Forbidden, why));
            };
            let noted = sns.receive(tenant, raw, &body).await.map_err(|refused| {
                tracing::warn!(%tenant, %refused, "a message of SNS is not taken");
                match refused.passes() {
                    true => Problem::unavailable(&refused, RETRY),
                    false => Problem::new(ProblemCode::Forbidden, refused.to_string()),
                }
            })?;
            let outcome = match noted {
                SnsNoted::Confirmed => "confirmed",
                SnsNoted::Recorded => "recorded",
                SnsNoted::Known => "known",
                SnsNoted::Nothing => "nothing",
            };
            Ok(SnsAnswer { outcome })
        })
    }
}

fn shown(noted: Noted) -> InboundNoted {
    let (mail, said, news) = match noted {
        Noted::NoReport => return InboundNoted::nothing("no_report"),
        Noted::Unmatched => return InboundNoted::nothing("unmatched"),
        Noted::Recorded { mail, said, news } => (mail, said, news),
    };
    let (word, kind, status) = match said {
        Said::Bounced { kind, status } => ("bounced", Some(kind.as_str()), status),
        Said::Delivered => ("delivered", None, None),
        Said::Complained { .. } => ("complained", None, None),
        Said::NotSpam => ("not_spam", None, None),
        Said::Nothing => return InboundNoted::nothing("no_report"),
    };
    let outcome = if news { "recorded" } else { "known" };
    let noted = InboundNoted { said: Some(word), kind, status, ..InboundNoted::nothing(outcome) };
    match mail {
        Addressed::Campaign(MailAddressed { mail, .. }) => {
            InboundNoted { campaign: Some(mail.campaign), contact: Some(mail.contact), ..noted }
        }
        Addressed::Message { id, .. } => InboundNoted { message: Some(id), ..noted },
        Addressed::Test { id, .. } => InboundNoted { test: Some(id), ..noted },
    }
}
