//! A person who was erased is nowhere: not in an answer, not in any file.

use super::{tenant, unique};
use crate::support::{Platform, eventually};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The index rewrites what holds the erased words within this time.
const PURGE: u64 = 60;

/// Files under a folder that hold any of the words in the clear.
fn files_with(folder: &Path, words: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, words));
            continue;
        }
        // A file may go away between listing and reading.
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = bytes.to_ascii_lowercase();
        if words.iter().any(|word| text.windows(word.len()).any(|window| window == word.as_bytes())) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_nowhere() {
    let client = tenant().await;
    let (name, tag) = (unique("zyxwv"), unique("tag"));
    let email = format!("{name}@erasure.example");
    let person = json!({"email": email, "first_name": name, "notes": format!("remember {name}"), "tags": [tag]});
    let id = client.make("/v1/contacts", &person).await;
    let path = format!("/v1/contacts/{id}");
    client.patch(&path, &json!({"last_name": format!("{name}son")})).send().await.expect(200);
    let evidence = json!({"source": "form", "text_version": "1", "ip": "198.51.100.23"});
    client.put(&format!("{path}/consents/marketing"), &evidence).send().await.expect(200);
    // Seen by everything that keeps something of it.
    let search = format!("/v1/search?q={name}&in=contacts");
    assert_eq!(client.read(&search).await.expect(200).json()["items"].as_array().map(Vec::len), Some(1));
    let before = client.seen();

    client.delete(&path).send().await.expect(200);
    client.delete(&path).send().await.expect(200);
    let tagged = format!("/v1/contacts?filter[tags][_eq]={tag}");
    let by_email = format!("/v1/contacts?filter[email][_eq]={email}");
    let history = format!("{path}/history");
    let past = format!("{path}?as_of=eu1:{before}");
    let feed = "/v1/events?context=crm&aggregate=contact&limit=1000".to_owned();
    for read in [&path, &history, &past, &search, &tagged, &by_email, &feed, &"/v1/contacts".to_owned()] {
        let answer = if *read == feed { client.get(read).send().await } else { client.read(read).await };
        let answer = answer.expect(200).text().to_lowercase();
        assert!(!answer.contains(&name), "GET {read} still tells: {answer}");
        assert!(!answer.contains("198.51.100.23"), "GET {read} still tells: {answer}");
    }
    assert_eq!(client.read(&path).await.expect(200).json()["erased"], true);
    for empty in [&search, &by_email] {
        let items = client.read(empty).await.expect(200).json()["items"].as_array().map(Vec::len);
        assert_eq!(items, Some(0), "{empty}");
    }
    client.patch(&path, &json!({"city": "Rome"})).send().await.refused(409, "contact_erased");
    let folders = Platform::shared().folders();
    let words = [name.as_str(), "198.51.100.23"];
    let mut left = Vec::new();
    let clean = async || {
        left = folders.iter().flat_map(|folder| files_with(folder, &words)).collect();
        left.is_empty()
    };
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(PURGE), eventually("", PURGE * 2, clean)).await;
    assert!(outcome.is_ok(), "after {PURGE} s these files still hold {words:?}: {left:#?}");
    // The address is free again.
    let again = client.make("/v1/contacts", &json!({"email": email})).await;
    assert_ne!(again, id);
}
