//! Saved segments: what they find, who uses them, and what a campaign keeps of one.

use super::{tenant, unique};
use crate::support::{Platform, mailing};
use serde_json::json;
use workers::smtp::sink::{Sink, SinkOptions};

const LIST: &str = "/v1/segments";

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_saved_changed_and_finds_its_contacts() {
    let (client, stranger) = (tenant().await, tenant().await);
    let tag = unique("vip-");
    for number in 0..3 {
        let tags = if number < 2 { vec![tag.clone()] } else { vec![] };
        let contact = json!({"email": format!("{tag}-{number}@x.example"), "city": "Exampleton", "tags": tags});
        let contact = client.make("/v1/contacts", &contact).await;
        if number == 0 {
            mailing::consent(&client, contact).await;
        }
    }
    let filter = json!({"tags": {"_eq": tag}, "created_at": {"_gte": "$NOW(-30 days)"}});
    let segment = json!({"name": "Vip", "description": "the best", "filter": filter});
    let id = client.make(LIST, &segment).await;
    let path = format!("{LIST}/{id}");
    let shown = client.read(&path).await.expect(200);
    assert_eq!((&shown.json()["name"], &shown.json()["filter"]), (&json!("Vip"), &filter));
    let count = async |body| {
        let token = format!("eu1:{}", client.seen());
        let asked = client.post(&format!("{path}/count"), &body).header("consistency-token", &token);
        asked.send().await.expect(200).json()["count"].clone()
    };
    assert_eq!(count(json!({})).await, 2);
    assert_eq!(count(json!({"purpose": "marketing"})).await, 1);
    let seen = client.post(&format!("{path}/preview"), &json!({})).send().await.expect(200).json();
    assert_eq!((&seen["count"], seen["contacts"].as_array().map(Vec::len)), (&json!(2), Some(2)));
    client
        .patch(&path, &json!({"filter": {"city": {"_eq": "Exampleton"}}}))
        .if_match(shown.revision())
        .send()
        .await
        .expect(200);
    client.patch(&path, &json!({"name": "New"})).if_match(shown.revision()).send().await.expect(412);
    assert_eq!(count(json!({})).await, 3);
    let unsaved = json!({"filter": {"tags": {"_eq": tag}}, "purpose": "marketing"});
    let seen = client.post(&format!("{LIST}/preview"), &unsaved).send().await.expect(200).json();
    assert_eq!(seen["count"], 1);
    for (bad, code) in [
        (json!({"name": "x", "filter": {"age": 3}}), "unknown_field"),
        (json!({"name": " ", "filter": {}}), "required"),
        (json!({"name": "x", "filter": []}), "malformed"),
    ] {
        client.post(LIST, &bad).send().await.refused(422, code);
    }
    // Another tenant's is not there.
    for what in ["count", "preview"] {
        stranger.post(&format!("{path}/{what}"), &json!({})).send().await.refused(404, "segment_not_found");
    }
    stranger.get(&path).send().await.refused(404, "not_found");
    stranger.patch(&path, &json!({"name": "x"})).send().await.refused(404, "segment_not_found");
    let other = stranger.make("/v1/campaigns", &json!({"name": "Other"})).await;
    let audience = json!({"segment": {"id": id, "purpose": "marketing"}});
    let audience_of = |campaign| format!("/v1/campaigns/{campaign}/audience");
    stranger.put(&audience_of(other), &audience).send().await.refused(422, "unknown_segment");
    // Who reads no contacts sees none.
    let key = json!({"name": "mailer", "scopes": ["crm.segment:read"]});
    let key = client.post("/v1/api-keys", &key).send().await.expect(201).json();
    let mailer = client.with_key(key["token"].as_str().expect("a token"));
    mailer.get(&path).send().await.expect(200);
    mailer.post(&format!("{path}/count"), &json!({})).send().await.refused(403, "forbidden");
    mailer.post(LIST, &segment).send().await.refused(403, "forbidden");
    // A campaign that waits for it keeps it.
    let campaign = client.make("/v1/campaigns", &json!({"name": "Spring"})).await;
    let both = json!({"segment": {"id": id, "filter": {}, "purpose": "marketing"}});
    client.put(&audience_of(campaign), &both).send().await.refused(422, "invalid_value");
    client.put(&audience_of(campaign), &audience).send().await.expect(200);
    let token = || format!("eu1:{}", client.seen());
    let usage =
        client.get(&format!("{path}/usage")).header("consistency-token", &token()).send().await.expect(200).json();
    assert_eq!((&usage["campaigns"][0]["campaign"], &usage["campaigns"][0]["open"]), (&json!(campaign), &json!(true)));
    client.delete(&path).header("consistency-token", &token()).send().await.refused(409, "segment_in_use");
    client.post(&format!("/v1/campaigns/{campaign}/cancel"), &json!({})).send().await.expect(200);
    client.delete(&path).header("consistency-token", &token()).send().await.expect(200);
    client.post(&format!("{path}/count"), &json!({})).send().await.refused(404, "segment_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_goes_to_what_its_segment_finds_at_the_launch() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 4));
    let client = platform.client();
    mailing::audience(&client, "before", 3).await;
    let after = mailing::audience(&client, "after", 5).await;
    let by_tag = |tag: &str| json!({"tags": {"_eq": tag}});
    let id = client.make(LIST, &json!({"name": "Now", "filter": by_tag("before")})).await;
    let campaign = mailing::schedule(&client, &json!({"id": id, "purpose": "marketing"}), "<p>Hi</p>", 3).await;
    // Changed while it waits: it takes what the segment is when its time has come.
    client.patch(&format!("{LIST}/{id}"), &json!({"filter": by_tag("after")})).send().await.expect(200);
    let done = mailing::finished(&client, campaign, 60).await;
    assert_eq!(done["segment"]["filter"], by_tag("after"), "the filter in use is kept");
    assert_eq!(done["segment"]["id"], json!(id));
    let states = mailing::states(&client, campaign).await;
    assert_eq!(states.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    // Changed and deleted later, it changes nothing of what went out.
    client.patch(&format!("{LIST}/{id}"), &json!({"filter": {}})).send().await.expect(200);
    let token = format!("eu1:{}", client.seen());
    client.delete(&format!("{LIST}/{id}")).header("consistency-token", &token).send().await.expect(200);
    let kept = client.read(&format!("/v1/campaigns/{campaign}")).await.expect(200).json();
    assert_eq!(kept["segment"]["filter"], by_tag("after"));
}
