//! Which mail a report is about: out of the address it came back to, proven by the tenant's key.
//!
//! The address names the campaign and the place in its audience, or the message or test of one person; whose that is and who
//! stands there is looked up in the log, and the proof is compared with that of this very mail. So nobody makes an address
//! bounce who never had a mail of it, and nothing is stored for each mail that is sent. A message is found by its Message-ID too.

use crate::mail::{IntentKey, ReturnAddress, SingleVerp, Token, Verp, campaign::preview::test_token};
use bus_schema::{
    Subject, TenantId,
    bus::{Bus, ReadError, StreamError},
    catalog::Catalogued,
    mail::{
        campaign::CampaignEvent,
        chunk::{Fate, chunk_id},
        message::MessageEvent,
        response::MailRef,
        test_send::TestSendEvent,
    },
    subject::Family,
};
use projectors::{
    RecordView, ViewError, Views,
    mail::messages::{Messages, message_of_mail},
};
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;
use writers::{
    WriteError, Writer,
    mail::{chunk::Chunk, message::Message, test_send::TestSend},
};

/// How long the view of messages may take to reach the end of the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds mails.
#[derive(Clone)]
pub struct Matcher {
    bus: Bus,
    writer: Writer,
    views: Views,
}

/// A mail that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed {
    Campaign(MailAddressed),
    Message {
        tenant: TenantId,
        id: Uuid,
        generation: u32,
    },
    /// One mail of a test of a campaign.
    Test {
        tenant: TenantId,
        id: Uuid,
        place: u16,
    },
}

/// A mail of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddressed {
    pub tenant: TenantId,
    pub mail: MailRef,
    /// What its worker knows became of it; absent while it is open.
    pub fate: Option<Fate>,
}

impl Addressed {
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Campaign(mail) => &mail.tenant,
            Self::Message { tenant, .. } | Self::Test { tenant, .. } => tenant,
        }
    }
}

impl Matcher {
    pub fn new(bus: Bus, writer: Writer, views: Views) -> Self {
        Self { bus, writer, views }
    }

    /// The mail that came back to this address; `None`: it is none of ours.
    pub async fn find(&self, address: &ReturnAddress) -> Result<Option<Addressed>, MatchError> {
        match address {
            ReturnAddress::Campaign(verp) => Ok(self.mail(verp).await?.map(Addressed::Campaign)),
            ReturnAddress::Single(verp) => match self.message(verp).await? {
                None => self.test(verp).await,
                found => Ok(found),
            },
        }
    }

    /// The message of a tenant whose mail has this Message-ID. Those of campaigns are known by their addresses only.
    pub async fn find_by_message_id(&self, tenant: &TenantId, token: &Token) -> Result<Option<Addressed>, MatchError> {
        // A report may be faster than the view.
        let last = self.bus.last_seq(Family::Events).await?;
        self.views.wait(Messages::NAME, last, PATIENCE).await?;
        let Some(id) = message_of_mail(&self.views, tenant, token.as_str()).await? else { return Ok(None) };
        let message = self.writer.load::<Message>(tenant, id).await?;
        let key = self.writer.tenant_key(tenant).await?;
        let key = IntentKey::of(&key);
        // The latest first: that is the one reports are about.
        let generation = (0..=message.state.generation())
            .rev()
            .find(|generation| key.token(tenant, "message", &id.to_string(), *generation) == *token);
        Ok(generation.map(|generation| Addressed::Message { tenant: tenant.clone(), id, generation }))
    }

    async fn mail(&self, verp: &Verp) -> Result<Option<MailAddressed>, MatchError> {
        for tenant in self.tenants::<CampaignEvent>(verp.campaign).await? {
            let id = chunk_id(verp.campaign, verp.seat.chunk);
            let loaded = match self.writer.load::<Chunk>(&tenant, id).await {
                Ok(loaded) => loaded,
                // The tenant was erased.
                Err(WriteError::NoTenant(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let (chunk, index) = (&loaded.state, usize::from(verp.seat.index));
            let Some(plan) = chunk.plan() else { continue };
            let Some(contact) = plan.recipients.get(index).copied() else { continue };
            let key = self.writer.tenant_key(&tenant).await?;
            let (campaign, generation) = (verp.campaign, plan.generation);
            let token = IntentKey::of(&key).token(&tenant, &campaign.to_string(), &contact.to_string(), generation);
            if verp.proves(&token) {
                let mail = MailRef { campaign, contact, seat: Some(verp.seat), generation };
                let fate = chunk.standing().get(index).and_then(|standing| standing.fate);
                return Ok(Some(MailAddressed { tenant, mail, fate }));
            }
        }
        Ok(None)
    }

    async fn message(&self, verp: &SingleVerp) -> Result<Option<Addressed>, MatchError> {
        let (id, generation) = (verp.id, u32::from(verp.number));
        for tenant in self.tenants::<MessageEvent>(id).await? {
            let key = match self.writer.load::<Message>(&tenant, id).await {
                Ok(loaded) if generation <= loaded.state.generation() => self.writer.tenant_key(&tenant).await?,
                Ok(_) | Err(WriteError::NoTenant(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if verp.proves(&IntentKey::of(&key).token(&tenant, "message", &id.to_string(), generation)) {
                return Ok(Some(Addressed::Message { tenant, id, generation }));
            }
        }
        Ok(None)
    }

    async fn test(&self, verp: &SingleVerp) -> Result<Option<Addressed>, MatchError> {
        let (id, place) = (verp.id, verp.number);
        for tenant in self.tenants::<TestSendEvent>(id).await? {
            let key = match self.writer.load::<TestSend>(&tenant, id).await {
                Ok(loaded) if usize::from(place) < loaded.state.addresses().len() => {
                    self.writer.tenant_key(&tenant).await?
                }
                Ok(_) | Err(WriteError::NoTenant(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if verp.proves(&test_token(&key, &tenant, id, place)) {
                return Ok(Some(Addressed::Test { tenant, id, place }));
            }
        }
        Ok(None)
    }

    /// The tenants with an aggregate of this id: one, unless ids were copied.
    async fn tenants<E: Catalogued>(&self, id: Uuid) -> Result<BTreeSet<TenantId>, MatchError> {
        let (context, aggregate) = (E::CONTEXT, E::AGGREGATE);
        let (family, cell) = (Family::Events, self.bus.cell());
        let filter = format!("{}.{cell}.*.{context}.{aggregate}.{id}", family.token());
        let found = self.bus.last_positions(family, &[filter]).await?;
        Ok(found
            .into_keys()
            .filter_map(|subject| Subject::parse(&subject).ok())
            .map(|subject| subject.tenant)
            .collect())
    }
}

/// Why it cannot be told now whose mail it was.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    #[error("whose mail came back cannot be looked up: {0}")]
    Read(#[from] ReadError),
    #[error("the mail that came back cannot be looked up: {0}")]
    Write(#[from] WriteError),
    #[error("messages cannot be looked up by their Message-ID: {0}")]
    View(#[from] ViewError),
    #[error("the end of the log: {0}")]
    Stream(#[from] StreamError),
}
