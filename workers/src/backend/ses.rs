//! Amazon SES by its HTTPS interface, version 2: one raw message a request, the bytes that go over SMTP too.
//!
//! - The SDK never retries: `SendEmail` is not idempotent, so whether a mail may be sent again is decided by the table of
//!   spec/EMAIL.md 5.2 ([`permits`](crate::smtp::permits)), which asks how far the request came ([`answer`]).
//! - Bounces go to the address of this very mail (VERP), as feedback address. SES gives the mail a Message-ID and a Date of its own;
//!   ours stands in the tag `intent`, which SES repeats in its notifications, and in the mail's own header.
//! - Credentials are two or three words given at the start. Nothing else is looked up: no profile, no metadata service.

pub(crate) mod answer;
mod options;
#[cfg(test)]
mod tests;

pub use answer::{Account, AccountFault};
pub use options::{InvalidSes, SesCredentials, SesOptions};

use crate::{
    backend::aws,
    mail::providers::Origin,
    smtp::{Accepted, Envelope, Failure, Kind, Reply, Stage, plain},
};
use aws_sdk_sesv2::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    operation::send_email::builders::SendEmailFluentBuilder,
    primitives::Blob,
    types::{Destination, EmailContent, MessageTag, RawMessage},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Characters of a tag's value (SES: 256).
const MAX_TAG: usize = 256;
/// For an answer about the account.
const CHECK: Duration = Duration::from_secs(10);

/// An account in a region. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct Ses {
    client: Client,
    options: Arc<SesOptions>,
    /// From the first byte of a request to its answer.
    within: Duration,
}

impl Ses {
    /// Nothing is sent before the first call. The error says what is wrong with the certificates.
    pub(crate) fn try_new(options: SesOptions) -> Result<Self, String> {
        let http = aws::https(options.trusted.as_deref())?;
        let SesCredentials { access_key, secret_key, session_token } = &options.credentials;
        let token = session_token.as_ref().map(|token| token.to_string());
        let credentials = Credentials::new(access_key.clone(), secret_key.to_string(), token, None, "millrace");
        // Finding the address, connecting and TLS together.
        let timeouts = TimeoutConfig::builder().connect_timeout(options.connect).build();
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(options.address())
            .region(Region::new(options.region.clone()))
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let within = options.connect + options.answer;
        Ok(Self { client: Client::from_conf(config), options: Arc::new(options), within })
    }

    /// The same account with another time for its answers.
    pub(crate) fn answering_within(&self, answer: Duration) -> Self {
        Self { within: self.options.connect + answer, ..self.clone() }
    }

    pub(crate) fn options(&self) -> &SesOptions {
        &self.options
    }

    /// Hands over one mail. When this future is dropped before it ends, nobody knows whether the mail was taken.
    pub(crate) async fn send(
        &self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Accepted, Failure> {
        plain(envelope, message)?;
        let request = self.request(origin, envelope, message)?;
        // The SDK's futures are large.
        let output = match timeout(self.within, Box::pin(request.send())).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(answer::failure(&error)),
            Err(_) => {
                let why = "the provider did not answer in time";
                return Err(Failure::new(Stage::Request, Kind::TimedOut, why));
            }
        };
        let provider_id = output.message_id().map(str::to_owned);
        Ok(Accepted { reply: Reply { code: 200, text: "OK".to_owned() }, provider_id })
    }

    fn request(
        &self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<SendEmailFluentBuilder, Failure> {
        let unfit = |error: &dyn fmt::Display| Failure::new(Stage::Message, Kind::NotOffered, error.to_string());
        let raw = RawMessage::builder().data(Blob::new(message)).build().map_err(|error| unfit(&error))?;
        let mut request = self
            .client
            .send_email()
            .content(EmailContent::builder().raw(raw).build())
            .destination(Destination::builder().to_addresses(envelope.recipient.to_string()).build())
            .set_feedback_forwarding_email_address(envelope.sender.as_ref().map(ToString::to_string))
            .set_configuration_set_name(self.options.configuration_set.clone());
        for (name, value) in tags(origin, envelope) {
            let tag = MessageTag::builder().name(name).value(value).build().map_err(|error| unfit(&error))?;
            request = request.email_tags(tag);
        }
        Ok(request)
    }

    /// Whether these credentials are somebody here, and what the account may.
    pub(crate) async fn account(&self) -> Result<Account, AccountFault> {
        let within = self.options.connect + CHECK;
        let asked = timeout(within, Box::pin(self.client.get_account().send())).await;
        let account = Account::of(&answer::of_check(asked)?);
        if let Some(name) = &self.options.configuration_set {
            let asked = self.client.get_configuration_set().configuration_set_name(name).send();
            answer::of_check(timeout(within, Box::pin(asked)).await)?;
        }
        Ok(account)
    }
}

impl fmt::Debug for Ses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// What SES is to remember of a mail, for its notifications: which one it is, whose, and of which class.
fn tags<'a>(origin: &Origin<'a>, envelope: &'a Envelope) -> Vec<(&'static str, &'a str)> {
    // As the address it comes back to: `b-` and its intent.
    let intent = envelope.sender.as_ref().and_then(|sender| sender.local().strip_prefix("b-"));
    let tags = [("intent", intent), ("tenant", Some(origin.tenant.as_str())), ("class", Some(origin.class.word()))];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let taken = |value: &&str| !value.is_empty() && value.len() <= MAX_TAG && value.bytes().all(plain);
    tags.into_iter().filter_map(|(name, value)| Some((name, value.filter(taken)?))).collect()
}
