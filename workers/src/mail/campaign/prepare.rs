//! A campaign made ready, and each receiver's mail out of it.

use super::{
    Outlet,
    merge::{Around, MergeError, Merged, Words},
    tracked::{Parts, Tracks},
};
use crate::mail::{
    Class, Composed, Domain, FeedbackId, HeaderError, HeaderName, HeaderText, IntentKey, Letter, ListId, MAIL_HEADER,
    MailAddress, Mailbox, Purpose, ReturnAddress, SingleVerp, Token, Unsubscribe, Verp,
};
use bus_schema::{
    Micros, TenantId, codec,
    crm::contact::ContactDetails,
    keys::TenantKey,
    mail::{
        campaign::{CampaignContent, ConsentPurpose, Tracking},
        response::{MailRef, Seat},
    },
};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};
use uuid::Uuid;
use writers::{
    WriteError, Writer,
    identity::tenant::{Tenant, tenant_aggregate},
    mail::{tracking::TrackedMail, unsubscribe::Leaver},
};

/// What names the platform in the Feedback-ID.
const SENDER: &str = "millrace";
/// The label of the list of a tenant's marketing mail.
const LIST: &str = "news";

/// What all mails of a campaign share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Prepared(Arc<Shared>);

struct Shared {
    outlet: Outlet,
    tenant: TenantId,
    key: Arc<TenantKey>,
    intents: IntentKey,
    campaign: Uuid,
    /// As text, part of every token.
    campaign_text: String,
    purpose: ConsentPurpose,
    words: Words,
    imprint: Imprint,
    tracking: Tracking,
    from: Mailbox,
    list: ListId,
    feedback: Option<FeedbackId>,
    /// Of the header that repeats the return address.
    return_header: HeaderName,
    hash: String,
}

/// The addresses at which a receiver leaves and chooses.
struct Ways {
    /// Marketing mail has it.
    unsubscribe: Option<String>,
    preferences: String,
}

/// Whose mail it is, as the law wants it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imprint {
    /// The tenant, as people call it.
    pub name: String,
    /// Lines as on a letter.
    pub postal_address: Vec<String>,
}

impl Imprint {
    /// That of a tenant as it is now.
    pub async fn of(writer: &Writer, tenant: &TenantId) -> Result<Self, WriteError> {
        let id = tenant_aggregate(writer, tenant).await?;
        let tenant = writer.load::<Tenant>(tenant, id).await?;
        let (name, postal_address) = (tenant.state.name().to_owned(), tenant.state.postal_address().to_vec());
        Ok(Self { name, postal_address })
    }
}

/// A mail that is looked at or sent to somebody else than its receiver.
pub(super) struct Sample<'a> {
    pub(super) to: Mailbox,
    pub(super) token: Token,
    /// Where it comes back to; a preview is not sent.
    pub(super) verp: Option<SingleVerp>,
    /// Before its subject.
    pub(super) mark: &'a str,
    /// Whose words it has.
    pub(super) details: &'a ContactDetails,
    pub(super) at: Micros,
}

/// What stands in the links of a sample: they lead nowhere, so that nobody is unsubscribed by looking.
pub(super) const NOBODY: &str = "preview";

/// Why a campaign cannot be sent as it is; a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("its words cannot be used: {0}")]
    Words(#[from] MergeError),
    #[error(
        "marketing mail shows the sender's postal address, and none is set; set it (PUT /v1/tenant/postal-address)"
    )]
    NoPostalAddress,
    #[error("its sender cannot be used: {0}")]
    Sender(String),
    #[error("its sender is at {sender}, and this platform sends for {outlet} only (--mail-from-domain)")]
    Domain { sender: Domain, outlet: Domain },
}

/// SHA-256 of what a campaign says, in hexadecimal digits.
pub(super) fn content_hash(content: &CampaignContent) -> Result<String, codec::EncodeError> {
    let digest = Sha256::digest(codec::encode(content)?);
    Ok(digest.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    }))
}

impl Prepared {
    /// To be called on a deep stack.
    pub(super) fn try_new(
        outlet: &Outlet,
        tenant: &TenantId,
        key: Arc<TenantKey>,
        campaign: Uuid,
        purpose: ConsentPurpose,
        content: &CampaignContent,
        imprint: Imprint,
    ) -> Result<Self, Unfit> {
        let sender = |error: &dyn std::fmt::Display| Unfit::Sender(error.to_string());
        let address = MailAddress::try_new(&content.from_email).map_err(|error| sender(&error))?;
        if !outlet.sends_for(address.domain()) {
            let (sender, outlet) = (address.domain().clone(), outlet.from.clone());
            return Err(Unfit::Domain { sender, outlet });
        }
        let list = ListId::try_new(LIST, address.domain()).map_err(|error| sender(&error))?;
        let name = HeaderText::try_new(&content.from_name).map_err(|error| sender(&error))?;
        let class = class_of(purpose);
        // It is a service to the sender only; a tenant's name may not fit into it.
        let feedback = FeedbackId::try_new(&campaign.simple().to_string(), tenant.as_str(), class, SENDER).ok();
        let return_header = HeaderName::try_new(MAIL_HEADER).map_err(|error| sender(&error))?;
        let hash = content_hash(content).map_err(|error| sender(&error))?;
        let intents = IntentKey::of(&key);
        Ok(Self(Arc::new(Shared {
            outlet: outlet.clone(),
            tenant: tenant.clone(),
            key,
            intents,
            campaign,
            campaign_text: campaign.to_string(),
            purpose,
            words: Words::try_new(&CampaignContent {
                html: outlet.absolute(tenant, &content.html),
                text: content.text.as_deref().map(|text| outlet.absolute(tenant, text)),
                ..content.clone()
            })?,
            imprint,
            tracking: watched(purpose, content),
            from: Mailbox::new(name, address),
            list,
            feedback,
            return_header,
            hash,
        })))
    }

    pub(super) fn content_hash(&self) -> &str {
        &self.0.hash
    }

    pub(super) fn purpose(&self) -> ConsentPurpose {
        self.0.purpose
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.0.outlet
    }

    /// The name of the intent to send to one receiver: the same for every attempt.
    fn token(&self, contact: Uuid, generation: u32) -> Token {
        let Shared { tenant, campaign_text, intents, .. } = &*self.0;
        intents.token(tenant, campaign_text, &contact.to_string(), generation)
    }

    /// Those of a receiver, by the token that is in them.
    fn ways(&self, leaver: &str) -> Ways {
        let Shared { outlet, purpose, .. } = &*self.0;
        let unsubscribe = (*purpose == ConsentPurpose::Marketing).then(|| outlet.unsubscribe(leaver));
        Ways { unsubscribe, preferences: outlet.preferences(leaver) }
    }

    /// A receiver's mail. The reason of a failure names nothing of the receiver. To be called on a deep stack.
    pub(super) fn mail(
        &self,
        contact: Uuid,
        seat: Seat,
        details: &ContactDetails,
        generation: u32,
        at: Micros,
    ) -> Result<Composed, String> {
        let shared = &*self.0;
        let token = self.token(contact, generation);
        let address = MailAddress::try_new(&details.email).map_err(|error| error.to_string())?;
        let name = [&details.first_name, &details.last_name].into_iter().flatten().map(String::as_str);
        let name = HeaderText::try_new(&name.collect::<Vec<_>>().join(" ")).map_err(|error| error.to_string())?;
        let to = Mailbox::new(name, address);
        let (tenant, purpose, campaign) = (shared.tenant.clone(), shared.purpose, shared.campaign);
        let ways = self.ways(&Leaver { tenant, contact, purpose, campaign }.token(&shared.key));
        let mut merged = self.merge(details, &ways).map_err(|error| format!("template {error}"))?;
        let mail = MailRef { campaign: shared.campaign, contact, seat: Some(seat), generation };
        let mail = TrackedMail { tenant: shared.tenant.clone(), mail };
        let tracks = Tracks { tracking: &shared.tracking, public: &shared.outlet.public, key: &shared.key, mail };
        let parts = tracks.apply(Parts { html: merged.html, text: merged.text }).map_err(|error| error.to_string())?;
        (merged.html, merged.text) = (parts.html, parts.text);
        let verp = Verp::of(&token, shared.campaign, seat).map(ReturnAddress::from);
        self.letter(&merged, "", (&token, verp), &to, &ways, at)
    }

    /// The words for a receiver.
    fn merge(&self, details: &ContactDetails, ways: &Ways) -> Result<Merged, MergeError> {
        let Shared { words, imprint, .. } = &*self.0;
        words.merge(
            details,
            &Around {
                unsubscribe: ways.unsubscribe.as_deref(),
                preferences: Some(&ways.preferences),
                sender: &imprint.name,
                postal_address: &imprint.postal_address,
            },
        )
    }

    /// A mail with one receiver's words to somebody else. To be called on a deep stack.
    pub(super) fn sample(&self, sample: &Sample<'_>) -> Result<Composed, SampleError> {
        let ways = self.ways(NOBODY);
        let merged = self.merge(sample.details, &ways)?;
        let made = self.letter(
            &merged,
            sample.mark,
            (&sample.token, sample.verp.map(ReturnAddress::from)),
            &sample.to,
            &ways,
            sample.at,
        );
        made.map_err(SampleError::Mail)
    }

    fn letter(
        &self,
        merged: &Merged,
        mark: &str,
        (token, verp): (&Token, Option<ReturnAddress>),
        to: &Mailbox,
        ways: &Ways,
        at: Micros,
    ) -> Result<Composed, String> {
        let shared = &*self.0;
        let unsubscribe = ways.unsubscribe.as_deref().map(|url| Unsubscribe::try_new(url, url, None));
        let unsubscribe = unsubscribe.transpose().map_err(|error| error.to_string())?;
        let subject = HeaderText::try_new(&[mark, &merged.subject].concat()).map_err(|error| error.to_string())?;
        let purpose = match &unsubscribe {
            Some(unsubscribe) => Purpose::Marketing { unsubscribe, list: &shared.list },
            None => Purpose::Transactional,
        };
        let named = verp.map(|verp| Ok((shared.return_header.clone(), HeaderText::try_new(&verp.to_string())?)));
        let headers: Vec<_> =
            named.into_iter().collect::<Result<_, HeaderError>>().map_err(|error| error.to_string())?;
        let letter = Letter {
            token,
            from: &shared.from,
            to,
            reply_to: None,
            subject: &subject,
            html: &merged.html,
            text: merged.text.as_deref(),
            purpose,
            feedback: shared.feedback.as_ref(),
            automatic: false,
            headers: &headers,
            at,
        };
        let mut composed = shared.outlet.composer.compose(&letter).map_err(|error| error.to_string())?;
        if let Some(verp) = verp {
            composed.envelope.sender = Some(verp.address(shared.outlet.composer.bounce()));
        }
        Ok(composed)
    }
}

/// Why there is no sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SampleError {
    #[error("{0}")]
    Words(#[from] MergeError),
    #[error("{0}")]
    Mail(String),
}

/// Who gets service mail agreed to that, not to being watched (check 50).
fn watched(purpose: ConsentPurpose, content: &CampaignContent) -> Tracking {
    match purpose {
        ConsentPurpose::Marketing => content.tracking.clone(),
        ConsentPurpose::Service => Tracking::default(),
    }
}

fn class_of(purpose: ConsentPurpose) -> Class {
    match purpose {
        ConsentPurpose::Marketing => Class::Marketing,
        ConsentPurpose::Service => Class::Transactional,
    }
}
