//! Which mail a report is about: out of the address it came back to, proven by the tenant's key.
//!
//! The address names the campaign and the place in its audience; whose campaign that is and who stands there is looked up in the
//! log, and the proof is compared with that of this very mail. So nobody makes an address bounce who never had a mail of it,
//! and nothing is stored for each mail that is sent.

use crate::mail::{IntentKey, Verp};
use bus_schema::{
    Subject, TenantId,
    bus::{Bus, ReadError},
    catalog::Catalogued,
    mail::{
        campaign::CampaignEvent,
        chunk::{Fate, chunk_id},
        response::MailRef,
    },
    subject::Family,
};
use std::collections::BTreeSet;
use writers::{WriteError, Writer, mail::chunk::Chunk};

/// Finds mails.
#[derive(Clone)]
pub struct Matcher {
    bus: Bus,
    writer: Writer,
}

/// A mail that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddressed {
    pub tenant: TenantId,
    pub mail: MailRef,
    /// What its worker knows became of it; absent while it is open.
    pub fate: Option<Fate>,
}

impl Matcher {
    pub fn new(bus: Bus, writer: Writer) -> Self {
        Self { bus, writer }
    }

    /// The mail that came back to this address; `None`: it is none of ours.
    pub async fn find(&self, verp: &Verp) -> Result<Option<MailAddressed>, MatchError> {
        for tenant in self.tenants(verp).await? {
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

    /// The tenants with a campaign of this id: one, unless ids were copied.
    async fn tenants(&self, verp: &Verp) -> Result<BTreeSet<TenantId>, MatchError> {
        let (context, aggregate) = (CampaignEvent::CONTEXT, CampaignEvent::AGGREGATE);
        let (family, cell) = (Family::Events, self.bus.cell());
        let filter = format!("{}.{cell}.*.{context}.{aggregate}.{}", family.token(), verp.campaign);
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
}
