//! Roles: the names under which people are given scopes.

use super::scope::Scopes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What somebody is for a tenant. Several may be held; the scopes add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    Owner,
    /// Everything but what belongs to the tenant itself and the platform.
    Admin,
    /// Pages, courses and products.
    Editor,
    /// Mail, contacts and what came of it.
    Marketer,
    /// Reads everything about the business, nothing about who may sign in.
    Analyst,
    /// Answers people: contacts, orders, enrolments.
    Support,
}

impl Role {
    pub const ALL: [Self; 6] = [Self::Owner, Self::Admin, Self::Editor, Self::Marketer, Self::Analyst, Self::Support];

    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Marketer => "marketer",
            Self::Analyst => "analyst",
            Self::Support => "support",
        }
    }

    /// The scopes as text, one place to read what a role may do.
    fn scope_texts(self) -> &'static [&'static str] {
        match self {
            Self::Owner => &["*"],
            Self::Admin => &[
                "cms.*:*",
                "crm.*:*",
                "shop.*:*",
                "learning.*:*",
                "mail.*:*",
                "analytics.*:*",
                "identity.account:*",
                "identity.session:*",
                "identity.api_key:*",
                "identity.tenant:read",
                "platform.*:read",
            ],
            Self::Editor => &["cms.*:*", "learning.*:*", "shop.product:*", "shop.*:read"],
            Self::Marketer => &["mail.*:*", "crm.*:*", "cms.*:read", "shop.*:read", "analytics.*:read"],
            Self::Analyst => {
                &["cms.*:read", "crm.*:read", "shop.*:read", "learning.*:read", "mail.*:read", "analytics.*:read"]
            }
            Self::Support => &[
                "crm.*:read",
                "crm.contact:write",
                "shop.*:read",
                "shop.order:write",
                "learning.*:read",
                "learning.enrolment:write",
            ],
        }
    }

    pub fn scopes(self) -> Scopes {
        Scopes::from_valid(self.scope_texts().iter().filter_map(|text| text.parse().ok()))
    }

    /// What several roles allow together.
    pub fn scopes_of(roles: impl IntoIterator<Item = Self>) -> Scopes {
        Scopes::from_valid(roles.into_iter().flat_map(|role| role.scopes().into_iter()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of owner, admin, editor, marketer, analyst, support")]
pub struct UnknownRole;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_of_every_role_is_valid_and_names_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.scopes().len(), role.scope_texts().len(), "{role}");
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }

    #[test]
    fn roles_allow_what_their_work_needs_and_no_more() {
        let allows = |role: Role, needed| role.scopes().allows(needed);
        assert!(allows(Role::Owner, "identity.tenant:write"));
        assert!(!allows(Role::Admin, "identity.tenant:write"));
        assert!(allows(Role::Admin, "identity.account:write"));
        assert!(allows(Role::Marketer, "mail.campaign:send"));
        assert!(!allows(Role::Marketer, "shop.order:write"));
        assert!(allows(Role::Analyst, "crm.contact:read"));
        assert!(!allows(Role::Analyst, "crm.contact:write"));
        assert!(!allows(Role::Analyst, "identity.account:read"));
        assert!(allows(Role::Support, "crm.contact:write") && !allows(Role::Support, "crm.import:write"));
    }

    #[test]
    fn nobody_but_an_owner_holds_what_an_owner_holds() {
        for role in Role::ALL {
            assert_eq!(role.scopes().covers(&Role::Owner.scopes()), role == Role::Owner, "{role}");
            assert!(Role::Owner.scopes().covers(&role.scopes()), "{role}");
        }
        assert!(Role::Admin.scopes().covers(&Role::Marketer.scopes()));
        let both = Role::scopes_of([Role::Analyst, Role::Support]);
        assert!(both.allows("mail.campaign:read") && both.allows("shop.order:write"));
    }
}
