//! An archive that was damaged is not served in part: the object is named, and the other provider has it all.

use super::{refused, said, work, worked};
use crate::support::{Archived, Platform, S3Server, all_archived, millrace};
use bytes::Bytes;
use std::process::Output;
use workers::archive::{ObjectStorePort, object_store::Replace};

async fn damage(archived: &Archived, server: &S3Server, object: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let store = archived.objects(server);
    let found = store.get(object, 1 << 26).await.expect("there");
    let mut bytes = found.bytes.to_vec();
    change(&mut bytes);
    let replaced = store.replace(object, Bytes::from(bytes), &found.tag).await.expect("answered");
    assert!(matches!(replaced, Replace::Replaced(_)));
}

async fn keys(archived: &Archived, server: &S3Server, below: &str) -> Vec<String> {
    let listing = archived.objects(server).list(below, None, 1_000).await.expect("listed");
    listing.objects.into_iter().map(|object| object.key).collect()
}

fn verify(archived: &Archived, server: &S3Server) -> Output {
    archived.ask(server, "one", &["protection", "verify"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_the_other_provider_has_it() {
    let archived = Archived::new().await;
    let [north, south] = Archived::servers();
    let platform = archived.platform("one");
    work(&platform.client()).await;
    all_archived(&platform).await;
    // A second cut at least, so that entries can change places.
    work(&platform.client()).await;
    all_archived(&platform).await;
    platform.stop();
    for server in [north, south] {
        let text = worked(&verify(&archived, server));
        assert!(text.contains("EV_eu1 at") && text.contains("whole") && !text.contains("NOT"), "{text}");
    }

    let segments = keys(&archived, north, "eu1/EV_eu1/seg/").await;
    damage(&archived, north, &segments[0], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    let output = verify(&archived, north);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains(&segments[0]) && said(&output).contains("NOT WHOLE"), "{}", said(&output));
    refused(&archived.restore(north, "one", "two", &[]), &["north", &segments[0], "other provider"]);
    // What was begun cannot be served.
    let half = archived.path("two").join("data");
    let up = ["up", "--no-demo", "--listen", "127.0.0.1:0", "--data-dir", half.to_str().expect("UTF-8")];
    refused(&millrace(&up, &[]), &["restore that did not end", "millrace restore"]);
    worked(&archived.restore(south, "one", "two", &[]));
    Platform::open(&archived.path("two")).stop();
    // And once it is served nothing restores over it.
    refused(&archived.restore(south, "one", "two", &[]), &["overwrites nothing"]);

    // Entries that changed places.
    let entries = keys(&archived, south, "eu1/EV_eu1/m/").await;
    let other = archived.objects(south).get(&entries[1], 1 << 20).await.expect("there").bytes.to_vec();
    damage(&archived, south, &entries[0], |bytes| *bytes = other).await;
    refused(&archived.restore(south, "one", "three", &[]), &["south", &entries[0], "wrong place"]);
    // A forged one: whoever writes there does not have the key.
    damage(&archived, south, &entries[0], |bytes| {
        let end = bytes.len() - 1;
        bytes[end] ^= 1;
    })
    .await;
    refused(&archived.restore(south, "one", "three", &[]), &["south", &entries[0]]);
    assert_eq!(verify(&archived, south).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_needed_and_checked() {
    let archived = Archived::new().await;
    let [north, _] = Archived::servers();
    let platform = archived.platform("one");
    work(&platform.client()).await;
    all_archived(&platform).await;
    platform.stop();
    let keys = archived.path("one").join("data/keys");
    let wrong = archived.path("other.key");
    std::fs::write(&wrong, [7; 32]).expect("written");
    let right = std::fs::read(keys.join("root.key")).expect("a root key");
    std::fs::write(keys.join("root.key"), [7; 32]).expect("written");
    refused(&archived.restore(north, "one", "two", &[]), &["root key does not open", "--root-key"]);
    std::fs::write(keys.join("root.key"), right).expect("written");
    let right = std::fs::read(keys.join("archive.key")).expect("an archive key");
    std::fs::write(keys.join("archive.key"), [7; 32]).expect("written");
    refused(&archived.restore(north, "one", "two", &[]), &["north", "bring the right key file"]);
    std::fs::remove_file(keys.join("archive.key")).expect("removed");
    refused(&archived.restore(north, "one", "two", &[]), &["archive key", "archive.key"]);
    assert!(!keys.join("archive.key").exists(), "a key is never made up to read with");
    std::fs::write(keys.join("archive.key"), right).expect("written");
    worked(&archived.restore(north, "one", "two", &[]));
}
