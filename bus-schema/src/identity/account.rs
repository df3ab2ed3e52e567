//! An account: a person who signs in to work for a tenant.
//!
//! The e-mail address, the name and the password's hash are sealed under the account's own key. A network is stored as
//! a keyed hash only: an IP address identifies a person.

use super::role::Role;
use crate::{
    claim::ClaimHash,
    events,
    sealed::{Personal, Sealed},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::fmt;

events! {
    /// What can happen to an account.
    pub enum AccountEvent {
        Created(AccountCreated) = "account.created" @ 1,
        PasswordChanged(PasswordChanged) = "account.password_changed" @ 1,
        PasswordRehashed(PasswordRehashed) = "account.password_rehashed" @ 1,
        RolesSet(RolesSet) = "account.roles_set" @ 1,
        Disabled(AccountDisabled) = "account.disabled" @ 1,
        Enabled(AccountEnabled) = "account.enabled" @ 1,
        LoggedIn(LoggedIn) = "account.logged_in" @ 1,
        LoginFailed(LoginFailed) = "account.login_failed" @ 1,
        ResetAsked(ResetAsked) = "account.reset_asked" @ 1,
        Invited(AccountInvited) = "account.invited" @ 1,
    }
}

/// Who the person is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPerson {
    /// As the person writes it; the account's id follows from its normal form, so it never changes.
    pub email: String,
    pub name: String,
}

impl Personal for AccountPerson {
    const LABEL: &'static str = "identity.account.person";
}

/// A password's hash as a PHC string (`$argon2id$v=19$…`). Not readable from the log without the account's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl Personal for PasswordHash {
    const LABEL: &'static str = "identity.account.password_hash";
    const SECRET: bool = true;
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountCreated {
    pub person: Sealed<AccountPerson>,
    pub password: Sealed<PasswordHash>,
    pub roles: Vec<Role>,
}

/// Another password: every session opened before is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordChanged {
    pub password: Sealed<PasswordHash>,
}

/// The same password under today's parameters: sessions go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordRehashed {
    pub password: Sealed<PasswordHash>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolesSet {
    /// Sorted, each once.
    pub roles: Vec<Role>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountDisabled {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountEnabled {}

/// Somebody forgot the password: a link to choose another one goes to the account's address. The link itself is made with its
/// mail and is in no event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResetAsked {
    pub expires_at: Micros,
}

/// The person is invited to choose a password of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountInvited {
    pub expires_at: Micros,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ClaimHash>,
    /// The person had not signed in from this network lately: worth a notice.
    pub new_network: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoginFailed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ClaimHash>,
    /// Whether the person had signed in from this network lately; strangers share one count.
    pub known_network: bool,
    /// Failures in a row, this one included.
    pub failures: u32,
    /// No attempt counts before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Micros>,
}
