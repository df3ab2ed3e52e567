//! An upload that finds no room: a clear answer, nothing of it is kept, nothing else is lost.

use super::files::{png, upload};
use crate::support::{Platform, only_embedded};
use serde_json::json;
use std::path::PathBuf;
use uuid::Uuid;

/// Files on their way in, as the platform's own mounts show them.
fn incoming(platform: &Platform) -> usize {
    let inside = PathBuf::from(format!("/proc/{}/root", platform.ready.pid));
    let folder = platform.data_dir.join("files").join(&platform.ready.tenant).join("incoming");
    let folder = inside.join(folder.strip_prefix("/").expect("an absolute path"));
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_room_is_refused_and_leaves_nothing() {
    if only_embedded("it mounts a small disk under `millrace up`") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(platform) = Platform::open_with_room(dir.path(), 3 << 20) else {
        println!("passed over: no file system can be mounted here");
        return;
    };
    let client = platform.client();
    let picture = |bytes: usize, salt: &str| png(640, 480, &salt.repeat(bytes / salt.len()));
    let first = picture(1 << 20, "first");
    let kept = upload(&client, "name=first.png", "image/png", first.clone()).await.expect(201).id();
    // More than is left, several times and at once: each is refused alike.
    for _ in 0..2 {
        let (one, other) = futures::join!(
            upload(&client, "name=large.png", "image/png", picture(4 << 20, "large")),
            upload(&client, "name=other.png", "image/png", picture(3 << 20, "other")),
        );
        for answer in [one, other] {
            let wait = answer.header("retry-after").map(str::to_owned);
            let problem = answer.refused(503, "storage_full").json();
            assert!(wait.is_some() && problem["errors"][0]["pointer"] == json!("/file"), "{problem}");
        }
        assert_eq!(incoming(&platform), 0, "what came of them is gone");
    }
    // What was there is there, and what fits is taken: nothing of the refused ones counts.
    let small = upload(&client, "name=small.png", "image/png", picture(1 << 20, "small")).await.expect(201).id();
    let listed = client.all("/v1/files").await;
    let mut names: Vec<&str> = listed.iter().filter_map(|file| file["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["first.png", "small.png"]);
    let shown = async |id: Uuid| {
        let file = client.read(&format!("/v1/files/{id}")).await.expect(200).json();
        client.get(file["url"].as_str().expect("an address")).send().await.expect(200).body
    };
    assert_eq!(shown(kept).await, first);
    assert_eq!(shown(small).await, picture(1 << 20, "small"));
    // The rest of the platform does not mind.
    client.make("/v1/contacts", &json!({"email": "still@x.example"})).await;
    client.ready().await;
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
