//! Golden bytes: one file per stored kind and schema number, `goldens/<kind>.<schema>.json`. They are what this build
//! must be able to read for ever. See [`Golden`]; `MILLRACE_BLESS=1 cargo test -p bus-schema goldens` fills in the bytes
//! of a new one and never changes those of an old one.

use crate::{
    catalog::{AGGREGATES, AggregateSpec, AnyEvent},
    codec,
    crm::contact::{ConsentAsked, ConsentEvidence, ConsentGiven, ConsentRequest, ContactCreated, ContactDetails},
    ids::KeyId,
    mail::suppression::{SuppressedPerson, SuppressionAdded},
    sealed::{Keyring, Revealed, SealingKey, hex, unhex},
    shop::order::{BuyerDetails, OrderPlaced},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};
use uuid::Uuid;

/// The command that fills in the bytes of new goldens.
const BLESS: &str = "MILLRACE_BLESS=1 cargo test -p bus-schema goldens";

/// One golden. `value` is the event as today's build shows it, so of an old schema number it is what the event becomes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    kind: String,
    schema: u16,
    context: String,
    aggregate: String,
    value: Value,
    #[serde(default)]
    bytes: String,
}

/// A kind and number of the catalogue.
struct Entry {
    spec: &'static AggregateSpec,
    kind: &'static str,
    schema: u16,
    current: bool,
}

impl Entry {
    fn file(&self) -> String {
        format!("{}.{}.json", self.kind, self.schema)
    }

    /// The file to begin with, as its author has to complete it.
    fn skeleton(&self) -> String {
        format!(
            r#"{{"kind": "{}", "schema": {}, "context": "{}", "aggregate": "{}", "value": {{ … every field of the event … }}}}"#,
            self.kind, self.schema, self.spec.context, self.spec.aggregate
        )
    }
}

fn catalogue() -> Vec<Entry> {
    let entries = AGGREGATES.iter().flat_map(|spec| {
        spec.kinds.iter().flat_map(move |kind| {
            let older = kind.older.iter().map(move |schema| (*schema, false));
            let entry = move |(schema, current)| Entry { spec, kind: kind.kind, schema, current };
            older.chain([(kind.schema, true)]).map(entry)
        })
    });
    entries.collect()
}

fn folder() -> PathBuf {
    PathBuf::from("goldens")
}

/// Every file of the folder, by name.
fn files() -> BTreeMap<String, String> {
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a golden is a text file");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    let folder = fs::read_dir(folder()).expect("bus-schema/goldens is there");
    folder.map(|entry| read(entry.expect("an entry of bus-schema/goldens is readable"))).collect()
}

fn parse(text: &str) -> Result<Golden, String> {
    serde_json::from_str(text).map_err(|error| format!("is not a golden: {error}"))
}

/// Fills in the bytes of a golden that has none.
fn bless(entry: &Entry, mut golden: Golden) -> Result<(), String> {
    if !entry.current {
        return Err(format!(
            "has no bytes, and schema {} is not written any more: take the file from the commit that released it",
            entry.schema
        ));
    }
    golden.bytes = hex(&event_of(&golden)?.encode().map_err(|error| error.to_string())?);
    let text = serde_json::to_string_pretty(&golden).map_err(|error| error.to_string())?;
    fs::write(folder().join(entry.file()), text + "\n").map_err(|error| error.to_string())
}

fn event_of(golden: &Golden) -> Result<AnyEvent, String> {
    match AnyEvent::from_json(&golden.kind, &golden.value) {
        Ok(Some(event)) if event.to_json() == golden.value => Ok(event),
        Ok(Some(event)) => Err(format!("value is not the event's whole form, which is {}", event.to_json())),
        Ok(None) => Err(format!("kind {} is not in the catalogue", golden.kind)),
        Err(error) => Err(format!("value is not a {}: {error}", golden.kind)),
    }
}

fn decode(golden: &Golden, body: &[u8]) -> Result<AnyEvent, String> {
    match AnyEvent::decode(&golden.context, &golden.aggregate, &golden.kind, golden.schema, body) {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err("is no kind and schema this build reads".into()),
        Err(error) => Err(format!("bytes do not decode: {error}")),
    }
}

fn check(entry: &Entry, golden: Golden) -> Result<(), String> {
    let said = (&*golden.kind, golden.schema, &*golden.context, &*golden.aggregate);
    if said != (entry.kind, entry.schema, entry.spec.context, entry.spec.aggregate) {
        return Err(format!("says {said:?}, which is another event than its name"));
    }
    if golden.bytes.is_empty() {
        if std::env::var_os("MILLRACE_BLESS").is_none_or(|value| value != "1") {
            return Err(format!("has no bytes yet; fill them in with\n      {BLESS}"));
        }
        return bless(entry, golden);
    }
    let bytes = unhex(&golden.bytes).ok_or("bytes are not hexadecimal")?;
    let expected = event_of(&golden)?;
    let event = decode(&golden, &bytes)?;
    if event != expected {
        return Err(format!("bytes decode to {}, not to value", event.to_json()));
    }
    if entry.current && event.encode().ok().as_ref() != Some(&bytes) {
        return Err("is not written as these bytes any more: a new form of an event is a new schema number".into());
    }
    let extended = with_unknown_key(&bytes).ok_or("bytes are not a named MessagePack map")?;
    if decode(&golden, &extended)? != expected {
        return Err("means something else with a key this version does not know".into());
    }
    Ok(())
}

/// The same map with a key that no version knows.
fn with_unknown_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (count, entries) = match *bytes.first()? {
        head @ 0x80..=0x8f => (u16::from(head & 0x0f), &bytes[1..]),
        0xde => (u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]), &bytes[3..]),
        _ => return None,
    };
    // A map of 16 bits' length, its entries, and "of_later": [1, {}]; no event of today has such a field.
    let [high, low] = (count + 1).to_be_bytes();
    Some([&[0xde, high, low], entries, &[0xa8], b"of_later", &[0x92, 0x01, 0x80]].concat())
}

#[test]
fn every_event_ever_released_is_read_and_written_as_it_was() {
    let files = files();
    let mut faults = Vec::new();
    for entry in catalogue() {
        let name = entry.file();
        let outcome = match files.get(&name) {
            Some(text) => parse(text).and_then(|golden| check(&entry, golden)),
            None => Err(format!(
                "is missing. Write it by hand from the event:\n      {}\n      then fill in its bytes with\n      {BLESS}",
                entry.skeleton()
            )),
        };
        faults.extend(outcome.err().map(|fault| format!("  bus-schema/goldens/{name} {fault}")));
    }
    let known: BTreeSet<String> = catalogue().iter().map(Entry::file).collect();
    let strays = files.keys().filter(|name| !known.contains(*name));
    faults.extend(strays.map(|name| {
        format!(
            "  bus-schema/goldens/{name} has no line in the catalogue: what was released stays readable, put it back"
        )
    }));
    assert!(faults.is_empty(), "{} golden(s) at fault:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_kind_belongs_to_one_aggregate() {
    let mut seen = BTreeSet::new();
    for entry in catalogue() {
        assert!(seen.insert((entry.kind, entry.schema)), "{} is in the catalogue twice", entry.kind);
        assert!(entry.kind.split_once('.').is_some(), "{} is not of the form thing.happened", entry.kind);
    }
}

/// The key under which the personal data of goldens is sealed.
fn keyring() -> Keyring {
    Keyring::default().with(Arc::new(SealingKey::new(KeyId(Uuid::from_u128(0x4e)), [0x4e; 32])))
}

#[test]
fn personal_data_of_every_release_opens() {
    let files = files();
    let body = |file: &str| unhex(&parse(&files[file]).unwrap().bytes).unwrap();
    let created: ContactCreated = codec::decode(&body("contact.created.1.json")).unwrap();
    assert_eq!(created.details.open(&keyring()).unwrap(), Revealed::Known(ada()));
    let given: ConsentGiven = codec::decode(&body("contact.consent_given.1.json")).unwrap();
    assert_eq!(given.evidence.open(&keyring()).unwrap(), Revealed::Known(evidence()));
    let asked: ConsentAsked = codec::decode(&body("contact.consent_asked.1.json")).unwrap();
    assert_eq!(asked.request.open(&keyring()).unwrap(), Revealed::Known(request()));
    let placed: OrderPlaced = codec::decode(&body("order.placed.1.json")).unwrap();
    assert_eq!(placed.buyer.open(&keyring()).unwrap(), Revealed::Known(buyer()));
    let added: SuppressionAdded = codec::decode(&body("suppression.added.1.json")).unwrap();
    assert_eq!(added.person.open(&keyring()).unwrap(), Revealed::Known(suppressed()));
}

fn request() -> ConsentRequest {
    ConsentRequest {
        source: "footer".into(),
        text_version: "2026-01".into(),
        ip: Some("192.0.2.7".into()),
        tags: vec!["newsletter".into()],
    }
}

fn suppressed() -> SuppressedPerson {
    SuppressedPerson { email: "ada@example.org".into(), note: Some("mailbox closed".into()) }
}

fn ada() -> ContactDetails {
    ContactDetails {
        email: "ada@example.org".into(),
        first_name: Some("Ada".into()),
        country: Some("GB".into()),
        ..ContactDetails::default()
    }
}

fn buyer() -> BuyerDetails {
    BuyerDetails {
        name: "Ada Lovelace".into(),
        email: "ada@example.org".into(),
        address: vec!["1 Example Street".into()],
        ..BuyerDetails::default()
    }
}

fn evidence() -> ConsentEvidence {
    ConsentEvidence {
        source: "signup form".into(),
        text_version: "2026-01".into(),
        ip: Some("192.0.2.7".into()),
        given_at: Micros(1_767_225_600_000_000),
    }
}

#[test]
fn a_key_is_added_to_maps_of_any_size_only() {
    assert_eq!(with_unknown_key(&[0x80]).unwrap()[..3], [0xde, 0, 1]);
    assert_eq!(with_unknown_key(&[0xde, 0, 16, 1]).unwrap()[..4], [0xde, 0, 17, 1]);
    assert!(with_unknown_key(&[0x90]).is_none() && with_unknown_key(&[]).is_none());
}
