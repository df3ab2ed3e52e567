use super::*;
use crate::archive::{record::sample, segment};
use bus_schema::{ids::Cell, subject::Family};
use proptest::prelude::*;

fn key() -> ArchiveKey {
    ArchiveKey::from_secret(&[7; 32])
}

fn place() -> Place {
    Place::new(&Cell::try_new("eu1").unwrap(), Family::Events)
}

fn start(key: &ArchiveKey) -> EpochStart {
    EpochStart {
        cell: "eu1".into(),
        stream: "EV_eu1".into(),
        epoch: 1,
        cut: 0,
        cut_identity: Binary32([0; 32]),
        latest: i64::MIN,
        parent: None,
        signer: hex(&key.id()),
    }
}

/// A chain of `count` entries with two messages each: keys and bytes.
fn chain(count: u64) -> Vec<(String, Bytes)> {
    let (key, place) = (key(), place());
    let mut chain = Chain::start(&place, &start(&key), blake3::hash(b"start"));
    let entries = (0..count).map(|number| {
        let messages = [sample(number * 2 + 1, "demo", b"one"), sample(number * 2 + 2, "other", b"two")];
        let written = segment::write(&key, &place, 1, &messages).unwrap();
        let (entry, object, bytes) = chain.extend(&key, &written, 5).unwrap();
        assert_eq!(chain.accept(&key, &object, &bytes).unwrap(), entry);
        (object, bytes)
    });
    entries.collect()
}

fn accept(entries: &[(String, Bytes)]) -> Result<Vec<Entry>, Fault> {
    let key = key();
    let mut chain = Chain::start(&place(), &start(&key), blake3::hash(b"start"));
    entries.iter().map(|(object, bytes)| chain.accept(&key, object, bytes)).collect()
}

/// The bytes of an entry of version 1, as this version first wrote them.
const GOLDEN: &[u8] = include_bytes!("golden/v1.entry");

#[test]
fn the_golden_entry_opens_and_is_written_again_byte_by_byte() {
    let entry = chain(2).remove(1).1;
    if let Some(path) = std::env::var_os("MILLRACE_WRITE_GOLDEN_ENTRY") {
        std::fs::write(path, &entry).unwrap();
    }
    let golden: Entry = open(&key(), GOLDEN).unwrap();
    assert_eq!((golden.idx, golden.first, golden.last, golden.keys), (2, 3, 4, 5));
    assert_eq!(entry, GOLDEN, "a change of the format needs a new version and a new golden file");
}

#[test]
fn a_chain_accepts_what_continues_it_and_nothing_else() {
    let entries = chain(4);
    assert_eq!(accept(&entries).unwrap().last().unwrap().last, 8);
    let wrong = |entries: &[(String, Bytes)]| accept(entries).unwrap_err();
    let fault = wrong(&[entries[0].clone(), entries[2].clone()]);
    assert_eq!((fault.object.as_str(), &fault.wrong), (entries[1].0.as_str(), &Wrong::Missing));
    let swapped = [(entries[0].0.clone(), entries[1].1.clone())];
    assert!(matches!(wrong(&swapped).wrong, Wrong::Reordered { .. }));
    // A genuine entry of another history.
    let (key, place) = (key(), place());
    let other = Chain::start(&place, &start(&key), blake3::hash(b"another start"));
    let written = segment::write(&key, &place, 1, &[sample(1, "demo", b"x")]).unwrap();
    let (_, object, bytes) = other.extend(&key, &written, 0).unwrap();
    assert_eq!(wrong(&[(object, bytes)]).wrong, Wrong::BrokenLink);
    let altered = |change: &dyn Fn(&mut Entry)| {
        let mut entry: Entry = open(&key, &entries[0].1).unwrap();
        change(&mut entry);
        wrong(&[(entries[0].0.clone(), seal(&key, &entry).unwrap())]).wrong
    };
    assert_eq!(altered(&|entry| entry.first = 2), Wrong::Gap { expected: 1, found: 2 });
    assert_eq!(altered(&|entry| entry.last = 0), Wrong::Gap { expected: 1, found: 1 });
    assert_eq!(altered(&|entry| entry.segment.push('x')), Wrong::Inconsistent);
    assert_eq!(altered(&|entry| entry.latest += 1), Wrong::Inconsistent);
    assert!(matches!(altered(&|entry| entry.cell = "us1".into()), Wrong::Reordered { .. }));
}

#[test]
fn an_entry_passes_for_no_start_and_the_other_way_round() {
    let key = key();
    let started = seal(&key, &start(&key)).unwrap();
    assert_eq!(open::<EpochStart>(&key, &started).unwrap(), start(&key));
    assert_eq!(open::<Entry>(&key, &started).unwrap_err(), EntryDamage::Unreadable);
    assert_eq!(open::<EpochStart>(&key, GOLDEN).unwrap_err(), EntryDamage::Unreadable);
}

#[test]
fn any_changed_or_missing_byte_is_refused() {
    for at in 0..GOLDEN.len() {
        let mut damaged = GOLDEN.to_vec();
        damaged[at] ^= 1 << (at % 8);
        assert!(open::<Entry>(&key(), &damaged).is_err(), "byte {at}");
        assert!(open::<Entry>(&key(), &GOLDEN[..at]).is_err(), "cut off after {at}");
    }
}

#[test]
fn another_key_and_a_newer_version_are_named() {
    let other = ArchiveKey::from_secret(&[8; 32]);
    assert!(matches!(open::<Entry>(&other, GOLDEN).unwrap_err(), EntryDamage::OtherKey { .. }));
    let mut newer = GOLDEN.to_vec();
    newer[8] = 2;
    assert_eq!(open::<Entry>(&key(), &newer).unwrap_err(), EntryDamage::Version { version: 2 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open::<Entry>(&key(), &bytes).is_err());
        prop_assert!(open::<EpochStart>(&key(), &bytes).is_err());
    }
}
