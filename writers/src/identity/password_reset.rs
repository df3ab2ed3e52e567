//! A new password without the old one: a link to whoever reads the mailbox of an account.
//!
//! The link's token is made when the mail is made and is nowhere else: it names account and end, with a proof under the
//! tenant's key that goes over both and over how many passwords the account has had. So nothing in the log opens an account,
//! a link works once (the next password is another count), and every older link ends with it. Sources: OWASP ASVS 5.0 V6.4
//! (recovery), V6.5 (single use, lifetime).

use super::{
    account::{Account, AccountCommand, AccountError, account_of, person_of},
    password::check_password,
    password_hash::PasswordPool,
};
use crate::{
    rejections,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{Micros, TenantId, keys::TenantKey};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Before it, so that another form can follow.
const VERSION: u8 = 1;
/// Characters of a token; a tenant's name has at most 40.
const MAX_TOKEN: usize = 200;
/// Times a password is set again because the account changed between looking and acting.
const TRIES: usize = 5;

rejections! {
    /// Why a link to choose a password is refused.
    pub enum ResetRejection {
        Invalid: Missing, "reset_not_valid", "", "the link is not complete, was used, or its time is over; ask for another one";
    }
}

/// Who may choose a password until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetLink {
    pub tenant: TenantId,
    pub account: Uuid,
    pub expires_at: Micros,
}

impl ResetLink {
    /// The token of a link, for an account that has had so many passwords.
    pub fn token(&self, key: &TenantKey, password_count: u32) -> String {
        let mut bytes = self.payload();
        bytes.extend_from_slice(self.mark(key, password_count).as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says, before that is proven.
    fn read(token: &str) -> Option<(Self, Vec<u8>)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= MAX_TOKEN)?;
        let (version, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first().filter(|_| *version == VERSION)?;
        let (tenant, rest) = rest.split_at_checked(usize::from(*length))?;
        let (account, rest) = rest.split_at_checked(16)?;
        let (expires_at, mark) = rest.split_first_chunk::<8>()?;
        let tenant = TenantId::try_new(std::str::from_utf8(tenant).ok()?).ok()?;
        let (account, expires_at) = (Uuid::from_slice(account).ok()?, Micros(i64::from_be_bytes(*expires_at)));
        Some((Self { tenant, account, expires_at }, mark.to_vec()))
    }

    fn payload(&self) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let length = u8::try_from(tenant.len()).unwrap_or(u8::MAX);
        [&[VERSION, length], tenant, self.account.as_bytes(), &self.expires_at.0.to_be_bytes()].concat()
    }

    fn mark(&self, key: &TenantKey, password_count: u32) -> String {
        let proven = [&self.payload()[..], &password_count.to_be_bytes()].concat();
        key.claim("identity.password_reset", &URL_SAFE_NO_PAD.encode(proven)).to_string()
    }

    fn is_proven(&self, mark: &[u8], key: &TenantKey, password_count: u32) -> bool {
        bool::from(self.mark(key, password_count).as_bytes().ct_eq(mark))
    }
}

/// The account a token opens now, with its state. Any reason for none looks the same.
async fn opened(writer: &Writer, token: &str) -> Result<(ResetLink, Loaded<Account>), WriteError> {
    let refused = || WriteError::from(ResetRejection::Invalid);
    let (link, mark) = ResetLink::read(token).ok_or_else(refused)?;
    let Some(key) = writer.keys().tenant(&link.tenant).await? else { return Err(refused()) };
    let account = writer.load::<Account>(&link.tenant, link.account).await?;
    let count = account.state.password().map(|(_, count)| count).filter(|_| !account.state.is_disabled());
    let good = count.is_some_and(|count| link.is_proven(&mark, &key, count)) && writer.clock().now() < link.expires_at;
    if good { Ok((link, Loaded::clone(&account))) } else { Err(refused()) }
}

/// Whether a token opens an account now.
pub async fn check(writer: &Writer, token: &str) -> Result<(), WriteError> {
    opened(writer, token).await.map(|_| ())
}

/// Somebody forgot a password. Who has no account, a disabled one, or asked a moment ago gets no mail, and nobody learns which:
/// the caller answers everybody alike.
pub async fn ask(writer: &Writer, tenant: &TenantId, email: &str, meta: &Meta) -> Result<(), WriteError> {
    let id = account_of(writer, tenant, email).await?;
    writer.execute::<Account>(tenant, id, meta, &AccountCommand::AskReset).await.map(|_| ())
}

/// Sets the password a token allows to be set, and ends every session and every other link of the account.
pub async fn redeem(
    writer: &Writer,
    passwords: &PasswordPool,
    token: &str,
    password: &str,
    meta: &Meta,
) -> Result<(Uuid, Receipt<Loaded<Account>>), AccountError> {
    let (link, _) = opened(writer, token).await?;
    let person = person_of(writer, &link.tenant, link.account).await?;
    check_password(password, &person.email).map_err(WriteError::from)?;
    let password = passwords.hash(password).await?;
    let change = AccountCommand::ChangePassword { password };
    let mut tries = 0;
    loop {
        // Looked at again under its revision: of two who come with one link, one gets in.
        let (link, account) = opened(writer, token).await?;
        let meta = Meta { if_match: Some(account.revision), ..meta.clone() };
        match writer.execute::<Account>(&link.tenant, link.account, &meta, &change).await {
            Err(WriteError::Stale { .. }) if tries < TRIES => tries += 1,
            done => return Ok((link.account, done?)),
        }
    }
}

#[cfg(test)]
mod tests;
