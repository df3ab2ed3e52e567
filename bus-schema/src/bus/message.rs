//! Between a stored event and a NATS message.

use super::copy::StoredMessage;
use crate::{
    Micros,
    envelope::{Envelope, InvalidEnvelope, StoredEvent},
    subject::{InvalidSubject, Subject},
};
use async_nats::{HeaderMap, HeaderName, Message};
use bytes::Bytes;

/// Headers the server adds to what direct get returns.
const SEQUENCE: &str = "Nats-Sequence";
const TIME: &str = "Nats-Time-Stamp";
const SUBJECT: &str = "Nats-Subject";
/// On the mark that ends an answer: how many messages match and were not sent.
const PENDING: &str = "Nats-Num-Pending";

/// A message of the log that cannot be read as an event. The log position is known, so a reader can stop there and say
/// why.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MalformedMessage {
    #[error("{0}")]
    Subject(#[from] InvalidSubject),
    #[error("{0}")]
    Envelope(#[from] InvalidEnvelope),
    #[error("the message has no headers")]
    NoHeaders,
}

pub(super) fn headers_of(envelope: &Envelope) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in envelope.headers() {
        // As a static name it is neither checked nor copied.
        headers.insert(HeaderName::from_static(name), value);
    }
    headers
}

/// One pass over a header map; looking names up one by one would allocate each time.
pub(super) fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().filter_map(|(name, values)| Some((name.as_ref(), values.first()?.as_str()))).collect()
}

pub(super) fn lookup<'a>(pairs: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| *value)
}

pub(super) fn decode(subject: &str, seq: u64, message: &Message) -> Result<StoredEvent, MalformedMessage> {
    let headers = message.headers.as_ref().ok_or(MalformedMessage::NoHeaders)?;
    event(subject, seq, &pairs(headers), &message.payload)
}

/// The same of a message that was taken as it is stored.
pub(super) fn decode_stored(message: &StoredMessage) -> Result<StoredEvent, MalformedMessage> {
    if message.headers.is_empty() {
        return Err(MalformedMessage::NoHeaders);
    }
    let pairs: Vec<_> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    event(&message.subject, message.seq, &pairs, &message.body)
}

fn event(subject: &str, seq: u64, pairs: &[(&str, &str)], body: &Bytes) -> Result<StoredEvent, MalformedMessage> {
    Ok(StoredEvent {
        seq,
        subject: Subject::parse(subject)?,
        envelope: Envelope::from_headers(|name| lookup(pairs, name))?,
        body: body.clone(),
    })
}

/// A message of a direct get answer: subject and position are headers there.
pub(super) fn direct_position(message: &Message) -> Option<(String, u64)> {
    let pairs = pairs(message.headers.as_ref()?);
    Some((lookup(&pairs, SUBJECT)?.to_owned(), lookup(&pairs, SEQUENCE)?.parse().ok()?))
}

/// When the server stored a message of a direct get answer.
pub(super) fn stored_at(message: &Message) -> Option<Micros> {
    Micros::parse(lookup(&pairs(message.headers.as_ref()?), TIME)?)
}

/// What the end mark of a direct get answer says is left.
pub(super) fn pending(end: &Message) -> u64 {
    let left = |headers| lookup(&pairs(headers), PENDING)?.parse().ok();
    end.headers.as_ref().and_then(left).unwrap_or(0)
}
