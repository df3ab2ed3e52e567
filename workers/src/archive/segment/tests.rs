use super::*;
use crate::archive::{key::ArchiveKey, layout::Place, record::sample};
use bus_schema::{bus::StoredMessage, ids::Cell, subject::Family};
use bytes::Bytes;
use proptest::prelude::*;

fn key() -> ArchiveKey {
    ArchiveKey::from_secret(&[7; 32])
}

fn place() -> Place {
    Place::new(&Cell::try_new("eu1").unwrap(), Family::Events)
}

fn messages(first: u64, count: u64) -> Vec<StoredMessage> {
    let body = |seq: u64| format!("body of {seq}").into_bytes();
    (first..first + count).map(|seq| sample(seq, if seq % 3 == 0 { "other" } else { "demo" }, &body(seq))).collect()
}

fn written(messages: &[StoredMessage]) -> Written {
    write(&key(), &place(), 1, messages).unwrap()
}

/// The bytes of a segment of version 1, as this version first wrote them: a reader must open them for ever.
const GOLDEN: &[u8] = include_bytes!("golden/v1.seg");

#[test]
fn the_golden_segment_opens() {
    let (header, found) = read(&key(), GOLDEN).unwrap();
    assert_eq!(found, messages(41, 3));
    assert_eq!((header.first, header.last, header.epoch, header.stream.as_str()), (41, 43, 1, "EV_eu1"));
}

#[test]
fn the_golden_segment_is_written_again_byte_by_byte() {
    let bytes = written(&messages(41, 3)).bytes;
    if let Some(path) = std::env::var_os("MILLRACE_WRITE_GOLDEN") {
        std::fs::write(path, &bytes).unwrap();
    }
    assert_eq!(bytes, GOLDEN, "a change of the format needs a new version and a new golden file");
}

#[test]
fn equal_messages_give_equal_bytes_and_others_another_salt() {
    let one = written(&messages(1, 50));
    assert_eq!(one.bytes, written(&messages(1, 50)).bytes);
    let mut other = messages(1, 50);
    other[49].body = Bytes::from_static(b"x");
    let salt = |bytes: &[u8]| read(&key(), bytes).unwrap().0.salt;
    assert_ne!(salt(&one.bytes), salt(&written(&other).bytes));
}

#[test]
fn nothing_of_a_message_is_readable() {
    let bytes = written(&messages(1, 20)).bytes;
    for word in ["body of", "contact", "demo", "Ev-Kind"] {
        let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "{word:?} stands in the segment");
    }
}

#[test]
fn large_messages_have_blocks_of_their_own() {
    let mut all = messages(1, 4);
    all[1].body =
        Bytes::from((0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect::<Vec<_>>());
    all[2].body = Bytes::from(vec![0; BLOCK]);
    let segment = written(&all);
    assert_eq!(read(&key(), &segment.bytes).unwrap().1, all);
    assert_eq!((segment.summary.first, segment.summary.last), (1, 4));
}

#[test]
fn what_cannot_be_a_segment_is_refused() {
    let refused = |messages: &[StoredMessage]| write(&key(), &place(), 1, messages).unwrap_err();
    assert_eq!(refused(&[]), Unwritable::Empty);
    let mut gap = messages(1, 5);
    gap.remove(2);
    assert_eq!(refused(&gap), Unwritable::Gap { expected: 3, found: 4 });
    let mut large = messages(1, 1);
    large[0].body = Bytes::from(vec![0; crate::archive::record::MAX_RECORD]);
    assert_eq!(refused(&large), Unwritable::LargeRecord { seq: 1 });
}

#[test]
fn the_summary_tells_tenants_times_and_erasures() {
    let mut all = messages(1, 6);
    all[3] = sample(4, "third", b"erase");
    let summary = written(&all).summary;
    assert_eq!(summary.tenants, ["demo", "other", "third"]);
    assert_eq!(summary.erasures, 1);
    assert_eq!((summary.from, summary.until), (all[0].stored.0, all[5].stored.0));
    assert_eq!(summary.last_identity, crate::archive::record::identity(&all[5]));
}

#[test]
fn another_key_is_named() {
    let bytes = written(&messages(1, 3)).bytes;
    let other = ArchiveKey::from_secret(&[8; 32]);
    let damage = read(&other, &bytes).unwrap_err();
    assert!(matches!(damage, Damage::OtherKey { .. }), "{damage}");
    // Not even with the id of ours written over it.
    let (ours, theirs) = (super::super::key::hex(&key().id()), super::super::key::hex(&other.id()));
    let at = bytes.windows(16).position(|window| window == ours.as_bytes()).unwrap();
    let mut forged = bytes.to_vec();
    forged[at..at + 16].copy_from_slice(theirs.as_bytes());
    assert_eq!(read(&other, &forged).unwrap_err(), Damage::Header);
}

#[test]
fn a_segment_cut_off_anywhere_is_refused() {
    let bytes = written(&messages(1, 40)).bytes;
    for end in 0..bytes.len() {
        assert!(read(&key(), &bytes[..end]).is_err(), "cut off after {end} of {} bytes", bytes.len());
    }
}

#[test]
fn any_flipped_byte_is_refused() {
    let bytes = written(&messages(1, 12)).bytes;
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        assert!(read(&key(), &damaged).is_err(), "byte {at} of {} was changed unseen", bytes.len());
    }
}

/// A writer's own hash over damaged parts: what is inside still refuses.
#[test]
fn a_recomputed_hash_does_not_help_a_forger() {
    let bytes = written(&messages(1, 12)).bytes;
    let at = bytes.len() - TRAILER;
    for target in [PREFIX + 300, at - 5, at + 1, at + 9, at + 13] {
        let mut forged = bytes.to_vec();
        forged[target] ^= 0x40;
        let hash = *blake3::hash(&forged[..at + 16]).as_bytes();
        forged[at + 16..at + 48].copy_from_slice(&hash);
        let damage = read(&key(), &forged).unwrap_err();
        assert_ne!(damage, Damage::Hash, "{target}");
    }
}

#[test]
fn blocks_of_another_segment_do_not_fit() {
    let (one, two) = (
        written(&messages(1, 12)).bytes,
        written(
            &messages(1, 12)
                .into_iter()
                .map(|mut message| {
                    message.stored.0 += 1;
                    message
                })
                .collect::<Vec<_>>(),
        )
        .bytes,
    );
    // Same positions, same lengths of everything but the sealed bytes.
    if one.len() == two.len() {
        let start = PREFIX + u32::from_le_bytes([one[10], one[11], one[12], one[13]]) as usize + 4;
        let mut mixed = one[..start].to_vec();
        mixed.extend_from_slice(&two[start..]);
        assert!(read(&key(), &mixed).is_err());
    }
}

fn message(seq: u64) -> impl Strategy<Value = StoredMessage> {
    let text = "[ -~]{0,12}";
    let headers = proptest::collection::vec(("[A-Za-z-]{1,12}", text), 0..5);
    let body = proptest::collection::vec(any::<u8>(), 0..2_000);
    ("[a-z.]{0,30}", headers, body, any::<i64>()).prop_map(move |(subject, headers, body, stored)| StoredMessage {
        seq,
        stored: bus_schema::Micros(stored),
        subject,
        headers,
        body: body.into(),
    })
}

fn stretch() -> impl Strategy<Value = Vec<StoredMessage>> {
    (1_u64..1_000_000, 1_usize..40)
        .prop_flat_map(|(first, count)| (0..count as u64).map(|index| message(first + index)).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_the_log_holds_comes_back(messages in stretch()) {
        let segment = written(&messages);
        let (header, found) = read(&key(), &segment.bytes).unwrap();
        prop_assert_eq!(&found, &messages);
        prop_assert_eq!((header.from, header.until), (segment.summary.from, segment.summary.until));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(read(&key(), &bytes).is_err());
    }

    #[test]
    fn mutations_are_refused_without_a_panic(at in any::<prop::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = GOLDEN.to_vec();
        let at = at.index(bytes.len());
        let end = (at + noise.len()).min(bytes.len());
        bytes.splice(at..end, noise);
        prop_assume!(bytes != GOLDEN);
        prop_assert!(read(&key(), &bytes).is_err());
    }
}
