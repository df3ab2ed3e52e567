//! One message of the log as it lies in a segment: a named MessagePack map of everything the log stored.
//!
//! `n` position, `t` store time (microseconds UTC), `s` subject, `h` headers as pairs, `b` body. Transport headers are
//! kept too: the archive shows the log as it was.

use super::binary::Binary;
use bus_schema::{Micros, bus::StoredMessage};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The largest record, in bytes: above the largest message of the log (8 MiB) with its headers.
pub const MAX_RECORD: usize = 16 << 20;
/// A record nests this deep at most: map, list of headers, pair.
const MAX_DEPTH: usize = 8;

#[derive(Serialize)]
struct Outgoing<'a> {
    n: u64,
    t: i64,
    s: &'a str,
    h: &'a [(String, String)],
    b: Binary<'a>,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    n: u64,
    t: i64,
    s: &'a str,
    h: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    b: Binary<'a>,
}

/// `None`: larger than [`MAX_RECORD`].
pub(super) fn encode(message: &StoredMessage) -> Option<Vec<u8>> {
    let record = Outgoing {
        n: message.seq,
        t: message.stored.0,
        s: &message.subject,
        h: &message.headers,
        b: Binary(&message.body),
    };
    rmp_serde::to_vec_named(&record).ok().filter(|bytes| bytes.len() <= MAX_RECORD)
}

/// The body shares the bytes it came in. `None`: not a record.
pub(super) fn decode(bytes: &Bytes) -> Option<StoredMessage> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes.as_ref());
    reader.set_max_depth(MAX_DEPTH);
    let record = Incoming::deserialize(&mut reader).ok()?;
    Some(StoredMessage {
        seq: record.n,
        stored: Micros(record.t),
        subject: record.s.to_owned(),
        headers: record.h.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: if record.b.0.is_empty() { Bytes::new() } else { bytes.slice_ref(record.b.0) },
    })
}

/// What makes a message what it is, as a hash: position, subject, its own headers, body. Not when it was stored and how it
/// was sent, so a log made from an archive has the same.
pub fn identity(message: &StoredMessage) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&message.seq.to_le_bytes());
    part(message.subject.as_bytes());
    for (name, value) in message.own_headers() {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(&message.body);
    hasher.finalize()
}

/// The value of the first header of a name.
pub(super) fn header<'a>(message: &'a StoredMessage, name: &str) -> Option<&'a str> {
    message.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
}

/// The tenant in a message's subject; empty for a subject that is not the platform's.
pub(super) fn tenant(message: &StoredMessage) -> &str {
    message.subject.split('.').nth(2).unwrap_or_default()
}

#[cfg(test)]
pub(super) fn sample(seq: u64, tenant: &str, body: &[u8]) -> StoredMessage {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    StoredMessage {
        seq,
        stored: Micros(1_700_000_000_000_000 + i64::try_from(seq).unwrap_or(0) * 1_000),
        subject: format!("ev.eu1.{tenant}.crm.contact.0198c0de-0000-7000-8000-{seq:012}"),
        headers: vec![
            pair("Ev-Kind", if body.starts_with(b"erase") { "contact.erased" } else { "contact.tagged" }),
            pair("Nats-Expected-Last-Subject-Sequence", "0"),
            pair("Nats-Msg-Id", &format!("id-{seq}")),
        ],
        body: Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_with_all_headers() {
        let message = sample(7, "demo", b"\x00\xff body");
        let bytes = Bytes::from(encode(&message).unwrap());
        assert_eq!(decode(&bytes).unwrap(), message);
        let empty = StoredMessage { headers: vec![], body: Bytes::new(), ..message };
        assert_eq!(decode(&encode(&empty).unwrap().into()).unwrap(), empty);
        assert!(decode(&Bytes::from_static(b"\x81")).is_none());
    }

    #[test]
    fn transport_is_not_identity() {
        let message = sample(7, "demo", b"body");
        let mut copy = message.clone();
        copy.headers.retain(|(name, _)| !name.starts_with("Nats-Expected"));
        copy.stored = Micros(1);
        assert_eq!(identity(&message), identity(&copy));
        copy.body = Bytes::from_static(b"bode");
        assert_ne!(identity(&message), identity(&copy));
        assert_eq!(tenant(&message), "demo");
    }
}
