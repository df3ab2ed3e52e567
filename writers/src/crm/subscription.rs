//! How somebody subscribes: the contact behind an address is asked by mail, and the link of that mail says yes.
//!
//! The link says which question to whom it answers, with a proof under the tenant's key. So it cannot be made by anybody else
//! or for another tenant; whether it is still good is decided by the contact (see [`super::contact`]). The link is made
//! with the mail and stands nowhere else.

use super::contact::{Contact, ContactCommand, ContactRejection, create, home};
use crate::{
    Rejection,
    writer::{Meta, WriteError, Writer},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{
    TenantId,
    crm::contact::{ContactDetails, Purpose},
    keys::TenantKey,
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Before a token, so that another form can follow.
const VERSION: u8 = 1;
/// Characters of a token; a tenant's name has at most 40.
const MAX_TOKEN: usize = 200;
/// What the proof is for: no other link of this platform is one of these.
const WHAT: &str = "crm.confirmation";

/// Whose yes to which question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmationLink {
    pub tenant: TenantId,
    pub contact: Uuid,
    pub purpose: Purpose,
    pub round: u32,
}

impl ConfirmationLink {
    /// The token of a link.
    pub fn token(&self, key: &TenantKey) -> String {
        let payload = self.payload();
        URL_SAFE_NO_PAD.encode([&payload[..], &key.seal_of(WHAT, &payload)].concat())
    }

    /// What a token says, before that is proven: the tenant's key is needed for [`UnprovenLink::proven`].
    pub fn read(token: &str) -> Option<UnprovenLink> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= MAX_TOKEN)?;
        let (version, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first().filter(|_| *version == VERSION)?;
        let (tenant, rest) = rest.split_at_checked(usize::from(*length))?;
        let (contact, rest) = rest.split_at_checked(16)?;
        let (purpose, rest) = rest.split_first()?;
        let (round, proof) = rest.split_first_chunk::<4>()?;
        let purpose = match purpose {
            0 => Purpose::Service,
            1 => Purpose::Marketing,
            _ => return None,
        };
        let tenant = TenantId::try_new(std::str::from_utf8(tenant).ok()?).ok()?;
        let (contact, round) = (Uuid::from_slice(contact).ok()?, u32::from_be_bytes(*round));
        let proof = proof.try_into().ok()?;
        Some(UnprovenLink { link: Self { tenant, contact, purpose, round }, proof })
    }

    fn payload(&self) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let length = u8::try_from(tenant.len()).unwrap_or(u8::MAX);
        let purpose = match self.purpose {
            Purpose::Service => 0,
            Purpose::Marketing => 1,
        };
        [&[VERSION, length], tenant, self.contact.as_bytes(), &[purpose], &self.round.to_be_bytes()].concat()
    }
}

/// A token that was read.
#[derive(Clone, Debug)]
pub struct UnprovenLink {
    link: ConfirmationLink,
    proof: [u8; 16],
}

impl UnprovenLink {
    /// Whose key proves it.
    pub fn tenant(&self) -> &TenantId {
        &self.link.tenant
    }

    /// The link, if the tenant made this token.
    pub fn proven(self, key: &TenantKey) -> Option<ConfirmationLink> {
        let expected = key.seal_of(WHAT, &self.link.payload());
        bool::from(expected.ct_eq(&self.proof)).then_some(self.link)
    }
}

/// The contact who has the address, and whether it was made now. What is known of one is not changed: anybody can fill in a form.
pub async fn contact_at(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    details: &ContactDetails,
) -> Result<(Uuid, bool), WriteError> {
    let home = home(writer, tenant, &details.email).await?;
    if let Some(holder) = writer.load::<Contact>(tenant, home).await?.state.holder(home) {
        return Ok((holder, false));
    }
    let new = ContactCommand::Create { details: details.clone(), tags: Vec::new(), import: None };
    match create(writer, tenant, meta, &new, &details.email).await {
        Ok((id, _)) => Ok((id, true)),
        // Somebody else made it meanwhile.
        Err(WriteError::Rejected(rejected)) if rejected.code == ContactRejection::EmailTaken.code() => {
            let state = &writer.load::<Contact>(tenant, home).await?.state;
            state.holder(home).map(|holder| (holder, false)).ok_or(WriteError::Rejected(rejected))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
