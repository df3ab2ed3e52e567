//! Blobs first: an event that names a file is archived when the file is; a restore brings it back; a verification looks at it.

use super::{Empty, Protected, caught_up, events};
use crate::support::{World, eventually};
use bus_schema::{CommandId, Micros, subject::Family};
use bytes::Bytes;
use std::{io::Read, time::Duration};
use uuid::Uuid;
use workers::{
    archive::{
        Archiver, BlobCopies, ObjectStore,
        archiver::{KillPoint, Probe},
        backend::memory::MemoryObjects,
        blobs::{PIECE, restore_blobs},
        restore::Target,
        verify::{Depth, Report, VerifyOptions, verify},
    },
    blob::{BlobId, BlobStore},
    cms::file_sweeper,
};
use writers::{
    Meta,
    cms::file::{Content, File, FileCommand},
};

/// A cell with files and its archive in memory.
struct Filed {
    world: World,
    objects: MemoryObjects,
    blobs: BlobStore,
    _folder: tempfile::TempDir,
}

impl Filed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = BlobStore::folder(folder.path().to_owned());
        Self { world: World::shared().await, objects: MemoryObjects::new("north"), blobs, _folder: folder }
    }

    fn protected(&self) -> Protected<'_> {
        Protected::new(&self.world, ObjectStore::memory(self.objects.clone()))
    }

    async fn keep(&self, bytes: &[u8]) -> BlobId {
        let mut upload = self.blobs.receive(&self.world.tenant, u64::MAX).await.expect("received");
        upload.write(bytes).await.expect("written");
        upload.keep().await.expect("kept")
    }

    /// The event of an upload; whether its bytes are there is the caller's.
    async fn name(&self, blob: &BlobId, size: usize) -> Uuid {
        let (blob, media_type) = (blob.to_string(), "text/plain".to_owned());
        let content = Content { blob, size: size as u64, media_type, pixels: None };
        let command = FileCommand::Upload { content, name: "a.txt".into(), alt: String::new() };
        let (id, meta) = (bus_schema::ids::random_uuid(), Meta::system("test", CommandId::random()));
        self.world.writer.execute::<File>(&self.world.tenant, id, &meta, &command).await.expect("uploaded");
        id
    }

    async fn upload(&self, bytes: &[u8]) -> (Uuid, BlobId) {
        let blob = self.keep(bytes).await;
        (self.name(&blob, bytes.len()).await, blob)
    }

    async fn erase(&self, id: Uuid) {
        let meta = Meta::system("test", CommandId::random());
        let erased = self.world.writer.execute::<File>(&self.world.tenant, id, &meta, &FileCommand::Erase);
        erased.await.expect("erased");
    }

    fn archiver(&self, protected: &Protected<'_>, probe: Probe) -> Archiver {
        let mut options = protected.options(Family::Events);
        let (bus, blobs) = (self.world.bus.clone(), self.blobs.clone());
        options.blobs = Some(BlobCopies::new(bus, blobs, protected.store.clone(), protected.key.clone()));
        options.probe = probe;
        Archiver::start(options)
    }

    async fn archive_all(&self, protected: &Protected<'_>) {
        let archiver = self.archiver(protected, Probe::default());
        caught_up(&self.world, &archiver, Family::Events).await;
        archiver.stop().await;
    }

    fn pieces(&self) -> Vec<String> {
        let mut keys = self.objects.keys();
        keys.retain(|key| key.contains("/blob/"));
        keys
    }

    async fn verified(&self, protected: &Protected<'_>, depth: Depth) -> Report {
        let options = VerifyOptions { depth, at_least: 0 };
        verify(&protected.ledger(Family::Events), options).await.expect("verified")
    }

    async fn read(&self, store: &BlobStore, blob: &BlobId) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut file = store.open(&self.world.tenant, blob).await.expect("it is there");
        file.read_to_end(&mut bytes).expect("readable");
        bytes
    }
}

/// More than one piece, none of them alike.
fn large() -> Vec<u8> {
    (0..PIECE + 100_000).map(|at| (at / 7 % 251) as u8 ^ (at >> 16) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_its_file_and_a_restore_brings_both() {
    let filed = Filed::new().await;
    let protected = filed.protected();
    events(&filed.world, 20).await;
    let (_, first) = filed.upload(b"first").await;
    let (_, whole) = filed.upload(&large()).await;
    filed.archive_all(&protected).await;
    assert_eq!(filed.pieces().len(), 3, "one small file and one of two pieces");
    assert!(
        !filed.pieces().iter().any(|key| key.contains("demo") || key.contains(first.as_str())),
        "names are blinded"
    );

    // The event of a file whose bytes are not there: everything behind it waits and it is said why.
    let lost = b"not there yet";
    let before = filed.world.bus.last_seq(Family::Events).await.expect("readable");
    let third = filed.keep(lost).await;
    assert!(filed.blobs.remove_older(&filed.world.tenant, &third, Micros(i64::MAX)).await.expect("removed"));
    let id = filed.name(&third, lost.len()).await;
    events(&filed.world, 5).await;
    let archiver = filed.archiver(&protected, Probe::default());
    let progress = archiver.progress();
    eventually("it says which file", 20, async || {
        progress.borrow().error.as_ref().is_some_and(|why| why.contains(&id.to_string()))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!progress.borrow().is_halted() && progress.borrow().archived <= before);
    filed.keep(lost).await;
    caught_up(&filed.world, &archiver, Family::Events).await;
    archiver.stop().await;

    let report = filed.verified(&protected, Depth::Bytes).await;
    assert!(report.is_whole() && report.blobs.found == 3, "{report:?}");
    let (target, folder) = (Empty::like(&filed.world).await, tempfile::tempdir().expect("a folder"));
    target.fill(&protected.source(), Target::End).await;
    let blobs = BlobStore::folder(folder.path().to_owned());
    for _ in 0..2 {
        let restored = restore_blobs(&protected.source(), &target.bus, &blobs, |_| {}).await.expect("restored");
        assert_eq!((restored.blobs, restored.bytes), (3, (5 + large().len() + lost.len()) as u64));
    }
    assert_eq!(filed.read(&blobs, &whole).await, large());
    assert_eq!(filed.read(&blobs, &third).await, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_files_hold_nothing_up_and_do_not_come_back() {
    let filed = Filed::new().await;
    let (id, blob) = filed.upload(b"to be erased").await;
    let (_, kept) = filed.upload(b"to be kept").await;
    filed.erase(id).await;
    // No grace: as if a day had passed.
    let clock = bus_schema::time::Clock::manual(bus_schema::time::Clock::System.now().plus_seconds(10));
    let sweep = async || {
        let (bus, tenant) = (&filed.world.bus, &filed.world.tenant);
        file_sweeper::sweep(bus, &filed.blobs, &clock, tenant, Duration::ZERO).await.expect("swept")
    };
    filed.keep(b"no event ever came").await;
    assert_eq!(sweep().await, 2, "the erased one and the one nobody names");
    assert_eq!(sweep().await, 0);
    assert!(filed.blobs.open(&filed.world.tenant, &blob).await.is_err());
    // A provider that joins now never had it.
    let protected = filed.protected();
    filed.archive_all(&protected).await;
    assert_eq!(filed.pieces().len(), 1);
    let report = filed.verified(&protected, Depth::Bytes).await;
    assert!(report.is_whole() && report.blobs.found == 1, "{report:?}");
    let (target, folder) = (Empty::like(&filed.world).await, tempfile::tempdir().expect("a folder"));
    target.fill(&protected.source(), Target::End).await;
    let blobs = BlobStore::folder(folder.path().to_owned());
    let restored = restore_blobs(&protected.source(), &target.bus, &blobs, |_| {}).await.expect("restored");
    assert_eq!(restored.blobs, 1);
    assert_eq!(filed.read(&blobs, &kept).await, b"to be kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_missing_pieces_are_named_and_not_used() {
    let filed = Filed::new().await;
    let protected = filed.protected();
    filed.upload(&large()).await;
    filed.archive_all(&protected).await;
    let pieces = filed.pieces();
    let target = Empty::like(&filed.world).await;
    target.fill(&protected.source(), Target::End).await;
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = BlobStore::folder(folder.path().to_owned());
    let restored = async || restore_blobs(&protected.source(), &target.bus, &blobs, |_| {}).await;
    let mut sound = None;
    filed.objects.tamper(&pieces[1], |bytes| {
        sound.clone_from(&bytes);
        let mut bytes = bytes.expect("it is there").to_vec();
        bytes[100] ^= 1;
        Some(Bytes::from(bytes))
    });
    let report = filed.verified(&protected, Depth::Bytes).await;
    assert_eq!((report.is_whole(), report.blobs.corrupt, report.corrupt), (false, 1, 0), "{report:?}");
    assert!(report.faults[0].contains(&pieces[1]), "{report:?}");
    let why = restored().await.expect_err("damaged").to_string();
    assert!(why.contains(&pieces[1]) && why.contains("other provider"), "{why}");
    // The first piece in the place of the second is no second piece.
    let mut first = None;
    filed.objects.tamper(&pieces[0], |bytes| {
        first.clone_from(&bytes);
        bytes
    });
    filed.objects.tamper(&pieces[1], |_| first);
    assert!(restored().await.is_err());
    filed.objects.tamper(&pieces[1], |_| None);
    let report = filed.verified(&protected, Depth::Share { percent: 100, seed: 1 }).await;
    assert_eq!((report.blobs.missing, report.blobs.found), (1, 0), "{report:?}");
    assert!(restored().await.expect_err("missing").to_string().contains("is missing"));
    assert_eq!(blobs.used(&filed.world.tenant).await.expect("counted"), 0, "nothing of it was kept");
    filed.objects.tamper(&pieces[1], |_| sound);
    restored().await.expect("restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_file_and_event_leaves_the_same_pieces() {
    for point in [KillPoint::KeysCovered, KillPoint::BlobsCovered, KillPoint::SegmentPut] {
        let filed = Filed::new().await;
        let protected = filed.protected();
        filed.upload(&large()).await;
        let archiver = filed.archiver(&protected, Probe::new(move |at| at == point));
        eventually("it dies", 30, async || !archiver.is_running()).await;
        assert_eq!(filed.pieces().is_empty(), point == KillPoint::KeysCovered, "{point:?}");
        filed.archive_all(&protected).await;
        let report = filed.verified(&protected, Depth::Bytes).await;
        assert!(report.is_whole() && report.blobs.found == 1 && filed.pieces().len() == 2, "{point:?}: {report:?}");
    }
}
