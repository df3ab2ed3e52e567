//! A file from its upload to its visitors, its deletion and its end; and everything that is not taken.

use super::tenant;
use crate::support::{Answer, Client, Platform, eventually, on_cluster};
use serde_json::json;
use uuid::Uuid;

/// A PNG of the given size, as far as its header says; `salt` makes its bytes its own.
pub(super) fn png(width: u32, height: u32, salt: &str) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(b"\x08\x02\0\0\0\0\0\0\0\0\0\0\0IEND\xaeB`\x82");
    bytes.extend(salt.as_bytes());
    bytes
}

pub(super) async fn upload(client: &Client, query: &str, media_type: &str, bytes: Vec<u8>) -> Answer {
    client.ask(reqwest::Method::POST, &format!("/v1/files?{query}")).body(media_type, bytes).send().await
}

fn form(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend(format!("--border\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--border--\r\n");
    ("multipart/form-data; boundary=border".to_owned(), body)
}

async fn visit(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let ask = Client::new(client.url(), "").get(path);
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_shown_changed_deleted_and_brought_back() {
    let client = tenant().await;
    let content = png(640, 480, "beans");
    let (media_type, body) = form(&[
        ("name=\"alt\"", "Röstkaffee".as_bytes()),
        ("name=\"file\"; filename=\"C:\\\\pics\\\\coffee beans.PNG\"\r\nContent-Type: image/png", &content),
    ]);
    let post = |key: &'static str| {
        client.ask(reqwest::Method::POST, "/v1/files").key(key).body(&media_type, body.clone()).send()
    };
    let made = post("upload-1").await.expect(201);
    let id = made.id();
    assert_eq!(made.header("location"), Some(&*format!("/v1/files/{id}")));
    assert!(post("upload-1").await.expect(201).is_replayed(), "the same file again is the same upload");
    let path = format!("/v1/files/{id}");
    let file = client.read(&path).await.expect(200).json();
    assert_eq!(
        (&file["name"], &file["type"], &file["width"], &file["height"], &file["alt"], &file["size"]),
        (
            &json!("coffee beans.PNG"),
            &json!("image/png"),
            &json!(640),
            &json!(480),
            &json!("Röstkaffee"),
            &json!(content.len())
        )
    );
    let url = file["url"].as_str().expect("an address").to_owned();
    let shown = visit(&client, &url, &[]).await.expect(200);
    assert_eq!(shown.body, content);
    assert_eq!(shown.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    assert!(shown.header("content-security-policy").is_some_and(|policy| policy.starts_with("sandbox")));
    assert!(
        shown.header("content-disposition").is_some_and(|how| how.starts_with("inline; filename=\"coffee beans.PNG\""))
    );
    let tag = shown.header("etag").expect("a tag").to_owned();
    visit(&client, &url, &[("if-none-match", &tag)]).await.expect(304);
    let part = visit(&client, &url, &[("range", "bytes=1-3")]).await.expect(206);
    assert_eq!((part.text().as_str(), part.header("content-length")), ("PNG", Some("3")));
    visit(&client, &url, &[("range", "bytes=9999-")]).await.expect(416);
    let head = client.ask(reqwest::Method::HEAD, &format!("{path}/content")).send().await.expect(200);
    assert_eq!(head.header("content-length"), Some(&*content.len().to_string()));
    assert_eq!(client.read(&format!("{path}/content")).await.expect(200).body, content);

    let found = client.read("/v1/files?q=beans&filter[family]=image&total=true").await.expect(200).json();
    assert_eq!((&found["total"], &found["items"][0]["id"]), (&json!(1), &json!(id.to_string())));
    let changes = json!({"name": "beans.png", "alt": "Beans"});
    client.patch(&path, &changes).if_match(file["revision"].as_u64().expect("a revision")).send().await.expect(200);
    client.patch(&path, &json!({"name": "../.."})).send().await.refused(422, "invalid_name");
    client.read(&path).await.expect(200);
    // The old address leads to the new one (the client follows).
    assert_eq!(visit(&client, &url, &[]).await.expect(200).body, content);

    client.delete(&path).send().await.expect(200);
    assert_eq!(client.read(&path).await.expect(200).json()["deleted"], true);
    let url = url.replace("coffee%20beans.PNG", "beans.png");
    visit(&client, &url, &[]).await.expect(404);
    client.post(&format!("{path}/reinstate"), &json!({})).send().await.expect(200);
    client.read(&path).await.expect(200);
    visit(&client, &url, &[]).await.expect(200);
    client.post(&format!("{path}/erase"), &json!({})).send().await.expect(200);
    client.read(&path).await.expect(404);
    visit(&client, &url, &[]).await.expect(404);
    client.post(&format!("{path}/reinstate"), &json!({})).send().await.refused(409, "file_erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_refused_and_leaves_nothing() {
    let client = tenant().await;
    let dot = png(1, 1, "refused");
    upload(&client, "name=a.png", "image/jpeg", dot.clone()).await.refused(422, "type_mismatch");
    upload(&client, "name=a.html", "text/html", b"<!doctype html><p>".to_vec()).await.refused(415, "type_not_allowed");
    upload(&client, "name=a.txt", "text/plain", b"<script>1</script>".to_vec()).await.refused(415, "type_not_allowed");
    upload(&client, "name=a.exe", "image/png", b"MZ\x90\0\x03\0\0\0".to_vec()).await.refused(415, "type_not_allowed");
    upload(&client, "name=a.png", "image/png", dot[..14].to_vec()).await.refused(422, "unreadable_image");
    upload(&client, "name=bomb.png", "image/png", png(60_000, 60_000, "")).await.refused(422, "too_many_pixels");
    upload(&client, "name=a.txt", "text/plain", Vec::new()).await.refused(422, "empty_file");
    upload(&client, "", "image/png", dot.clone()).await.refused(422, "required");
    upload(&client, "name=..%2F..", "image/png", dot.clone()).await.refused(422, "invalid_name");
    upload(&client, "name=a%0d%0ab.png", "image/png", dot.clone()).await.refused(422, "invalid_name");
    upload(&client, "name=a.png&path=b", "image/png", dot.clone()).await.refused(400, "malformed");
    upload(&client, "name=large.txt", "text/plain", vec![b'x'; (25 << 20) + 1]).await.refused(413, "payload_too_large");
    let (media_type, body) = form(&[("name=\"alt\"", b"no file")]);
    upload(&client, "", &media_type, body).await.refused(422, "required");
    let file = "name=\"file\"; filename=\"a.png\"";
    let (media_type, body) = form(&[(file, &dot), (file, &dot)]);
    upload(&client, "", &media_type, body).await.refused(422, "duplicate_field");
    let (media_type, body) = form(&[(file, &dot)]);
    upload(&client, "", &media_type, body[..body.len() - 20].to_vec()).await.refused(408, "request_timeout");
    upload(&client, "", "multipart/form-data", body).await.refused(422, "validation_failed");
    let space = client.read("/v1/files/space").await.expect(200).json();
    assert!(client.all("/v1/files").await.is_empty());
    // Bytes of refused names may wait for the sweeper, never more than what was sent.
    assert!(space["used"].as_u64().expect("bytes") <= 3 * dot.len() as u64, "{space}");
    assert_eq!(space["file_limit"], 25 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_nothing_not_even_equal_bytes() {
    let (ours, theirs) = (tenant().await, tenant().await);
    let content = png(2, 2, "shared");
    let id = upload(&ours, "name=a.png", "image/png", content.clone()).await.expect(201).id();
    let twin = upload(&ours, "name=b.png", "image/png", content.clone()).await.expect(201).id();
    let space = ours.read("/v1/files/space").await.expect(200).json();
    assert_eq!(space["used"].as_u64(), Some(content.len() as u64), "the same bytes are kept once");
    let url = ours.read(&format!("/v1/files/{id}")).await.expect(200).json()["url"].as_str().expect("url").to_owned();
    for path in [format!("/v1/files/{id}"), format!("/v1/files/{id}/content"), format!("/v1/files/{id}/history")] {
        theirs.read(&path).await.expect(404);
    }
    theirs.delete(&format!("/v1/files/{id}")).send().await.refused(404, "file_not_found");
    theirs.post(&format!("/v1/files/{id}/erase"), &json!({})).send().await.refused(404, "file_not_found");
    let own = theirs.read("/v1/tenant").await.expect(200).json();
    let name = own["tenant"].as_str().or(own["id"].as_str()).expect("a name").to_owned();
    let (before, rest) = url.split_once("/files/").expect("an address");
    visit(&ours, &format!("/sites/{name}/files/{rest}"), &[]).await.expect(404);
    visit(&ours, &format!("{before}/files/{rest}"), &[]).await.expect(200);
    // One of two equal files goes; the other keeps its bytes.
    ours.post(&format!("/v1/files/{id}/erase"), &json!({})).send().await.expect(200);
    assert_eq!(ours.read(&format!("/v1/files/{twin}/content")).await.expect(200).body, content);
    visit(&ours, &url, &[]).await.expect(404);
    Client::new(ours.url(), "").get(&format!("/v1/files/{twin}/content")).send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_an_own_id_can_be_repeated_and_not_replaced() {
    let client = tenant().await;
    let path = format!("/v1/files/{}/content?name=notes.txt", bus_schema::ids::random_uuid());
    let put = |bytes: &'static str| client.ask(reqwest::Method::PUT, &path).body("text/plain", bytes).send();
    put("first").await.expect(201);
    put("first").await.expect(201);
    put("second").await.refused(409, "file_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_files_that_are_there() {
    let client = tenant().await;
    let id = upload(&client, "name=hero.png", "image/png", png(8, 8, "hero")).await.expect(201).id();
    let url = client.read(&format!("/v1/files/{id}")).await.expect(200).json()["url"].as_str().expect("url").to_owned();
    let draft =
        |src: String| json!({"slug": super::unique("page-"), "title": "T", "body": format!("<img src=\"{src}\">")});
    let good = client.make("/v1/pages", &draft(url.clone())).await;
    let wrong = client.make("/v1/pages", &draft(url.replace(&id.to_string(), &Uuid::nil().to_string()))).await;
    let publish = |page: Uuid| {
        let client = client.clone();
        async move { client.post(&format!("/v1/pages/{page}/publish"), &json!({})).send().await }
    };
    publish(wrong).await.refused(422, "unknown_file");
    client.delete(&format!("/v1/files/{id}")).send().await.expect(200);
    publish(good).await.refused(422, "unknown_file");
    client.post(&format!("/v1/files/{id}/reinstate"), &json!({})).send().await.expect(200);
    publish(good).await.expect(200);
}

/// Killed between the blob and its event, or anywhere else: what was confirmed is there, what was not can be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn confirmed_uploads_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let platform = Platform::open(folder.path());
    let client = platform.client();
    let progress = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let uploads: Vec<_> = (0..40u32)
        .map(|n| {
            let (client, progress) = (client.clone(), progress.clone());
            async move {
                let ask =
                    client.ask(reqwest::Method::POST, &format!("/v1/files?name={n}.png")).key(&format!("kill-{n}"));
                let answer = ask.body("image/png", png(3, 3, &n.to_string())).try_send().await.ok()?;
                progress.add_permits(1);
                (answer.status == 201).then(|| (n, answer.id()))
            }
        })
        .collect();
    let running = tokio::spawn(futures::future::join_all(uploads));
    drop(progress.acquire_many(5).await.expect("uploads are answered"));
    platform.kill();
    let confirmed: Vec<_> = running.await.expect("uploads end").into_iter().flatten().collect();
    drop(platform);
    let platform = Platform::open(folder.path());
    let client = platform.client();
    assert!(confirmed.len() >= 5);
    for (n, id) in &confirmed {
        // The views may have to catch up with what was confirmed last.
        let path = format!("/v1/files/{id}/content");
        eventually("a confirmed file is there", 30, async || client.read(&path).await.status == 200).await;
        assert_eq!(client.read(&path).await.expect(200).body, png(3, 3, &n.to_string()));
    }
    for n in 0..40u32 {
        let ask = client.ask(reqwest::Method::POST, &format!("/v1/files?name={n}.png")).key(&format!("kill-{n}"));
        let again = ask.body("image/png", png(3, 3, &n.to_string())).send().await.expect(201);
        let before = confirmed.iter().find(|(other, _)| *other == n);
        assert!(before.is_none_or(|(_, id)| *id == again.id()), "one upload is one file");
    }
    assert_eq!(client.all("/v1/files").await.len(), 40);
    // Nothing that was on its way in stays; where processes share the folder, not after a day.
    let incoming = platform.data_dir.join("files/main/incoming");
    let left = || std::fs::read_dir(&incoming).into_iter().flatten().flatten();
    if on_cluster() {
        let long_ago = std::time::UNIX_EPOCH;
        left().for_each(|upload| {
            let opened = std::fs::File::options().append(true).open(upload.path());
            opened.and_then(|upload| upload.set_modified(long_ago)).expect("it is made older");
        });
        platform.stop();
        let _platform = Platform::open(folder.path());
        assert_eq!(left().count(), 0);
        return;
    }
    assert_eq!(left().count(), 0);
}
