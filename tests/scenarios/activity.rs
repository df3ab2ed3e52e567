//! Segments by what contacts did: bought, learned, opened, or did not.

use super::{
    feedback::{A_WHILE, BROWSER, Visitor, launch_to, received},
    fulfilments::{course, pay, place, product},
    tenant_of,
};
use crate::support::{Client, Platform, eventually, mailing};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;
use workers::smtp::sink::{Sink, SinkOptions};

/// Those a filter finds now.
async fn found(client: &Client, filter: &Value) -> BTreeSet<Uuid> {
    let body = json!({"filter": filter});
    let token = format!("eu1:{}", client.seen());
    let asked = client.post("/v1/segments/preview?wait_ms=10000", &body).header("consistency-token", &token);
    let seen = asked.send().await.expect(200).json();
    let ids = seen["contacts"].as_array().expect("contacts").iter();
    let ids: BTreeSet<Uuid> = ids.filter_map(|contact| contact["id"].as_str()?.parse().ok()).collect();
    assert_eq!(seen["count"], json!(ids.len()), "{seen}");
    ids
}

async fn reached(client: &Client, segment: &Value, tracking: Value) -> (Uuid, BTreeSet<Uuid>) {
    let campaign = launch_to(client, segment, tracking).await;
    mailing::finished(client, campaign, 60).await;
    (campaign, mailing::states(client, campaign).await.into_keys().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_finds_who_did_something_and_who_did_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 4));
    let client = platform.client();
    let audience = mailing::audience(&client, "spring", 5).await;
    let people: Vec<Uuid> = audience.keys().copied().collect();
    let [buyer, waiting, learner, reader, idle] = people[..] else { panic!("five people") };
    let set = |ids: &[Uuid]| ids.iter().copied().collect::<BTreeSet<Uuid>>();
    // One pays, one only orders, one learns.
    let tea = product(&client, None).await;
    let order = place(&client, Some(buyer), &[(tea, 2)]).await;
    pay(&client, order, 2).await;
    place(&client, Some(waiting), &[(tea, 1)]).await;
    let lessons = course(&client, None).await;
    let enrolment = json!({"course": lessons, "contact": learner});
    client.post("/v1/enrolments", &enrolment).send().await.expect(201);

    let bought = json!({"orders_count": {"_gte": 1}, "last_order_at": {"_within": "30 days"}});
    assert_eq!(found(&client, &bought).await, set(&[buyer]));
    let not = json!({"tags": {"_eq": "spring"}, "last_order_at": {"_not_within": "90 days"}});
    assert_eq!(found(&client, &not).await, set(&[waiting, learner, reader, idle]), "who never ordered is among them");
    assert_eq!(found(&client, &json!({"enrolments_count": {"_eq": 1}})).await, set(&[learner]));
    assert_eq!(found(&client, &json!({"last_enrolled_at": {"_gte": "$NOW(-1 hour)"}})).await, set(&[learner]));
    let did = json!({"last_activity_at": {"_within": "1 day"}});
    assert_eq!(found(&client, &did).await, set(&[buyer, waiting, learner]));
    assert_eq!(found(&client, &json!({"last_order_at": {"_lt": "$NOW(-1 day)"}})).await, set(&[]));
    let list = client.read("/v1/contacts?sort=-last_order_at&limit=1&fields=id").await.expect(200).json();
    assert_eq!(list["items"][0]["id"], json!(buyer), "a list is sorted by it too");

    // What is wrong with a filter is said where it is.
    for (wrong, code) in [
        (json!({"orders": {"_gte": 1}}), "unknown_field"),
        (json!({"orders_count": {"_gte": "many"}}), "invalid_value"),
        (json!({"orders_count": {"_within": "30 days"}}), "operator_not_allowed"),
        (json!({"last_order_at": {"_within": "lately"}}), "invalid_value"),
        (json!({"last_opened_at": {"_contains": "2026"}}), "operator_not_allowed"),
    ] {
        let body = json!({"filter": wrong});
        client.post("/v1/segments/preview", &body).send().await.refused(422, code);
    }

    // A campaign goes to exactly those, as they are at the launch.
    let id = client.make("/v1/segments", &json!({"name": "Buyers", "filter": bought})).await;
    let second = place(&client, Some(waiting), &[(tea, 1)]).await;
    pay(&client, second, 1).await;
    let (_, got) = reached(&client, &json!({"id": id, "purpose": "marketing"}), json!({})).await;
    assert_eq!(got, set(&[buyer, waiting]));
    let receivers: BTreeSet<String> = received(&sink).into_keys().collect();
    assert_eq!(receivers, [buyer, waiting].iter().map(|id| audience[id].clone()).collect());

    // Who opened as a person is found; a program is nobody.
    let everybody = json!({"filter": {"tags": {"_eq": "spring"}}, "purpose": "marketing"});
    let (_, got) = reached(&client, &everybody, json!({"opens": true, "clicks": true})).await;
    assert_eq!(got.len(), 5);
    tokio::time::sleep(A_WHILE).await;
    let mails = received(&sink);
    let (person, program) = (Visitor::new(&client, BROWSER), Visitor::new(&client, "Mozilla/5.0"));
    person.ask(Method::GET, mails[&audience[&reader]].pixel.as_deref().expect("a picture")).await;
    person.follow(&mails[&audience[&learner]].links[0]).await;
    program.ask(Method::GET, mails[&audience[&idle]].pixel.as_deref().expect("a picture")).await;
    let opened = json!({"last_opened_at": {"_within": "1 hour"}});
    let clicked = json!({"last_clicked_at": {"_nnull": true}});
    eventually("the click is known", 20, async || found(&client, &clicked).await == set(&[learner])).await;
    eventually("the open is known", 20, async || found(&client, &opened).await.contains(&reader)).await;
    assert!(!found(&client, &opened).await.contains(&idle));
    let (_, got) = reached(&client, &json!({"filter": clicked, "purpose": "marketing"}), json!({})).await;
    assert_eq!(got, set(&[learner]));

    // The sums of one contact, also by a rebuilt view.
    let path = format!("/v1/contacts/{buyer}/activity");
    let sums = client.read(&path).await.expect(200).json();
    assert_eq!((&sums["orders_count"], &sums["enrolments_count"]), (&json!(1), &json!(0)));
    assert!(sums["last_order_at"].is_string() && sums["last_enrolled_at"].is_null(), "{sums}");
    for view in ["activities", "engagements"] {
        let at = |what: &str| format!("/v1/views/{view}/{what}");
        client.post(&at("build"), &json!({})).send().await.expect(200);
        eventually("it is built", 30, async || client.post(&at("switch"), &json!({})).send().await.status == 200).await;
    }
    assert_eq!(client.read(&path).await.expect(200).json(), sums);
    let digests = client.get("/v1/views").send().await.expect(200).json();
    assert!(digests.to_string().contains("activities_v1_g1"), "{digests}");

    // Of an erased contact there is nothing, and another tenant has nobody.
    let stranger = tenant_of(&client).await;
    stranger.read(&path).await.refused(404, "not_found");
    assert_eq!(found(&stranger, &did).await, set(&[]));
    client.delete(&format!("/v1/contacts/{buyer}")).send().await.expect(200);
    client.read(&path).await.refused(404, "not_found");
    assert!(!found(&client, &did).await.contains(&buyer));
    // A replay has contacts only, and says so.
    let replay = client.post("/v1/replays", &json!({"view": "contacts"})).send().await;
    let id = replay.json()["id"].as_str().expect("a replay").to_owned();
    eventually("the replay refuses", 30, async || {
        let asked = client.get(&format!("/v1/replays/{id}/records?filter[orders_count][_gte]=1")).send().await;
        asked.status == 400 && asked.text().contains("not_for_replays")
    })
    .await;
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
