//! A view of the past, beside the live ones.

use super::{tenant, unique};
use crate::support::{Client, Platform, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

async fn replay(client: &Client, until: &str) -> String {
    let made = client.post("/v1/replays", &json!({"view": "contacts", "until": until})).send().await.expect(202).json();
    let id = made["id"].as_str().expect("an id").to_owned();
    eventually("the replay ends", 30, async || {
        client.get(&format!("/v1/replays/{id}")).send().await.expect(200).json()["state"] != "running"
    })
    .await;
    id
}

async fn records(client: &Client, id: &str, query: &str) -> Value {
    client.get(&format!("/v1/replays/{id}/records?{query}")).send().await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_ends_at_a_position_and_leaves_the_present_alone() {
    let client = tenant().await;
    let email = format!("{}@replay.example", unique("p"));
    let made = client.post("/v1/contacts", &json!({"email": email, "city": "Ulm"})).send().await.expect(201).json();
    let (id, position) = (made["id"].as_str().expect("an id"), made["position"].as_str().expect("a position"));
    client.patch(&format!("/v1/contacts/{id}"), &json!({"city": "Bern"})).send().await.expect(200);
    client.make("/v1/contacts", &json!({"email": format!("{}@replay.example", unique("q"))})).await;
    let past = replay(&client, position).await;
    let page = records(&client, &past, "").await;
    let cities: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| &item["city"]).collect();
    assert_eq!(cities, [&json!("Ulm")]);
    let other = tenant().await;
    other.get(&format!("/v1/replays/{past}")).send().await.expect(404);
    other.get(&format!("/v1/replays/{past}/records")).send().await.expect(404);
    assert_eq!(client.read(&format!("/v1/contacts/{id}")).await.expect(200).json()["city"], "Bern");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_was_brought_in_is_replayed_by_its_own_times() {
    // Only an operator may bring history in, and operators share a tenant.
    let client = Platform::shared().client();
    let company = unique("Annals");
    for (year, city) in [(2019, "Ulm"), (2021, "Bern"), (2023, "Graz")] {
        let body = json!({"email": format!("{}@replay.example", unique("h")), "company": company, "city": city});
        let at = format!("{year}-06-01T12:00:00Z");
        let made =
            client.post("/v1/contacts", &body).header("Millrace-Happened-At", &at).send().await.expect(201).json();
        let id: Uuid = made["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let later = format!("{}-06-01T12:00:00Z", year + 3);
        let moved = client.patch(&format!("/v1/contacts/{id}"), &json!({"city": "Rom"}));
        moved.header("Millrace-Happened-At", &later).send().await.expect(200);
    }
    let past = replay(&client, "2022-12-31T00:00:00Z").await;
    let page = records(&client, &past, &format!("filter[company][_eq]={company}&sort=city")).await;
    let cities: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| &item["city"]).collect();
    assert_eq!(cities, [&json!("Bern"), &json!("Rom")], "one has moved by then, one not yet, one was not there");
    let feed = async |range: &str| {
        let path = format!("/v1/events?aggregate=contact&context=crm&limit=1000&{range}");
        let page = client.get(&path).send().await.expect(200).json();
        let ours =
            |item: &&Value| item.to_string().contains("@replay.example") || item["data"].to_string().contains("Rom");
        page["items"].as_array().expect("items").iter().filter(ours).count()
    };
    assert_eq!(feed("to=2022-12-31T00:00:00Z").await, 3, "two were there, one has moved");
    assert_eq!(feed("from=2022-12-31T00:00:00Z&to=2025-01-01T00:00:00Z").await, 2, "one came, one moved");
    assert_eq!(feed("from=2025-01-01T00:00:00Z&to=2026-07-01T00:00:00Z").await, 1, "the last one moved");
}
