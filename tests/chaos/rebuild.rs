//! Views against themselves: what serves must equal what a rebuild from zero makes.

use crate::support::{Client, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The views that keep what the clients changed.
const VIEWS: [&str; 3] = ["contacts", "products", "orders"];

/// All rows of a view through the API, by id.
async fn rows(client: &Client, view: &str) -> BTreeMap<String, Value> {
    let items = client.all(&format!("/v1/{view}")).await;
    let count = items.len();
    let rows: BTreeMap<String, Value> =
        items.into_iter().map(|row| (row["id"].as_str().expect("an id").to_owned(), row)).collect();
    assert_eq!(rows.len(), count, "{view}: a row is listed twice");
    rows
}

/// Ids of a view as the search index lists them.
async fn indexed(client: &Client, view: &str) -> Vec<String> {
    let items = client.all(&format!("/v1/{view}?sort=created_at&fields=id")).await;
    let mut ids: Vec<String> = items.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect();
    ids.sort_unstable();
    ids
}

/// Where a generation stands, and why it stands still if it does.
async fn generation(client: &Client, name: &str) -> (u64, Value) {
    let views = client.get("/v1/views").send().await.expect(200).json();
    let found = views["items"].as_array().expect("items").iter().find(|view| view["generation"] == name).cloned();
    let found = found.unwrap_or_else(|| panic!("no {name} in {views:#}"));
    (found["position"].as_u64().expect("a position"), found["paused"].clone())
}

/// Rebuilds every view and compares each row. Gives the rows.
pub(super) async fn equals(client: &Client) -> BTreeMap<&'static str, BTreeMap<String, Value>> {
    let log = client.get("/readyz").send().await.json()["log_position"].as_u64().expect("a position");
    let mut all = BTreeMap::new();
    for view in VIEWS {
        let before = rows(client, view).await;
        let living = before.iter().filter(|(_, row)| row["erased"] != true).map(|(id, _)| id.clone());
        let living: Vec<String> = living.collect();
        // Workers may have written since, and the index follows the rows.
        let mut listed = Vec::new();
        for _ in 0..150 {
            listed = indexed(client, view).await;
            if listed == living {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let (index, stored): (BTreeSet<&String>, BTreeSet<&String>) =
            (listed.iter().collect(), living.iter().collect());
        let row = |id: &&String| before[*id].to_string();
        let missing: Vec<String> = stored.difference(&index).map(row).collect();
        let (more, ready) = (index.difference(&stored).collect::<Vec<_>>(), client.get("/readyz").send().await.json());
        assert_eq!(
            listed, living,
            "{view}: search does not list {missing:#?}, and lists {more:?} beside them; {ready}"
        );
        let at = |what: &str| format!("/v1/views/{view}/{what}");
        let built = client.post(&at("build"), &json!({})).send().await.expect(200).json();
        let name = built["generation"].as_str().expect("a generation").to_owned();
        eventually("the rebuild catches up", 120, async || {
            let (position, paused) = generation(client, &name).await;
            assert!(paused.is_null(), "{name}: {paused}");
            position >= log
        })
        .await;
        client.post(&at("switch"), &json!({})).send().await.expect(200);
        let after = rows(client, view).await;
        for (id, row) in &before {
            assert_eq!(after.get(id), Some(row), "{view}: a rebuilt row is another one");
        }
        assert_eq!(after.len(), before.len(), "{view}: a rebuild has more rows");
        all.insert(view, after);
    }
    all
}

/// The digest of what serves each view.
async fn digests(client: &Client) -> BTreeMap<String, String> {
    let views = client.get("/v1/views").send().await.expect(200).json();
    let view_of = |name: &Value| {
        let items = views["items"].as_array().into_iter().flatten();
        items.filter(|view| view["generation"] == *name).find_map(|view| view["view"].as_str()).map(str::to_owned)
    };
    // It reads every row, of a cluster one partition after the other.
    let patience = std::time::Duration::from_secs(300);
    let found = client.get("/v1/views/digests").within(patience).send().await.expect(200).json();
    let items = found["items"].as_array().expect("items").iter();
    let digest = |item: &Value| {
        let view = view_of(&item["generation"]).unwrap_or_else(|| panic!("no view of {item}"));
        (view, item["digest"].as_str().expect("a digest").to_owned())
    };
    items.map(digest).collect()
}

/// Rebuilds every view at once and compares what each holds as a whole, while nobody writes. Gives how many there are.
pub(super) async fn digests_equal(client: &Client) -> usize {
    let before = digests(client).await;
    let ready = client.get("/readyz").send().await.json();
    let mut built = Vec::new();
    for view in before.keys() {
        let answer = client.post(&format!("/v1/views/{view}/build"), &json!({})).send().await.expect(200).json();
        built.push(answer["generation"].as_str().expect("a generation").to_owned());
    }
    eventually("the rebuilds catch up", 300, async || {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let views = client.get("/v1/views").send().await.expect(200).json();
        let items = views["items"].as_array().cloned().unwrap_or_default();
        built.iter().all(|name| {
            let view = items.iter().find(|view| view["generation"] == name.as_str()).cloned().unwrap_or_default();
            assert!(view["paused"].is_null(), "{view:#}");
            let end = if view["stream"] == "fx" { &ready["facts_position"] } else { &ready["log_position"] };
            view["position"].as_u64() >= end.as_u64()
        })
    })
    .await;
    for view in before.keys() {
        client.post(&format!("/v1/views/{view}/switch"), &json!({})).send().await.expect(200);
    }
    let after = digests(client).await;
    for (view, digest) in &before {
        assert_eq!(after.get(view), Some(digest), "{view}: a rebuild holds something else");
    }
    before.len()
}
