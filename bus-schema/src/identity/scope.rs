//! Scopes: what a session or a program's key may do, as `context.aggregate:verb`.
//!
//! Aggregate and verb may be `*` (`crm.*:read`, `crm.contact:*`), the context only together with the aggregate
//! (`*.*:read`); `*` alone is everything. A pattern allows exactly what it matches: `write` does not include `read`.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Scopes one holder may have.
pub const MAX_SCOPES: usize = 100;
/// Bytes of one part of a scope.
const MAX_PART: usize = 40;

/// One scope, valid by construction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    context: String,
    aggregate: String,
    verb: String,
}

impl Scope {
    /// Whether holding this scope is enough for `needed`. A wildcard is enough for a name, never the reverse.
    pub fn allows(&self, needed: &Self) -> bool {
        let part = |held: &str, needed: &str| held == "*" || held == needed;
        part(&self.context, &needed.context)
            && part(&self.aggregate, &needed.aggregate)
            && part(&self.verb, &needed.verb)
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let fail = || InvalidScope::Scope { scope: text.chars().take(130).collect() };
        if text == "*" {
            return Ok(Self { context: "*".into(), aggregate: "*".into(), verb: "*".into() });
        }
        let (path, verb) = text.split_once(':').ok_or_else(fail)?;
        let (context, aggregate) = path.split_once('.').ok_or_else(fail)?;
        let named = |part: &str| {
            (1..=MAX_PART).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        let valid = |part: &str| part == "*" || named(part);
        let context_ok = named(context) || (context == "*" && aggregate == "*");
        if context_ok && valid(aggregate) && valid(verb) {
            Ok(Self { context: context.into(), aggregate: aggregate.into(), verb: verb.into() })
        } else {
            Err(fail())
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.context == "*" && self.verb == "*" {
            return f.write_str("*");
        }
        write!(f, "{}.{}:{}", self.context, self.aggregate, self.verb)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;
    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// What somebody may do altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads scopes from outside; at least one, at most [`MAX_SCOPES`].
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, InvalidScope> {
        let mut scopes = BTreeSet::new();
        for text in texts {
            scopes.insert(text.as_ref().parse()?);
            if scopes.len() > MAX_SCOPES {
                return Err(InvalidScope::Count);
            }
        }
        if scopes.is_empty() { Err(InvalidScope::Count) } else { Ok(Self(scopes)) }
    }

    pub fn from_valid(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// Whether `needed` (`crm.contact:write`) is allowed. A text that is no scope is never allowed.
    pub fn allows(&self, needed: &str) -> bool {
        needed.parse().is_ok_and(|needed| self.includes(&needed))
    }

    /// Whether all of `other` is allowed here: nobody may hand out more than they have.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|scope| self.includes(scope))
    }

    fn includes(&self, needed: &Scope) -> bool {
        self.0.iter().any(|held| held.allows(needed))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Scopes {
    type Item = Scope;
    type IntoIter = std::collections::btree_set::IntoIter<Scope>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Texts that are no scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    #[error("{scope:?} is not a scope: context.aggregate:verb, for example crm.contact:read, crm.*:write or *")]
    Scope { scope: String },
    #[error("between 1 and {MAX_SCOPES} scopes are allowed")]
    Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_names_and_never_the_reverse() {
        let scopes = Scopes::parse(["crm.*:write", "shop.order:*", "mail.campaign:read"]).unwrap();
        for yes in ["crm.contact:write", "crm.*:write", "shop.order:refund", "mail.campaign:read"] {
            assert!(scopes.allows(yes), "{yes}");
        }
        for no in [
            "crm.contact:read",
            "crm.*:*",
            "*",
            "shop.product:read",
            "mail.*:read",
            "mail.campaign:*",
            "crmx.contact:write",
            "",
            "crm.contact:write ",
        ] {
            assert!(!scopes.allows(no), "{no}");
        }
        assert!(Scopes::parse(["*"]).unwrap().allows("platform.alarm:silence"));
        assert!(Scopes::parse(["*.*:read"]).unwrap().allows("crm.contact:read"));
        assert!(!Scopes::parse(["*.*:read"]).unwrap().covers(&Scopes::parse(["*"]).unwrap()));
        assert!(!Scopes::default().allows("crm.contact:read"));
    }

    #[test]
    fn texts_round_trip_and_bad_ones_are_refused() {
        for good in ["*", "crm.contact:read", "crm.*:write", "crm.contact:*", "*.*:read"] {
            assert_eq!(good.parse::<Scope>().unwrap().to_string(), good);
        }
        assert_eq!("*.*:*".parse::<Scope>().unwrap().to_string(), "*");
        for bad in [
            "",
            ":",
            ".",
            "crm",
            "crm.contact",
            "crm:read",
            "*.contact:read",
            "CRM.contact:read",
            "crm.con*:read",
            "crm.contact:read:x",
            "crm.a.b:read",
            "crm.contact:",
            "crm.contact:ré",
            "**",
            &format!("crm.{}:read", "a".repeat(41)),
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn counts_are_limited_and_json_is_a_list() {
        assert_eq!(Scopes::parse::<&str>([]), Err(InvalidScope::Count));
        let name = |i: usize| format!("crm.a{}:read", "b".repeat(i % 30) + &"c".repeat(i / 30));
        assert_eq!(Scopes::parse((0..=MAX_SCOPES).map(name)), Err(InvalidScope::Count));
        let scopes = Scopes::parse(["shop.*:read", "crm.*:read"]).unwrap();
        let json = serde_json::to_string(&scopes).unwrap();
        assert_eq!(json, r#"["crm.*:read","shop.*:read"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), scopes);
        assert!(serde_json::from_str::<Scopes>(r#"["nothing"]"#).is_err());
    }
}
