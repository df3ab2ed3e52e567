//! From an e-mail address and a password to a session.
//!
//! Nobody learns from it who has an account: an unknown address is verified against a hash that fits nobody, is locked
//! after as many failures, and every refusal takes the same time at least.

mod unknown;

use super::{
    account::{self, Account, AccountCommand, AccountRejection, network_hash},
    password::MAX_BYTES,
    password_hash::{HashError, PasswordPool, needs_rehash},
    session::{Session, SessionCommand, session_of},
    token::{NoRandomness, SessionToken},
};
use crate::{
    rejection::Rejected,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{CommandId, Micros, Revealed, TenantId, claim::ClaimHash, identity::account::PasswordHash};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use unknown::UnknownAddresses;
use uuid::Uuid;

/// What a refusal takes at least. More than a hash and a commit, so that their times do not show.
const REFUSAL: Duration = Duration::from_millis(120);

/// Where people sign in. Cheap to clone; a process has one, so that its bounds hold.
#[derive(Clone, Default)]
pub struct SignIn {
    passwords: PasswordPool,
    unknown: Arc<UnknownAddresses>,
}

/// Somebody is signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// To be given to the person; it is nowhere else.
    pub token: SessionToken,
    pub account: Uuid,
    pub receipt: Receipt<Loaded<Session>>,
}

/// What somebody presents to sign in.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub email: &'a str,
    pub password: &'a str,
    /// Where the attempt comes from, as coarse as it should be counted: an IPv4 address, an IPv6 /64.
    pub network: Option<&'a str>,
}

impl SignIn {
    pub fn new(passwords: PasswordPool) -> Self {
        Self { passwords, unknown: Arc::default() }
    }

    /// The pool passwords are hashed in.
    pub fn passwords(&self) -> &PasswordPool {
        &self.passwords
    }

    /// Signs a person in. Every call is an attempt of its own: `meta.command` says who asks and why, a retry under the
    /// same id opens another session, and a wrong password sent twice counts twice.
    pub async fn log_in(
        &self,
        writer: &Writer,
        tenant: &TenantId,
        credentials: Credentials<'_>,
        meta: &Meta,
    ) -> Result<SignedIn, SignInError> {
        let started = Instant::now();
        let outcome = self.attempt(writer, tenant, credentials, meta).await;
        if matches!(outcome, Err(SignInError::Refused { .. })) {
            tokio::time::sleep_until(started + REFUSAL).await;
        }
        outcome
    }

    async fn attempt(
        &self,
        writer: &Writer,
        tenant: &TenantId,
        Credentials { email, password, network }: Credentials<'_>,
        meta: &Meta,
    ) -> Result<SignedIn, SignInError> {
        // What cannot be an address or a password is nobody's; it costs nothing and says nothing.
        if account::normal_email(email).is_err() || password.len() > MAX_BYTES {
            return Err(refused(AccountRejection::WrongCredentials, None));
        }
        let id = account::account_of(writer, tenant, email).await?;
        let tenant_key = writer.tenant_key(tenant).await?;
        let network = network.map(|network| network_hash(&tenant_key, network));
        let loaded = writer.load::<Account>(tenant, id).await?;
        let Some((hash, count)) = known_password(writer, tenant, &loaded.state).await? else {
            return self.refuse_unknown(writer, id, password).await;
        };
        if let Some(until) = loaded.state.locked_until(network.as_ref(), writer.clock().now()) {
            return Err(refused(AccountRejection::Locked { until }, Some(until)));
        }
        let verified = self.passwords.verify(password, &hash).await?;
        let token = SessionToken::random(tenant)?;
        let session = session_of(&tenant_key, &token);
        let command = AccountCommand::LogIn { verified, count, network: network.clone() };
        let attempt = Attempt { id, session, command, count, verified };
        match attempt.record(writer, tenant, meta).await {
            Ok(Some(receipt)) => {
                if needs_rehash(&hash) {
                    self.rehash(writer, tenant, id, password, count).await;
                }
                Ok(SignedIn { token, account: id, receipt })
            }
            Ok(None) => Err(refused(AccountRejection::WrongCredentials, None)),
            Err(WriteError::Rejected(rejected)) => {
                let retry_at = window(writer, tenant, id, network.as_ref()).await?;
                Err(SignInError::Refused { rejected, retry_at })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Does with an unknown address what is done with a known one and a wrong password.
    async fn refuse_unknown(&self, writer: &Writer, id: Uuid, password: &str) -> Result<SignedIn, SignInError> {
        let locked = |until| refused(AccountRejection::Locked { until }, Some(until));
        if let Some(until) = self.unknown.locked_until(id, writer.clock().now()) {
            return Err(locked(until));
        }
        self.passwords.verify_nobody(password).await?;
        match self.unknown.fail(id, writer.clock().now()) {
            Some(until) => Err(locked(until)),
            None => Err(refused(AccountRejection::WrongCredentials, None)),
        }
    }

    /// Stores the password under today's parameters. The person is signed in either way; the next time tries again.
    async fn rehash(&self, writer: &Writer, tenant: &TenantId, id: Uuid, password: &str, count: u32) {
        let Ok(password) = self.passwords.hash(password).await else { return };
        let meta = Meta::system("sign-in", CommandId::random());
        let command = AccountCommand::Rehash { password, count };
        if let Err(error) = writer.execute::<Account>(tenant, id, &meta, &command).await {
            tracing::warn!(%error, account = %id, "a password's hash was not renewed");
        }
    }
}

/// One attempt whose password was verified or not, to be recorded.
struct Attempt {
    id: Uuid,
    session: Uuid,
    command: AccountCommand,
    count: u32,
    verified: bool,
}

impl Attempt {
    /// Records the attempt and, if the password was right, opens the session in the same commit.
    async fn record(
        &self,
        writer: &Writer,
        tenant: &TenantId,
        meta: &Meta,
    ) -> Result<Option<Receipt<Loaded<Session>>>, WriteError> {
        let command = CommandId::derived(&[&meta.command.to_string(), &self.session.to_string()]);
        let meta = Meta { command, content: None, if_match: None, ..meta.clone() };
        let subjects = [writer.subject::<Account>(tenant, self.id), writer.subject::<Session>(tenant, self.session)];
        let receipt = writer
            .transact(tenant, &meta, &subjects, |tx| {
                Box::pin(async move {
                    tx.decide::<Account>(self.id, &self.command).await?;
                    if !self.verified {
                        return Ok(None);
                    }
                    let open = SessionCommand::Open { account: self.id, password: self.count };
                    Ok(Some(tx.decide::<Session>(self.session, &open).await?))
                })
            })
            .await?;
        let Receipt { value, position, replayed } = receipt;
        Ok(value.map(|mut session| {
            session.revision = position;
            Receipt { value: session, position, replayed }
        }))
    }
}

/// The hash and the count of an account's password; `None` for an account that is not there or was erased.
async fn known_password(
    writer: &Writer,
    tenant: &TenantId,
    account: &Account,
) -> Result<Option<(PasswordHash, u32)>, WriteError> {
    let Some((sealed, count)) = account.password() else { return Ok(None) };
    let keys = writer.keys().load(tenant, &[sealed.key()]).await?;
    match sealed.open(&keys).map_err(|_| AccountRejection::Sealing)? {
        Revealed::Known(hash) => Ok(Some((hash, count))),
        Revealed::Erased => Ok(None),
    }
}

async fn window(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    network: Option<&ClaimHash>,
) -> Result<Option<Micros>, WriteError> {
    let account = writer.load::<Account>(tenant, id).await?;
    Ok(account.state.locked_until(network, writer.clock().now()))
}

fn refused(rejection: AccountRejection, retry_at: Option<Micros>) -> SignInError {
    SignInError::Refused { rejected: rejection.into(), retry_at }
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// `wrong_credentials`, `locked` (with the time from which on an attempt counts again) or `account_disabled`.
    #[error("{rejected}")]
    Refused { rejected: Rejected, retry_at: Option<Micros> },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

#[cfg(test)]
mod tests;
