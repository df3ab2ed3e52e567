//! Identifiers. Aggregates, events, commands and keys are UUIDs; a tenant and a cell are short names, because they are
//! subject tokens that people read.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};
use uuid::Uuid;

/// Name space of every derived (version 5) id of the platform.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_6365_2d65_7665_6e74_7321);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// One event. Derived from its command, so a retried command makes the same ids.
    EventId
}
uuid_id! {
    /// One command as its caller meant it: the same id again is the same command again.
    CommandId
}
uuid_id! {
    /// A key of the key directory under which one person's data is sealed.
    KeyId
}

uuid_id! {
    /// One effect of a worker: a command, a mail, a stored file. Derived from its cause, so that it is the same after
    /// every retry; it is the SMTP Message-ID, the S3 key, the provider's idempotency key.
    EffectId
}

impl EffectId {
    /// What a worker does because of an event.
    pub fn of(event: EventId, worker: &str) -> Self {
        Self(Uuid::new_v5(&event.0, format!("effect:{worker}").as_bytes()))
    }

    /// What a process does because of its own state, whatever made it look: `what` tells its effects apart.
    pub fn of_process(process: Uuid, what: &str) -> Self {
        Self(Uuid::new_v5(&process, format!("process-effect:{what}").as_bytes()))
    }

    /// One of several effects of the same cause.
    pub fn part(self, what: &str) -> Self {
        Self(Uuid::new_v5(&self.0, format!("part:{what}").as_bytes()))
    }

    /// The command that is this effect.
    pub fn command(self) -> CommandId {
        CommandId(Uuid::new_v5(&self.0, b"command"))
    }
}

impl CommandId {
    /// A command nobody will retry under the same id.
    pub fn random() -> Self {
        Self(random_uuid())
    }

    /// A command whose id follows from what its caller sent, so that a retry meets its first run.
    pub fn derived(parts: &[&str]) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes()))
    }

    /// The id of the `index`-th event this command causes.
    pub fn event(self, index: usize) -> EventId {
        EventId(self.derive("event", index))
    }

    /// The command that carries out a part of this one on another aggregate.
    pub fn step(self, name: &str) -> Self {
        Self(self.derive(name, 0))
    }

    /// The id of an aggregate this command creates; `index` tells several apart.
    pub fn aggregate(self, index: usize) -> Uuid {
        self.derive("aggregate", index)
    }

    fn derive(self, what: &str, index: usize) -> Uuid {
        Uuid::new_v5(&self.0, format!("{what}:{index}").as_bytes())
    }
}

impl KeyId {
    pub fn random() -> Self {
        Self(random_uuid())
    }
}

/// A fresh version 7 UUID: sorts by the time it was made.
#[expect(clippy::disallowed_methods, reason = "the one place where random ids are made")]
pub fn random_uuid() -> Uuid {
    Uuid::now_v7()
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn try_new(text: &str) -> Result<Self, InvalidName> {
                let mut bytes = text.bytes();
                let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
                let rest_well = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if starts_well && rest_well && text.len() <= $max {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidName { what: $what, max: $max })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::try_new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }
    };
}

name_id! {
    /// A tenant: a lower-case name such as `demo`, fixed for life, at most 40 bytes.
    TenantId, 40, "a tenant"
}
name_id! {
    /// A cell: one JetStream stream with the tenants that live in it, named after its region (`eu1`).
    Cell, 16, "a cell"
}

/// Text that cannot be a tenant's or a cell's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is named by 1 to {max} of a-z, 0-9 and '-', starting with a letter")]
pub struct InvalidName {
    what: &'static str,
    max: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subject_tokens() {
        assert!(TenantId::try_new("demo-2").is_ok());
        for bad in ["", "Demo", "a.b", "a b", "*", ">", "2x", "ä", &"a".repeat(41)] {
            assert!(TenantId::try_new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn a_retried_command_makes_the_same_ids() {
        let command = CommandId::derived(&["demo", "key", "POST", "/v1/contacts", "abc"]);
        assert_eq!(command, CommandId::derived(&["demo", "key", "POST", "/v1/contacts", "abc"]));
        assert_eq!(command.event(0), command.event(0));
        assert_ne!(command.event(0), command.event(1));
        assert_ne!(command.event(0).0, command.aggregate(0));
    }

    #[test]
    fn an_effect_is_known_by_its_cause_and_its_worker() {
        let (event, other) = (EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2)));
        let effect = EffectId::of(event, "letters");
        assert_eq!(effect, EffectId::of(event, "letters"));
        assert_eq!(effect.to_string(), "642aaacf-76d9-5d2b-876c-07d587b873a5", "it must never change");
        for different in [EffectId::of(other, "letters"), EffectId::of(event, "imports"), effect.part("a")] {
            assert_ne!(effect, different);
            assert_ne!(effect.command(), different.command());
        }
        assert_ne!(EffectId::of_process(event.0, "a"), EffectId::of_process(event.0, "b"));
    }
}
