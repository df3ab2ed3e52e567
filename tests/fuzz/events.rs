//! Bodies and headers of events, sealed values.

use super::mutate::run;
use bus_schema::{
    Actor, AnyEvent, CommandId, Envelope, EventId, KeyId, Keyring, Micros, Sealed, SealingKey,
    catalog::AGGREGATES,
    codec,
    crm::contact::{ContactDetails, Purpose},
};
use std::{path::PathBuf, sync::Arc};
use uuid::Uuid;

/// Markers of MessagePack: maps, arrays and texts that promise more than there is, nesting, extensions.
const PACK: &[&[u8]] = &[
    &[0xdf, 0xff, 0xff, 0xff, 0xff],
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xdb, 0xff, 0xff, 0xff, 0xff],
    &[0xc6, 0x7f, 0xff, 0xff, 0xff],
    &[0x81, 0xa1, b'x'],
    &[0x91],
    &[0xc0],
    &[0xc1],
    &[0xc7, 0x0c, 0xff],
    &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xa7, b'd', b'e', b't', b'a', b'i', b'l', b's'],
    b"\xa3tag",
    b"\xa4tags",
];

fn key() -> SealingKey {
    SealingKey::new(KeyId(Uuid::from_u128(7)), [7; 32])
}

fn sealed() -> Sealed<ContactDetails> {
    let details =
        ContactDetails { email: "ada@x.org".into(), city: Some("London".into()), ..ContactDetails::default() };
    Sealed::seal(&key(), "fuzz", &details).expect("seals")
}

/// Bodies of stored events: the goldens, once there are some, and a few made here.
fn bodies() -> Vec<Vec<u8>> {
    use bus_schema::crm::contact::{ConsentWithdrawn, ContactCreated, ContactTagged};
    let created =
        ContactCreated { details: sealed(), home: Uuid::from_u128(1), tags: vec!["vip".into()], import: None };
    let withdrawn = ConsentWithdrawn { purpose: Purpose::Marketing, source: "link".into() };
    let mut bodies = vec![
        codec::encode(&created).expect("encodes"),
        codec::encode(&ContactTagged { tag: "x".into() }).expect("encodes"),
        codec::encode(&withdrawn).expect("encodes"),
        // Nested deeper than any value of ours, under a name nobody knows.
        [&b"\x81\xa1x"[..], &[0x91; 60_000]].concat(),
        b"\x81\xa1x".repeat(20_000),
    ];
    let mut folders = vec![PathBuf::from("../bus-schema/goldens")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => bodies.extend(std::fs::read(path).ok().filter(|body| body.len() < 8_192)),
            }
        }
    }
    bodies
}

#[test]
fn event_bodies() {
    let bodies = bodies();
    let corpus: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let kinds: Vec<_> = AGGREGATES
        .iter()
        .flat_map(|spec| spec.kinds.iter().map(move |kind| (spec, kind)))
        .flat_map(|(spec, kind)| {
            kind.older.iter().copied().chain([kind.schema]).map(move |schema| (spec, kind.kind, schema))
        })
        .collect();
    let mut turn = 0;
    run("event bodies", &corpus, PACK, |body| {
        // Each input meets some of the kinds; all kinds meet many inputs.
        (0..8).fold(false, |accepted, _| {
            turn = (turn + 1) % kinds.len();
            let (spec, kind, schema) = kinds[turn];
            match AnyEvent::decode(spec.context, spec.aggregate, kind, schema, body) {
                Ok(Some(event)) => {
                    // What was read can be written and read again as the same.
                    let again = event.encode().expect("what was decoded encodes");
                    let back = AnyEvent::decode(spec.context, spec.aggregate, kind, event.schema(), &again);
                    assert_eq!(back.expect("decodes").as_ref(), Some(&event), "{kind}@{schema}");
                    event.to_json();
                    true
                }
                _ => accepted,
            }
        })
    });
}

#[test]
fn envelopes() {
    let envelope = Envelope {
        event_id: EventId(Uuid::from_u128(1)),
        kind: "contact.created".into(),
        schema: 1,
        at: Micros(1_700_000_000_000_000),
        actor: Actor::System("import".into()),
        correlation: Uuid::from_u128(3),
        cause: CommandId(Uuid::from_u128(4)),
        fingerprint: Some(u64::MAX),
        key: Some(KeyId(Uuid::from_u128(5))),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let text: String = envelope.headers().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let words: [&[u8]; 8] =
        [b"\n", b"=", b"Ev-At=", b"-9223372036854775808", b"65536", b"+1", b"account:", "ä".as_bytes()];
    run("envelopes", &[text.as_bytes()], &words, |input| {
        let text = String::from_utf8_lossy(input);
        let headers: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let Ok(envelope) = Envelope::from_headers(get) else { return false };
        let again = envelope.headers();
        let back = Envelope::from_headers(|name| {
            again.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        });
        assert_eq!(back.as_ref(), Ok(&envelope));
        _ = envelope.at.to_string();
        true
    });
}

#[test]
fn sealed_values() {
    let ring = Keyring::default().with(Arc::new(key()));
    let json = serde_json::to_vec(&sealed()).expect("encodes");
    let pack = codec::encode(&sealed()).expect("encodes");
    let open = |sealed: Sealed<ContactDetails>| {
        // Only the true bytes open; everything else is erased or forged.
        if let Ok(bus_schema::Revealed::Known(details)) = sealed.open(&ring) {
            assert_eq!(details.email, "ada@x.org");
        }
        true
    };
    run("sealed values in JSON", &[&json], &[b"\"", b"00", b"\\u0000", "ä".as_bytes()], |input| {
        serde_json::from_slice(input).is_ok_and(open)
    });
    run("sealed values in MessagePack", &[&pack], PACK, |input| codec::decode(input).is_ok_and(open));
}
