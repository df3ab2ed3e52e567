//! Who calls, and what may they do: asked with every request.
//!
//! A token is only a reference. What it stands for is looked at each time, in memory when the log confirmed it less than
//! [`MAX_AGE`] ago: a revoked key, a closed session, other roles, another password and a disabled account count from
//! the next request on in the process that made the change, and within [`MAX_AGE`] in every other.

use super::{
    account::Account,
    api_key::ApiKey,
    session::{Session, session_of},
    token::{KeyToken, SessionToken},
};
use crate::{
    rejections,
    writer::{WriteError, Writer},
};
use bus_schema::{TenantId, identity::scope::Scopes};
use std::time::Duration;
use uuid::Uuid;

/// How old an answer of the log may be. Promised is less than a second until a revocation counts everywhere.
pub const MAX_AGE: Duration = Duration::from_millis(800);

rejections! {
    /// Why a token opens nothing. Only whoever has the secret learns more than "invalid".
    pub enum TokenRejection {
        Invalid: Denied, "invalid_token", "", "the token is not valid";
        SessionEnded: Denied, "session_ended", "", "the session was ended; sign in again";
        SessionExpired: Denied, "session_expired", "", "the session has expired; sign in again";
        AccountDisabled: Denied, "account_disabled", "", "the account is disabled";
        KeyRevoked: Denied, "key_revoked", "", "the key was revoked";
        KeyExpired: Denied, "key_expired", "", "the key has expired";
    }
}

/// The account a session's token stands for, and what it may do now.
pub async fn authenticate_session(
    writer: &Writer,
    tenant: &TenantId,
    token: &str,
) -> Result<(Uuid, Scopes), WriteError> {
    use TokenRejection as R;
    let token = SessionToken::parse(token).filter(|token| token.tenant == *tenant).ok_or(R::Invalid)?;
    let id = session_of(&*writer.tenant_key(tenant).await?, &token);
    let session = writer.load_cached::<Session>(tenant, id, MAX_AGE).await?;
    let id = session.state.account().ok_or(R::Invalid)?;
    let opened = session.state.open().ok_or(R::SessionEnded)?;
    if opened.expires_at <= writer.clock().now() {
        return Err(R::SessionExpired.into());
    }
    let account = writer.load_cached::<Account>(tenant, id, MAX_AGE).await?;
    if account.state.is_disabled() {
        return Err(R::AccountDisabled.into());
    }
    if account.state.password().is_none_or(|(_, count)| count != opened.password) {
        return Err(R::SessionEnded.into());
    }
    Ok((id, account.state.scopes()))
}

/// The key a program's token stands for, and what it may do.
pub async fn authenticate_key(writer: &Writer, tenant: &TenantId, token: &str) -> Result<(Uuid, Scopes), WriteError> {
    use TokenRejection as R;
    let token = KeyToken::parse(token).filter(|token| token.tenant == *tenant).ok_or(R::Invalid)?;
    let key = writer.load_cached::<ApiKey>(tenant, token.key, MAX_AGE).await?;
    let created = key.state.created().filter(|_| key.state.has_secret(&token.hash())).ok_or(R::Invalid)?;
    if key.state.is_revoked() {
        return Err(R::KeyRevoked.into());
    }
    if created.expires_at.is_some_and(|at| at <= writer.clock().now()) {
        return Err(R::KeyExpired.into());
    }
    Ok((token.key, created.scopes.clone()))
}

#[cfg(test)]
mod tests;
