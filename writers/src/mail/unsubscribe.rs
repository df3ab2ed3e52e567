//! The link with which a receiver leaves: who leaves what is in the link itself, under a key of the tenant.
//!
//! So it works without a session, without a look at anything stored, for as long as the tenant exists, also when the campaign
//! is gone (spec/EMAIL.md 3.1, check 41). It is unforgeable, not secret: whoever has somebody's mail can unsubscribe them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{TenantId, keys::TenantKey, mail::campaign::ConsentPurpose};
use uuid::Uuid;

/// Before it, so that another form can follow.
const VERSION: u8 = 1;
/// Characters of a token; a tenant's name has at most 40.
const MAX_TOKEN: usize = 300;

/// Who leaves what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    pub tenant: TenantId,
    pub contact: Uuid,
    pub purpose: ConsentPurpose,
    /// The campaign whose link it was.
    pub campaign: Uuid,
}

impl Leaver {
    /// The token of a link.
    pub fn token(&self, key: &TenantKey) -> String {
        let mut bytes = self.payload();
        bytes.extend_from_slice(self.mark(key).as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Who a token says it is for, before that is proven: the tenant's key is needed for [`Unproven::proven`].
    pub fn read(token: &str) -> Option<Unproven> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= MAX_TOKEN)?;
        let (version, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first().filter(|_| *version == VERSION)?;
        let (tenant, rest) = rest.split_at_checked(usize::from(*length))?;
        let (contact, rest) = rest.split_at_checked(16)?;
        let (campaign, rest) = rest.split_at_checked(16)?;
        let (purpose, mark) = rest.split_first()?;
        let purpose = match purpose {
            0 => ConsentPurpose::Service,
            1 => ConsentPurpose::Marketing,
            _ => return None,
        };
        let leaver = Self {
            tenant: TenantId::try_new(std::str::from_utf8(tenant).ok()?).ok()?,
            contact: Uuid::from_slice(contact).ok()?,
            purpose,
            campaign: Uuid::from_slice(campaign).ok()?,
        };
        Some(Unproven { leaver, mark: String::from_utf8(mark.to_vec()).ok()? })
    }

    fn payload(&self) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let length = u8::try_from(tenant.len()).unwrap_or(u8::MAX);
        let purpose = match self.purpose {
            ConsentPurpose::Service => 0,
            ConsentPurpose::Marketing => 1,
        };
        let (contact, campaign) = (self.contact.as_bytes(), self.campaign.as_bytes());
        [&[VERSION, length], tenant, contact, campaign, &[purpose]].concat()
    }

    fn mark(&self, key: &TenantKey) -> String {
        key.claim("mail.unsubscribe", &URL_SAFE_NO_PAD.encode(self.payload())).to_string()
    }
}

/// A token that was read.
#[derive(Clone, Debug)]
pub struct Unproven {
    leaver: Leaver,
    mark: String,
}

impl Unproven {
    /// Whose key proves it.
    pub fn tenant(&self) -> &TenantId {
        &self.leaver.tenant
    }

    /// The leaver, if the tenant made this token.
    pub fn proven(self, key: &TenantKey) -> Option<Leaver> {
        use subtle::ConstantTimeEq;
        let expected = self.leaver.mark(key);
        bool::from(expected.as_bytes().ct_eq(self.mark.as_bytes())).then_some(self.leaver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaver() -> Leaver {
        Leaver {
            tenant: TenantId::try_new("acme").unwrap(),
            contact: Uuid::from_u128(1),
            purpose: ConsentPurpose::Marketing,
            campaign: Uuid::from_u128(2),
        }
    }

    #[test]
    fn check_41_a_token_is_bound_to_its_receiver_and_cannot_be_forged() {
        let (key, other) = (TenantKey::fixed([1; 32]), TenantKey::fixed([2; 32]));
        let token = leaver().token(&key);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(Leaver::read(&token).unwrap().proven(&key), Some(leaver()));
        assert_eq!(Leaver::read(&token).unwrap().proven(&other), None);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let read = Leaver::read(&URL_SAFE_NO_PAD.encode(&forged));
            assert_eq!(read.and_then(|read| read.proven(&key)), None, "byte {at}");
            let cut = Leaver::read(&URL_SAFE_NO_PAD.encode(&bytes[..at]));
            assert_eq!(cut.and_then(|cut| cut.proven(&key)), None, "cut at {at}");
        }
        for bad in ["", "!", "AA", &"A".repeat(400)] {
            assert!(Leaver::read(bad).is_none(), "{bad}");
        }
    }
}
