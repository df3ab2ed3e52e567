//! Notifications of Amazon SES that come by Amazon SNS over HTTPS (spec/EMAIL.md 3.3; check 56).
//!
//! Nothing in a message counts before its signature is checked, and the signature counts only with a certificate that was fetched
//! from an address of SNS, over TLS that is verified, and whose chain ends at a trusted root. In order: size and form, raw
//! delivery refused, the topic is one that was named for this tenant, the message is not old, version and certificate address
//! follow the rules, certificate, signature. Then a confirmation is answered and a notification is recorded. A message that
//! comes again changes nothing.

mod certificate;
mod envelope;
mod fetch;
mod ses;

use super::feedback::{Feedback, FeedbackError, Reported};
use bus_schema::{Micros, TenantId, mail::chunk::Proof, time::Clock};
pub use certificate::{CertificateRefused, Certificates};
pub use envelope::{Envelope, EnvelopeRefused, Kind, Region};
pub use fetch::{FetchError, Fetcher};
pub use ses::{Event, read_event};
use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes of a message; SNS itself sends at most 256 KiB and what is around it.
pub const MAX_BODY: usize = 300 << 10;
/// How old a message may be, in microseconds: SNS repeats it for less than an hour.
const MAX_AGE: i64 = 3_600_000_000;
/// How far its clock may be ahead of ours, in microseconds.
const MAX_AHEAD: i64 = 300_000_000;
/// Messages that are remembered by their ids.
const REMEMBERED: usize = 4_096;

/// What SNS may tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnsOptions {
    /// Tenants with the topics (ARNs) that may speak for them.
    pub topics: BTreeSet<(TenantId, String)>,
    /// Where all hosts of SNS are asked instead of at their own addresses; for tests. Their certificates are verified all the same.
    pub address: Option<SocketAddr>,
    /// Also take signatures of version 1 (RSA with SHA-1), which a topic has unless it is set to 2.
    pub sha1: bool,
}

/// Takes messages of SNS. Cheap to clone.
#[derive(Clone)]
pub struct Sns(Arc<Shared>);

struct Shared {
    options: SnsOptions,
    certificates: Certificates,
    feedback: Feedback,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnsNoted {
    /// The subscription is confirmed.
    Confirmed,
    /// It says something about a mail.
    Recorded,
    /// It was here before.
    Known,
    /// It says nothing about the fate of a mail, or about none of this tenant.
    Nothing,
}

impl Sns {
    pub fn new(options: SnsOptions, certificates: Certificates, feedback: Feedback, clock: Clock) -> Self {
        Self(Arc::new(Shared { options, certificates, feedback, clock, seen: Mutex::default() }))
    }

    /// A message for a tenant. `raw`: its header says that it was delivered raw, so without a signature.
    pub async fn receive(&self, tenant: &TenantId, raw: bool, body: &[u8]) -> Result<SnsNoted, SnsRefused> {
        if raw {
            return Err(SnsRefused::Raw);
        }
        if body.len() > MAX_BODY {
            return Err(SnsRefused::TooLarge);
        }
        let envelope = Envelope::read(body)?;
        let shared = &*self.0;
        if !shared.options.topics.contains(&(tenant.clone(), envelope.topic().to_owned())) {
            return Err(SnsRefused::Topic);
        }
        timely(envelope.timestamp(), shared.clock.now())?;
        let sha1 = envelope.is_sha1();
        if sha1 && !shared.options.sha1 {
            return Err(SnsRefused::Version);
        }
        let certificate = shared.certificates.get(&envelope, shared.clock.now()).await?;
        if !certificate.signed(sha1, envelope.signed_text().as_bytes(), envelope.signature()) {
            return Err(SnsRefused::Signature);
        }
        // A topic may speak for several tenants, to each with the same id.
        let id = format!("{tenant} {}", envelope.message_id());
        if self.was_seen(&id) {
            return Ok(SnsNoted::Known);
        }
        let noted = match envelope.kind() {
            Kind::Confirmation => {
                shared.certificates.fetcher().visit(envelope.subscribe_url()?).await?;
                tracing::info!(%tenant, topic = envelope.topic(), "a subscription to notifications of SES is confirmed");
                SnsNoted::Confirmed
            }
            // Somebody ended it, at the other side.
            Kind::Ended => SnsNoted::Nothing,
            Kind::Notification => self.note(tenant, envelope.message()).await?,
        };
        // Only now: what failed on the way comes again.
        self.remember(id);
        Ok(noted)
    }

    async fn note(&self, tenant: &TenantId, message: &str) -> Result<SnsNoted, SnsRefused> {
        let Some(event) = read_event(message) else { return Ok(SnsNoted::Nothing) };
        let feedback = &self.0.feedback;
        let found = feedback.locate(&event.mails, &event.message_ids, Some(tenant)).await?;
        let Some(found) = found else { return Ok(SnsNoted::Nothing) };
        let news = match &event.told {
            Some(what) => feedback.told(&found, &Reported { what, via: "sns", recipients: &event.recipients }).await?,
            None => false,
        };
        // Whatever SES says of a mail, it has it.
        let settled = feedback.settle(&found, Proof::ProviderEvent).await?;
        Ok(match (news || settled, &event.told) {
            (true, _) => SnsNoted::Recorded,
            (false, Some(_)) => SnsNoted::Known,
            (false, None) => SnsNoted::Nothing,
        })
    }

    fn was_seen(&self, id: &str) -> bool {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).ids.contains(id)
    }

    fn remember(&self, id: String) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.ids.insert(id.clone()) {
            seen.order.push_back(id);
        }
        if seen.order.len() > REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.ids.remove(&oldest);
        }
    }
}

/// A short memory that spares work; that a message changes nothing the second time does not depend on it.
#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

fn timely(sent: &str, now: Micros) -> Result<(), SnsRefused> {
    let sent = Micros::parse(sent).ok_or(SnsRefused::Time)?;
    let age = now.0.saturating_sub(sent.0);
    if (-MAX_AHEAD..=MAX_AGE).contains(&age) { Ok(()) } else { Err(SnsRefused::Stale) }
}

/// Why a message is not believed, or cannot be recorded now.
#[derive(Debug, thiserror::Error)]
pub enum SnsRefused {
    #[error(
        "the message was delivered raw, so it has no signature; switch raw message delivery of the subscription off"
    )]
    Raw,
    #[error("the message has more than {MAX_BODY} bytes")]
    TooLarge,
    #[error(transparent)]
    Envelope(#[from] EnvelopeRefused),
    #[error("the topic is none of this tenant's; name it with --sns-topic TENANT=ARN")]
    Topic,
    #[error("its timestamp is not one")]
    Time,
    #[error("the message is older than an hour, or its clock is ahead of ours")]
    Stale,
    #[error(
        "the signature is of version 1 (SHA-1); set the topic's SignatureVersion to 2, or allow it with --sns-sha1"
    )]
    Version,
    #[error(transparent)]
    Certificate(#[from] CertificateRefused),
    #[error("the signature is not one of its certificate: the message was forged or changed on its way")]
    Signature,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Feedback(#[from] FeedbackError),
}

impl SnsRefused {
    /// Whether it may work when it comes again.
    pub fn passes(&self) -> bool {
        match self {
            Self::Fetch(_) | Self::Feedback(_) => true,
            Self::Certificate(refused) => refused.passes(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
