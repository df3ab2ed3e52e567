//! Pages of a list while others write: every record that was there is met exactly once.

use super::{tenant, unique};
use crate::support::Client;
use serde_json::json;
use std::collections::HashSet;

/// Reads a list in small pages, making a contact between any two of them. Gives the ids in the order met.
async fn walk(client: &Client, path: &str) -> Vec<String> {
    let (mut met, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.read(&format!("{path}&limit=7{after}")).await.expect(200).json();
        let items = page["items"].as_array().expect("items");
        met.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
        let body = json!({"email": format!("{}@late.example", unique("c")), "city": "Late"});
        client.make("/v1/contacts", &body).await;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return met,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_cover_everything_once_while_writes_go_on() {
    let client = tenant().await;
    let mut there = HashSet::new();
    for number in 0..40 {
        // Many share a city, so that the order within a city has to be settled too.
        let body = json!({"email": format!("{}@x.example", unique("c")), "city": format!("City {}", number % 3)});
        there.insert(client.make("/v1/contacts", &body).await.to_string());
    }
    for path in ["/v1/contacts?sort=-created_at", "/v1/contacts?sort=city", "/v1/contacts?sort=-city,created_at"] {
        let met = walk(&client, path).await;
        let distinct: HashSet<&String> = met.iter().collect();
        assert_eq!(distinct.len(), met.len(), "{path}: a record came twice");
        let missed: Vec<_> = there.iter().filter(|id| !distinct.contains(id)).collect();
        assert!(missed.is_empty(), "{path}: never met {missed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_other_lists_and_wrong_questions_are_refused() {
    let client = tenant().await;
    for _ in 0..3 {
        client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    }
    let page = client.read("/v1/contacts?sort=email&limit=1").await.expect(200).json();
    let cursor = page["next"].as_str().expect("more");
    for wrong in ["garbage", "%00", "AAAA", cursor.get(..cursor.len() - 2).unwrap_or_default()] {
        let natural = client.read(&format!("/v1/contacts?after={wrong}")).await;
        assert_eq!(natural.refused(400, "invalid_parameter").errors()[0]["pointer"], "after", "{wrong}");
        let sorted = client.read(&format!("/v1/contacts?sort=email&after={wrong}")).await;
        assert_eq!(sorted.status, 400, "{wrong}: {}", sorted.text());
    }
    let other = client.read(&format!("/v1/contacts?sort=-city&after={cursor}")).await;
    assert_eq!(other.status, 400, "a cursor of another order: {}", other.text());
    let questions = [
        ("limit=0", "out_of_range"),
        ("limit=201", "out_of_range"),
        ("colour=red", "unknown_parameter"),
        ("limit=1&limit=2", "duplicate_parameter"),
        ("filter[shoe][_eq]=42", "unknown_field"),
        ("filter[email][_like]=x", "unknown_operator"),
        ("filter[created_at][_gt]=soon", "invalid_value"),
        ("sort=notes", "unknown_field"),
    ];
    for (question, code) in questions {
        let answer = client.read(&format!("/v1/contacts?{question}")).await.expect(400);
        let codes: Vec<String> =
            answer.errors().iter().filter_map(|error| error["code"].as_str().map(str::to_owned)).collect();
        assert!(codes.iter().any(|found| found == code), "{question}: {codes:?}");
    }
}
