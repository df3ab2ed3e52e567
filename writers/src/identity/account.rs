//! Accounts: people who sign in to work for a tenant. An account's id follows from its e-mail address, so there is one
//! for each address, and the address never changes.
//!
//! **Failed sign-ins are counted by where they come from.** A network from which the person has signed in before has a
//! count of its own; all others share one. So guessing from elsewhere, from however many addresses, ends after five
//! attempts and does not shut the person out at home.

mod person;
mod service;

use super::{lockout::Lockout, password_hash};
use crate::{
    decider::{Ctx, Decider, Decision, KeyNeed},
    rejections,
};
use bus_schema::{
    KeyId, Micros, Sealed,
    claim::ClaimHash,
    identity::{
        account::{
            AccountCreated, AccountDisabled, AccountEnabled, AccountEvent, AccountInvited, AccountPerson, LoggedIn,
            LoginFailed, PasswordChanged, PasswordHash, PasswordRehashed, ResetAsked, RolesSet,
        },
        role::Role,
        scope::Scopes,
    },
    keys::TenantKey,
};
pub use person::{normal_email, valid_person};
use serde::{Deserialize, Serialize};
pub use service::{AccountError, account_of, change_password, create, person_of};
use std::collections::BTreeSet;

/// How long a link to choose a new password works, in seconds.
pub const RESET_LIFE: i64 = 60 * 60;
/// How long a link to choose the first password works, in seconds.
pub const INVITATION_LIFE: i64 = 7 * 24 * 60 * 60;
/// Seconds in which nobody is sent a second link: nobody's mailbox is filled from here.
const LINK_PAUSE: i64 = 5 * 60;

/// Networks an account remembers having signed in from; the one not used longest is forgotten.
pub const MAX_NETWORKS: usize = 16;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    profile: Option<Profile>,
    /// Failures from networks the person has not signed in from.
    strangers: Lockout,
    /// Networks the person has signed in from, the latest last.
    networks: Vec<(ClaimHash, Lockout)>,
    /// Until when no other link to choose a password is sent.
    #[serde(default)]
    no_link_before: Option<Micros>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Profile {
    person: Sealed<AccountPerson>,
    password: Sealed<PasswordHash>,
    /// How many passwords there were: a session names the one it was opened with.
    password_count: u32,
    roles: BTreeSet<Role>,
    disabled: bool,
}

#[derive(Clone, Debug)]
pub enum AccountCommand {
    /// The password's rules are checked by [`create`], which has the password; here comes only its hash.
    Create {
        person: AccountPerson,
        password: PasswordHash,
        roles: Vec<Role>,
    },
    /// Another password. Ends every session and every lock.
    ChangePassword {
        password: PasswordHash,
    },
    /// The same password (the `count`-th) under today's parameters. Sessions go on.
    Rehash {
        password: PasswordHash,
        count: u32,
    },
    SetRoles {
        roles: Vec<Role>,
    },
    Disable,
    Enable,
    /// Somebody forgot the password: a link to choose another one goes to the account's address.
    AskReset,
    /// Somebody of the tenant wants the person to choose a password.
    Invite,
    /// Somebody tried to sign in: `verified` tells whether the password was the `count`-th one of this account.
    LogIn {
        verified: bool,
        count: u32,
        network: Option<ClaimHash>,
    },
}

rejections! {
    /// Why a command to an account is refused.
    pub enum AccountRejection {
        Unknown: Missing, "account_not_found", "", "there is no such account";
        Exists: State, "account_exists", "/email", "there is an account with this e-mail address already";
        InvalidEmail: Invalid, "invalid_email", "/email", "an e-mail address has the form name@domain (RFC 5321), at most 254 characters";
        InvalidName: Invalid, "invalid_name", "/name", "a name has 1 to 100 characters and no control characters";
        NoRole: Invalid, "no_role", "/roles", "an account has at least one role";
        UnacceptableHash: Invalid, "unacceptable_hash", "/password", "a password is stored as an argon2id PHC string within the limits";
        WrongCredentials: Denied, "wrong_credentials", "", "the e-mail address or the password is wrong";
        Locked { until: Micros }: Denied, "locked", "", "too many failed attempts: nothing is tried before {until}";
        Disabled: Denied, "account_disabled", "", "the account is disabled";
        Sealing: State, "key_destroyed", "", "the account's key is destroyed";
    }
}

impl Account {
    pub fn exists(&self) -> bool {
        self.profile.is_some()
    }

    pub fn is_disabled(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.disabled)
    }

    pub fn person(&self) -> Option<&Sealed<AccountPerson>> {
        self.profile.as_ref().map(|profile| &profile.person)
    }

    /// The password's hash and the count of passwords it stands for.
    pub fn password(&self) -> Option<(&Sealed<PasswordHash>, u32)> {
        self.profile.as_ref().map(|profile| (&profile.password, profile.password_count))
    }

    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.profile.iter().flat_map(|profile| profile.roles.iter().copied())
    }

    /// What the account may do: nothing while it is disabled.
    pub fn scopes(&self) -> Scopes {
        if self.is_disabled() { Scopes::default() } else { Role::scopes_of(self.roles()) }
    }

    /// When the window ends that is open for attempts from a network.
    pub fn locked_until(&self, network: Option<&ClaimHash>, now: Micros) -> Option<Micros> {
        self.lockout(network).0.open_window(now)
    }

    /// The failures that count for a network, and whether the person has signed in from it.
    fn lockout(&self, network: Option<&ClaimHash>) -> (Lockout, bool) {
        let known = network.and_then(|network| self.networks.iter().find(|(known, _)| known == network));
        known.map_or((self.strangers, false), |(_, lockout)| (*lockout, true))
    }

    fn profile(&self) -> Result<&Profile, AccountRejection> {
        self.profile.as_ref().ok_or(AccountRejection::Unknown)
    }

    fn decide_log_in(
        &self,
        verified: bool,
        count: u32,
        network: Option<&ClaimHash>,
        now: Micros,
    ) -> Result<AccountEvent, AccountRejection> {
        use AccountRejection as R;
        let profile = self.profile.as_ref().ok_or(R::WrongCredentials)?;
        let (lockout, known_network) = self.lockout(network);
        if let Some(until) = lockout.open_window(now) {
            return Err(R::Locked { until });
        }
        // What was verified is not the password any more: that says nothing about who tries.
        if count != profile.password_count {
            return Err(R::WrongCredentials);
        }
        let network = network.cloned();
        if !verified {
            let Lockout { failures, until } = lockout.after_failure(now);
            return Ok(LoginFailed { network, known_network, failures, locked_until: until }.into());
        }
        if profile.disabled {
            return Err(R::Disabled);
        }
        let new_network = network.is_some() && !known_network;
        Ok(LoggedIn { network, new_network }.into())
    }

    fn evolve_logged_in(&mut self, event: &LoggedIn) {
        let Some(network) = &event.network else {
            self.strangers = Lockout::default();
            return;
        };
        if event.new_network {
            self.strangers = Lockout::default();
        }
        self.networks.retain(|(known, _)| known != network);
        self.networks.push((network.clone(), Lockout::default()));
        if self.networks.len() > MAX_NETWORKS {
            self.networks.remove(0);
        }
    }

    fn evolve_login_failed(&mut self, event: &LoginFailed) {
        let lockout = Lockout { failures: event.failures, until: event.locked_until };
        let known = self.networks.iter_mut().find(|(known, _)| event.network.as_ref() == Some(known));
        match known.filter(|_| event.known_network) {
            Some((_, count)) => *count = lockout,
            None => self.strangers = lockout,
        }
    }
}

impl Decider for Account {
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Rejection = AccountRejection;

    fn decide(&self, command: &AccountCommand, ctx: &Ctx) -> Result<Decision<AccountEvent>, AccountRejection> {
        use AccountRejection as R;
        let seal_failed = |_| R::Sealing;
        match command {
            AccountCommand::Create { person, password, roles } => {
                if self.exists() {
                    return Err(R::Exists);
                }
                let (person, roles) = (valid_person(person)?, valid_roles(roles)?);
                let key = ctx.fresh_key().map_err(seal_failed)?;
                let person = ctx.seal(key, &person).map_err(seal_failed)?;
                let password = ctx.seal(key, acceptable(password)?).map_err(seal_failed)?;
                Ok(Decision::event(AccountCreated { person, password, roles: roles.into_iter().collect() }))
            }
            AccountCommand::ChangePassword { password } => {
                let profile = self.profile()?;
                if ctx.open(&profile.password).map_err(seal_failed)?.known().as_ref() == Some(password) {
                    return Ok(Decision::nothing());
                }
                let password = ctx.seal(profile.person.key(), acceptable(password)?).map_err(seal_failed)?;
                Ok(Decision::event(PasswordChanged { password }))
            }
            AccountCommand::Rehash { password, count } => {
                let profile = self.profile()?;
                let present = ctx.open(&profile.password).map_err(seal_failed)?.known();
                if *count != profile.password_count || present.as_ref() == Some(password) {
                    return Ok(Decision::nothing());
                }
                let password = ctx.seal(profile.person.key(), acceptable(password)?).map_err(seal_failed)?;
                Ok(Decision::event(PasswordRehashed { password }))
            }
            AccountCommand::SetRoles { roles } => {
                let (profile, roles) = (self.profile()?, valid_roles(roles)?);
                if roles == profile.roles {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(RolesSet { roles: roles.into_iter().collect() }))
            }
            AccountCommand::Disable if self.profile()?.disabled => Ok(Decision::nothing()),
            AccountCommand::Disable => Ok(Decision::event(AccountDisabled {})),
            AccountCommand::Enable if self.profile()?.disabled => Ok(Decision::event(AccountEnabled {})),
            AccountCommand::Enable => Ok(Decision::nothing()),
            AccountCommand::AskReset | AccountCommand::Invite if self.profile()?.disabled => Err(R::Disabled),
            AccountCommand::AskReset | AccountCommand::Invite
                if self.no_link_before.is_some_and(|until| ctx.now < until) =>
            {
                Ok(Decision::nothing())
            }
            AccountCommand::AskReset => {
                Ok(Decision::event(ResetAsked { expires_at: ctx.now.plus_seconds(RESET_LIFE) }))
            }
            AccountCommand::Invite => {
                Ok(Decision::event(AccountInvited { expires_at: ctx.now.plus_seconds(INVITATION_LIFE) }))
            }
            AccountCommand::LogIn { verified, count, network } => {
                Ok(Decision::event(self.decide_log_in(*verified, *count, network.as_ref(), ctx.now)?))
            }
        }
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match (event, &mut self.profile) {
            (AccountEvent::Created(created), _) => {
                self.profile = Some(Profile {
                    person: created.person.clone(),
                    password: created.password.clone(),
                    password_count: 1,
                    roles: created.roles.iter().copied().collect(),
                    disabled: false,
                });
            }
            (AccountEvent::PasswordChanged(changed), Some(profile)) => {
                profile.password = changed.password.clone();
                profile.password_count = profile.password_count.saturating_add(1);
                self.strangers = Lockout::default();
                self.networks.iter_mut().for_each(|(_, lockout)| *lockout = Lockout::default());
            }
            (AccountEvent::PasswordRehashed(rehashed), Some(profile)) => profile.password = rehashed.password.clone(),
            (AccountEvent::RolesSet(set), Some(profile)) => profile.roles = set.roles.iter().copied().collect(),
            (AccountEvent::Disabled(_), Some(profile)) => profile.disabled = true,
            (AccountEvent::Enabled(_), Some(profile)) => profile.disabled = false,
            (AccountEvent::ResetAsked(asked), Some(_)) => {
                self.no_link_before = Some(asked.expires_at.plus_seconds(LINK_PAUSE - RESET_LIFE));
            }
            (AccountEvent::Invited(invited), Some(_)) => {
                self.no_link_before = Some(invited.expires_at.plus_seconds(LINK_PAUSE - INVITATION_LIFE));
            }
            (AccountEvent::LoggedIn(event), Some(_)) => self.evolve_logged_in(event),
            (AccountEvent::LoginFailed(event), Some(_)) => self.evolve_login_failed(event),
            // Nothing can be recorded of an account before it is made.
            (_, None) => {}
        }
    }

    fn keys(&self, command: &AccountCommand) -> KeyNeed {
        let key: Option<KeyId> = self.person().map(Sealed::key);
        match (command, key) {
            (AccountCommand::Create { .. }, None) => KeyNeed::Fresh,
            (AccountCommand::ChangePassword { .. } | AccountCommand::Rehash { .. }, Some(key)) => {
                KeyNeed::Existing(vec![key])
            }
            _ => KeyNeed::None,
        }
    }

    fn creates(command: &AccountCommand) -> bool {
        matches!(command, AccountCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> AccountRejection {
        AccountRejection::Exists
    }
}

/// How a network is stored: nobody without the tenant's key can tell which one it was.
pub fn network_hash(tenant_key: &TenantKey, network: &str) -> ClaimHash {
    tenant_key.claim("account.network", network)
}

fn valid_roles(roles: &[Role]) -> Result<BTreeSet<Role>, AccountRejection> {
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    if roles.is_empty() { Err(AccountRejection::NoRole) } else { Ok(roles) }
}

fn acceptable(password: &PasswordHash) -> Result<&PasswordHash, AccountRejection> {
    if password_hash::is_acceptable(password) { Ok(password) } else { Err(AccountRejection::UnacceptableHash) }
}

#[cfg(test)]
mod tests;
