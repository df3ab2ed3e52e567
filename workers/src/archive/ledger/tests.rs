use super::*;
use crate::archive::{
    backend::memory::MemoryObjects, binary::Binary32, key::hex, record::sample, segment, segment::Written,
};
use bus_schema::{ids::Cell, subject::Family};

/// A ledger whose first epoch has begun, and its start.
async fn begun() -> (Ledger, Hashed<EpochStart>) {
    let key = Arc::new(ArchiveKey::from_secret(&[7; 32]));
    let place = Place::new(&Cell::try_new("eu1").unwrap(), Family::Events);
    let ledger = Ledger::new(ObjectStore::memory(MemoryObjects::new("north")), key, place);
    let start = EpochStart {
        cell: "eu1".into(),
        stream: "EV_eu1".into(),
        epoch: 1,
        cut: 0,
        cut_identity: Binary32([0; 32]),
        latest: i64::MIN,
        parent: None,
        signer: hex(&ledger.key.id()),
    };
    ledger.begin(&start).await.unwrap();
    let start = ledger.start_of(1).await.unwrap().unwrap();
    (ledger, start)
}

/// A segment of the one message at a position, without making its bytes each time.
fn written(template: &Written, position: u64) -> Written {
    let mut written = template.clone();
    (written.summary.first, written.summary.last) = (position, position);
    written
}

#[tokio::test]
async fn the_newest_entry_is_found_in_a_chain_of_any_length() {
    let (ledger, start) = begun().await;
    let template = segment::write(&ledger.key, &ledger.place, 1, &[sample(1, "demo", b"x")]).unwrap();
    let mut chain = Chain::start(&ledger.place, &start.0, start.1);
    assert!(ledger.newest(1).await.unwrap().is_none());
    for idx in 1..=3_500_u64 {
        let (entry, object, bytes) = chain.extend(&ledger.key, &written(&template, idx), 0).unwrap();
        ledger.store.put_new(&object, bytes.clone()).await.unwrap();
        chain = Chain::after(&ledger.place, &entry, blake3::hash(&bytes));
        if [1, 2, 999, 1_000, 1_001, 1_002, 1_999, 2_000, 2_001, 2_999, 3_000, 3_500].contains(&idx) {
            assert_eq!(ledger.newest(1).await.unwrap().unwrap().0.idx, idx);
        }
    }
    let mut visited = 0;
    ledger.chain(&start, |(entry, _)| visited = entry.idx).await.unwrap();
    assert_eq!(visited, 3_500, "over several pages");
}

#[tokio::test]
async fn an_epoch_begins_once() {
    let (ledger, start) = begun().await;
    ledger.begin(&start.0).await.unwrap();
    let other = EpochStart { cut: 9, ..start.0 };
    assert!(matches!(ledger.begin(&other).await, Err(ArchiveError::EpochTaken { epoch: 1, .. })));
    assert_eq!(ledger.epochs().await.unwrap(), [1]);
    assert!(ledger.start_of(2).await.unwrap().is_none());
}
