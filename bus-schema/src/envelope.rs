//! What travels beside the body: who, when, why, which kind. It is in the message headers, so it can be read without
//! decoding the body.

use crate::{
    catalog::AnyEvent,
    codec::DecodeError,
    ids::{CommandId, EventId, KeyId},
    subject::Subject,
    time::Micros,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    Account(Uuid),
    ApiKey(Uuid),
    Contact(Uuid),
    /// A visitor of a site, nobody in particular.
    Visitor,
    /// A part of the platform, by name (`import`, `setup`).
    System(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::ApiKey(id) => write!(f, "key:{id}"),
            Self::Contact(id) => write!(f, "contact:{id}"),
            Self::Visitor => f.write_str("visitor"),
            Self::System(name) => write!(f, "system:{name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidEnvelope;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || InvalidEnvelope::Header { name: header::ACTOR, value: text.chars().take(80).collect() };
        let id = |id: &str| Uuid::parse_str(id).map_err(|_| bad());
        match text.split_once(':') {
            Some(("account", rest)) => Ok(Self::Account(id(rest)?)),
            Some(("key", rest)) => Ok(Self::ApiKey(id(rest)?)),
            Some(("contact", rest)) => Ok(Self::Contact(id(rest)?)),
            Some(("system", rest)) => Ok(Self::System(rest.to_owned())),
            None if text == "visitor" => Ok(Self::Visitor),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidEnvelope;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

/// Names of the headers.
pub mod header {
    pub const EVENT_ID: &str = "Nats-Msg-Id";
    pub const KIND: &str = "Ev-Kind";
    pub const SCHEMA: &str = "Ev-Schema";
    pub const AT: &str = "Ev-At";
    pub const ACTOR: &str = "Ev-Actor";
    /// The request or journey this event belongs to.
    pub const CORRELATION: &str = "Ev-Corr";
    /// The command that caused it.
    pub const CAUSE: &str = "Ev-Cause";
    /// Keyed fingerprint of the command's body: tells a retry from another request under the same key.
    pub const FINGERPRINT: &str = "Ev-Print";
    /// The key that opens the sealed values of the body.
    pub const KEY: &str = "Ev-Key";
    pub const TRACE: &str = "traceparent";
}

/// The envelope of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    pub event_id: EventId,
    pub kind: String,
    pub schema: u16,
    pub at: Micros,
    pub actor: Actor,
    pub correlation: Uuid,
    pub cause: CommandId,
    pub fingerprint: Option<u64>,
    pub key: Option<KeyId>,
    pub trace: Option<String>,
}

impl Envelope {
    /// The headers as name and value, in a fixed order.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (header::EVENT_ID, self.event_id.to_string()),
            (header::KIND, self.kind.clone()),
            (header::SCHEMA, self.schema.to_string()),
            (header::AT, self.at.0.to_string()),
            (header::ACTOR, self.actor.to_string()),
            (header::CORRELATION, self.correlation.to_string()),
            (header::CAUSE, self.cause.to_string()),
        ];
        headers.extend(self.fingerprint.map(|print| (header::FINGERPRINT, format!("{print:016x}"))));
        headers.extend(self.key.map(|key| (header::KEY, key.to_string())));
        headers.extend(self.trace.clone().map(|trace| (header::TRACE, trace)));
        headers
    }

    /// Reads the headers back through `get`.
    pub fn from_headers<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, InvalidEnvelope> {
        fn parse<T: FromStr>(name: &'static str, value: &str) -> Result<T, InvalidEnvelope> {
            value.parse().map_err(|_| InvalidEnvelope::Header { name, value: value.chars().take(80).collect() })
        }
        let need = |name: &'static str| get(name).ok_or(InvalidEnvelope::Missing { name });
        let print = |value: &str| {
            u64::from_str_radix(value, 16).map_err(|_| InvalidEnvelope::Header {
                name: header::FINGERPRINT,
                value: value.chars().take(80).collect(),
            })
        };
        Ok(Self {
            event_id: parse(header::EVENT_ID, need(header::EVENT_ID)?)?,
            kind: need(header::KIND)?.to_owned(),
            schema: parse(header::SCHEMA, need(header::SCHEMA)?)?,
            at: Micros(parse(header::AT, need(header::AT)?)?),
            actor: need(header::ACTOR)?.parse()?,
            correlation: parse(header::CORRELATION, need(header::CORRELATION)?)?,
            cause: parse(header::CAUSE, need(header::CAUSE)?)?,
            fingerprint: get(header::FINGERPRINT).map(print).transpose()?,
            key: get(header::KEY).map(|value| parse(header::KEY, value)).transpose()?,
            trace: get(header::TRACE).map(str::to_owned),
        })
    }
}

/// A message of the log as it is stored: position, subject, envelope, undecoded body.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The position in the cell's stream: the tenant's total order.
    pub seq: u64,
    pub subject: Subject,
    pub envelope: Envelope,
    pub body: Bytes,
}

impl StoredEvent {
    /// Decodes the body. `Ok(None)`: a kind or schema number this build does not know.
    pub fn decode(&self) -> Result<Option<AnyEvent>, DecodeError> {
        let address = &self.subject.address;
        AnyEvent::decode(&address.context, &address.aggregate, &self.envelope.kind, self.envelope.schema, &self.body)
    }
}

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct Recorded<E = AnyEvent> {
    pub seq: u64,
    pub subject: Subject,
    pub envelope: Envelope,
    pub event: E,
}

/// Headers that are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvelope {
    #[error("the message has no {name} header, so it was not written by this platform")]
    Missing { name: &'static str },
    #[error("the {name} header holds {value:?}, which cannot be read")]
    Header { name: &'static str, value: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    pub(crate) fn sample() -> Envelope {
        Envelope {
            event_id: EventId(Uuid::from_u128(1)),
            kind: "contact.created".into(),
            schema: 1,
            at: Micros(1_700_000_000_000_000),
            actor: Actor::Account(Uuid::from_u128(2)),
            correlation: Uuid::from_u128(3),
            cause: CommandId(Uuid::from_u128(4)),
            fingerprint: Some(0xabc),
            key: Some(KeyId(Uuid::from_u128(5))),
            trace: None,
        }
    }

    #[test]
    fn headers_round_trip() {
        let envelope = sample();
        let headers: HashMap<_, _> = envelope.headers().into_iter().collect();
        let back = Envelope::from_headers(|name| headers.get(name).map(String::as_str)).unwrap();
        assert_eq!(back, envelope);
    }

    #[test]
    fn a_foreign_message_says_which_header_is_wrong() {
        let missing = Envelope::from_headers(|_| None).unwrap_err();
        assert_eq!(missing, InvalidEnvelope::Missing { name: header::EVENT_ID });
        let headers: HashMap<_, _> = sample().headers().into_iter().collect();
        let wrong = Envelope::from_headers(|name| match name {
            header::SCHEMA => Some("one"),
            other => headers.get(other).map(String::as_str),
        });
        assert!(wrong.unwrap_err().to_string().contains("Ev-Schema"));
    }

    #[test]
    fn actors_round_trip() {
        for actor in [Actor::Visitor, Actor::System("import".into()), Actor::ApiKey(Uuid::from_u128(9))] {
            assert_eq!(actor.to_string().parse::<Actor>().unwrap(), actor);
        }
        assert!("nobody".parse::<Actor>().is_err());
    }
}
