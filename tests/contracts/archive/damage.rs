//! A corrupt, forged, missing or reordered object is named exactly, and nothing of it is used.

use super::{Empty, Protected, events};
use crate::support::World;
use bus_schema::subject::Family;
use bytes::Bytes;
use workers::archive::{
    ObjectStore, ObjectStorePort, Place,
    backend::memory::MemoryObjects,
    key::ArchiveKey,
    layout,
    manifest::{self, Entry},
    restore::{Plan, Source, Target, restore},
    verify::{Depth, Report, VerifyOptions, verify},
};

/// An archive of five entries with 30 events each, in memory.
struct Archived {
    world: World,
    objects: MemoryObjects,
    key: std::sync::Arc<ArchiveKey>,
}

impl Archived {
    async fn new() -> Self {
        let world = World::shared().await;
        let objects = MemoryObjects::new("north");
        let protected = Protected::new(&world, ObjectStore::memory(objects.clone()));
        for _ in 0..5 {
            events(&world, 30).await;
            protected.archive_all_events().await;
        }
        let key = protected.key.clone();
        Self { world, objects, key }
    }

    fn place(&self) -> Place {
        Place::new(self.world.cell(), Family::Events)
    }

    fn entry(&self, idx: u64) -> String {
        self.place().entry(1, idx)
    }

    fn segment(&self, idx: u64) -> String {
        self.place().segment(1, (idx - 1) * 30 + 1, idx * 30)
    }

    fn change(&self, object: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.objects.tamper(object, |bytes| {
            let mut bytes = bytes.expect("it is there").to_vec();
            change(&mut bytes);
            Some(Bytes::from(bytes))
        });
    }

    async fn bytes(&self, object: &str) -> Bytes {
        self.objects.get(object, usize::MAX).await.expect("there").bytes
    }

    /// The provider's answer to a restore, which names the object, and to a verification.
    async fn refused(&self, object: &str, words: &str) -> Report {
        let source = Source { store: ObjectStore::memory(self.objects.clone()), key: self.key.clone() };
        let empty = Empty::like(&self.world).await;
        let error = restore(&source, &empty.bus, Target::End, |_, _| {}).await.expect_err("damaged");
        let text = error.to_string();
        assert!(text.contains(object) && text.contains(words), "{object} {words}: {text}");
        assert!(text.contains("north") && text.contains("try the other provider"), "{text}");
        self.verified().await
    }

    async fn verified(&self) -> Report {
        let protected = Protected::new(&self.world, ObjectStore::memory(self.objects.clone()));
        let options = VerifyOptions { depth: Depth::Bytes, at_least: 150 };
        verify(&protected.ledger(Family::Events), options).await.expect("verified")
    }
}

fn counts(report: &Report) -> (u64, u64, u64) {
    (report.found, report.missing, report.corrupt)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_archive_is_found() {
    let report = Archived::new().await.verified().await;
    assert_eq!((counts(&report), report.read, report.archived), ((5, 0, 0), 5, 150), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment() {
    let archived = Archived::new().await;
    archived.change(&archived.segment(3), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let report = archived.refused(&archived.segment(3), "hash").await;
    assert_eq!(counts(&report), (4, 0, 1), "{report:?}");
    // What lies before it can be had.
    let source = Source { store: ObjectStore::memory(archived.objects.clone()), key: archived.key.clone() };
    let empty = Empty::like(&archived.world).await;
    assert_eq!(empty.fill(&source, Target::Position(60)).await.events.last, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_cut_off_replaced_or_missing() {
    let archived = Archived::new().await;
    archived.change(&archived.segment(2), |bytes| bytes.truncate(bytes.len() - 10));
    let report = archived.refused(&archived.segment(2), "bytes and should have").await;
    assert_eq!(counts(&report), (4, 0, 1), "{report:?}");
    let archived = Archived::new().await;
    let other = archived.bytes(&archived.segment(5)).await;
    archived.objects.tamper(&archived.segment(2), |_| Some(other));
    let report = archived.refused(&archived.segment(2), "").await;
    assert_eq!(counts(&report), (4, 0, 1), "{report:?}");
    let archived = Archived::new().await;
    archived.objects.tamper(&archived.segment(4), |_| None);
    let report = archived.refused(&archived.segment(4), "is missing").await;
    assert_eq!(counts(&report), (4, 1, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_entry_in_the_middle_and_at_the_end() {
    let archived = Archived::new().await;
    archived.objects.tamper(&archived.entry(3), |_| None);
    let report = archived.refused(&archived.entry(3), "is missing").await;
    assert_eq!(counts(&report), (4, 1, 0), "{report:?}");
    assert_eq!(report.unreferenced, 1, "the segment without its entry");
    // At the end only somebody who knows how far it was can tell.
    let archived = Archived::new().await;
    archived.objects.tamper(&archived.entry(5), |_| None);
    let report = archived.verified().await;
    assert_eq!((counts(&report), report.delayed), ((4, 1, 0), 1), "{report:?}");
    assert!(report.faults[0].contains(&archived.entry(5)), "{:?}", report.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_entry() {
    let archived = Archived::new().await;
    let bytes = archived.bytes(&archived.entry(2)).await;
    let mut entry: Entry = manifest::open(&archived.key, &bytes).expect("ours");
    entry.tenants.push(7);
    // By somebody with another key who claims ours.
    let thief = ArchiveKey::from_secret(&[1; 32]);
    let forged = manifest::seal(&thief, &entry).expect("sealed");
    archived.objects.tamper(&archived.entry(2), |_| Some(forged));
    let report = archived.refused(&archived.entry(2), "forged").await;
    // Behind it the chain is taken up again at the next genuine entry.
    assert_eq!(counts(&report), (4, 0, 1), "{report:?}");
    // By somebody with our key: the next entry does not follow.
    let archived = Archived::new().await;
    let bytes = archived.bytes(&archived.entry(2)).await;
    let mut entry: Entry = manifest::open(&archived.key, &bytes).expect("ours");
    entry.tenants.push(7);
    let replaced = manifest::seal(&archived.key, &entry).expect("sealed");
    archived.objects.tamper(&archived.entry(2), |_| Some(replaced));
    let report = archived.refused(&archived.entry(3), "does not continue").await;
    assert_eq!(counts(&report), (5, 0, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry() {
    let archived = Archived::new().await;
    archived.change(&archived.entry(4), |bytes| bytes[20] ^= 0x10);
    let report = archived.refused(&archived.entry(4), "").await;
    assert_eq!(counts(&report), (4, 0, 1), "{report:?}");
    let archived = Archived::new().await;
    archived.change(&archived.entry(4), Vec::clear);
    archived.refused(&archived.entry(4), "damaged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_in_another_order() {
    let archived = Archived::new().await;
    let (two, three) = (archived.bytes(&archived.entry(2)).await, archived.bytes(&archived.entry(3)).await);
    archived.objects.tamper(&archived.entry(2), |_| Some(three));
    archived.objects.tamper(&archived.entry(3), |_| Some(two));
    let report = archived.refused(&archived.entry(2), "in the wrong place").await;
    assert_eq!(counts(&report), (3, 0, 2), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_start_of_the_epoch() {
    let archived = Archived::new().await;
    let start = archived.place().epoch(1);
    archived.change(&start, |bytes| bytes[30] ^= 1);
    let report = archived.refused(&start, "").await;
    assert_eq!(counts(&report), (5, 0, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_archive_key_is_named() {
    let archived = Archived::new().await;
    let protected = Protected::new(&archived.world, ObjectStore::memory(archived.objects.clone()));
    let mut ledger = protected.ledger(Family::Events);
    ledger.key = std::sync::Arc::new(ArchiveKey::from_secret(&[1; 32]));
    let text = Plan::make(ledger, Target::End).await.expect_err("another key").to_string();
    assert!(text.contains("bring the right key file"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_keys_that_are_damaged_missing_or_set_back() {
    let chunk = |archived: &Archived| {
        let prefix = format!("{}/KEYS_{}/", archived.world.cell(), archived.world.cell());
        let key = archived.objects.keys().into_iter().find(|key| key.starts_with(&prefix)).expect("copies of keys");
        assert_eq!(layout::Place::new(archived.world.cell(), Family::Events).cell(), archived.world.cell());
        key
    };
    let archived = Archived::new().await;
    archived.change(&chunk(&archived), |bytes| bytes[60] ^= 1);
    archived.refused(&chunk(&archived), "archive key").await;
    let archived = Archived::new().await;
    let object = chunk(&archived);
    archived.objects.tamper(&object, |_| None);
    archived.refused(&object, "is missing").await;
    // An older state of it, as a provider's own backup would bring back.
    let archived = Archived::new().await;
    let object = chunk(&archived);
    let older = archived.bytes(&object).await;
    archived.world.create("later@example.org").await;
    let protected = Protected::new(&archived.world, ObjectStore::memory(archived.objects.clone()));
    protected.archive_all_events().await;
    assert_ne!(archived.bytes(&object).await, older, "a new person's key was copied");
    archived.objects.tamper(&object, |_| Some(older));
    archived.refused(&object, "set back").await;
}
