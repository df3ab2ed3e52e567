//! The list of addresses that get no mail: who may change it, what it stops, and what is left of somebody who was erased.

use super::{tenant, unique};
use crate::support::{Platform, eventually, mailing};
use serde_json::json;
use workers::smtp::sink::{Act, Faults, Point, Sink, SinkOptions};

const LIST: &str = "/v1/suppressions";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_put_on_the_list_by_reason_and_taken_off() {
    let client = tenant().await;
    let email = format!("{}@x.example", unique("a"));
    let bounce = json!({"email": email, "reason": "hard_bounce", "source": "a report", "note": "mailbox closed"});
    let first = client.post(LIST, &bounce).send().await.expect(201);
    let id = first.id();
    let again = json!({"email": email.to_uppercase(), "reason": "hard_bounce"});
    let again = client.post(LIST, &again).send().await.expect(201);
    assert_eq!((again.id(), again.revision()), (id, first.revision()), "any spelling, and nothing twice");
    client.post(LIST, &json!({"email": email, "reason": "complaint"})).send().await.expect(201);
    let path = format!("{LIST}/{id}");
    let shown = client.read(&path).await.expect(200).json();
    assert_eq!(shown["email"], email);
    assert_eq!(shown["note"], "mailbox closed");
    assert_eq!(shown["reasons"].as_array().map(Vec::len), Some(2), "{shown}");
    let reasons = async || {
        let asked = client.post(&format!("{LIST}/check"), &json!({"emails": [email]})).send().await.expect(200).json();
        asked["items"][0]["reasons"].clone()
    };
    assert_eq!(reasons().await, json!(["hard_bounce", "complaint"]));
    // A complaint that was none leaves the bounce.
    client.delete(&path).json(&json!({"reason": "complaint", "source": "not spam"})).send().await.expect(200);
    assert_eq!(reasons().await, json!(["hard_bounce"]));
    client.delete(&path).send().await.expect(200);
    assert_eq!(reasons().await, json!([]));
    let held = client.read(&format!("{LIST}?filter[held]=false")).await.expect(200).json();
    assert_eq!(held["items"][0]["id"], id.to_string());
    let history = client.read(&format!("{path}/history")).await.expect(200).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(4), "{history}");
    for (bad, code) in [
        (json!({"email": "nobody"}), "invalid_email"),
        (json!({"email": email, "expires_at": "2020-01-01T00:00:00Z"}), "time_past"),
        (json!({"email": email, "expires_at": "soon"}), "invalid_time"),
        (json!({"email": email, "source": "a\nb"}), "invalid_text"),
    ] {
        client.post(LIST, &bad).send().await.refused(422, code);
    }
    client
        .delete(&format!("{LIST}/{}", bus_schema::ids::random_uuid()))
        .send()
        .await
        .refused(404, "suppression_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_imported_and_belongs_to_its_tenant() {
    let (client, stranger) = (tenant().await, tenant().await);
    let mut emails: Vec<String> = (0..50).map(|number| format!("former-{number}@x.example")).collect();
    emails[7] = "no address".into();
    let import =
        |dry_run: bool| json!({"emails": emails, "reason": "hard_bounce", "source": "former", "dry_run": dry_run});
    let path = format!("{LIST}/import");
    for dry_run in [true, false, false] {
        let done = client.post(&path, &import(dry_run)).send().await.expect(200).json();
        assert_eq!(
            (&done["suppressed"], &done["refused"]),
            (&json!(49), &json!([{"index": 7, "code": "invalid_email"}]))
        );
        assert_eq!(done["position"].is_null(), dry_run);
    }
    assert_eq!(client.all(LIST).await.len(), 49);
    let many: Vec<String> = (0..2001).map(|number| format!("{number}@x.example")).collect();
    client.post(&path, &json!({"emails": many})).send().await.refused(422, "too_many");
    client.post(&path, &json!({"emails": []})).send().await.refused(422, "required");
    // Another tenant's list is another, and its ids say nothing.
    assert!(stranger.all(LIST).await.is_empty());
    let asked = json!({"emails": ["former-1@x.example"]});
    let mine = client.post(&format!("{LIST}/check"), &asked).send().await.json()["items"][0].clone();
    let theirs = stranger.post(&format!("{LIST}/check"), &asked).send().await.json()["items"][0].clone();
    assert_eq!((&mine["reasons"], &theirs["reasons"]), (&json!(["hard_bounce"]), &json!([])));
    assert_ne!(mine["id"], theirs["id"]);
    let foreign = format!("{LIST}/{}", mine["id"].as_str().expect("an id"));
    stranger.read(&foreign).await.refused(404, "not_found");
    stranger.delete(&foreign).send().await.refused(404, "suppression_not_found");
    // Who may only read may not write.
    let key = json!({"name": "reader", "scopes": ["mail.suppression:read"]});
    let key = client.post("/v1/api-keys", &key).send().await.expect(201).json();
    let reader = client.with_key(key["token"].as_str().expect("a token"));
    reader.get(&foreign).send().await.expect(200);
    reader.post(LIST, &json!({"email": "a@x.example"})).send().await.refused(403, "forbidden");
    reader.post(&path, &asked).send().await.refused(403, "forbidden");
    reader.delete(&foreign).send().await.refused(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_59_the_list_stops_a_campaign_before_and_during_and_outlives_erasure() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let faults = Faults::always(Point::Dot, Act::Wait(std::time::Duration::from_millis(100)));
    let options = SinkOptions { faults, ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    let audience = mailing::audience(&client, "held", 80).await;
    let mut people = audience.iter();
    let (_, before) = people.next().expect("somebody");
    // One who lives elsewhere than where the address they have now would.
    let (moved, _) = people.next().expect("somebody");
    client.patch(&format!("/v1/contacts/{moved}"), &json!({"email": "moved@x.example"})).send().await.expect(200);
    for email in [before.as_str(), "moved@x.example"] {
        client.post(LIST, &json!({"email": email, "reason": "complaint"})).send().await.expect(201);
    }
    let campaign = mailing::launch(&client, "held", "<p>Hello</p>").await;
    let path = format!("/v1/campaigns/{campaign}");
    eventually("mails go out", 60, async || sink.counts().taken > 3).await;
    client.post(&format!("{path}/pause"), &json!({})).send().await.expect(200);
    let counts = async || client.read(&format!("{path}/progress")).await.expect(200).json()["counts"].clone();
    eventually("nothing is under way", 30, async || counts().await["attempting"] == 0).await;
    let states = mailing::states(&client, campaign).await;
    let late = states.iter().find(|(id, (state, _))| state == "planned" && *id != moved).expect("one is left").0;
    client.post(LIST, &json!({"email": audience[late], "reason": "hard_bounce"})).send().await.expect(201);
    client.post(&format!("{path}/resume"), &json!({})).send().await.expect(200);
    mailing::finished(&client, campaign, 60).await;
    let states = mailing::states(&client, campaign).await;
    assert_eq!(states.len(), 79, "who is on the list is no part of the audience");
    assert_eq!(states[late], ("skipped".into(), "suppressed: hard_bounce".into()));
    assert_eq!(states[moved], ("skipped".into(), "suppressed: complaint".into()));
    assert_eq!(sink.taken().expect("the ledger").len(), 77);

    // Erased: the address is nowhere to be read, and gets no mail all the same.
    let asked = json!({"emails": [audience[late]]});
    client.delete(&format!("/v1/contacts/{late}")).send().await.expect(200);
    let state = client.post(&format!("{LIST}/check"), &asked).send().await.expect(200).json()["items"][0].clone();
    assert_eq!(state["reasons"], json!(["hard_bounce"]));
    let entry = format!("{LIST}/{}", state["id"].as_str().expect("an id"));
    let shown = client.read(&entry).await.expect(200).json();
    assert!(shown["email"].is_null() && shown["note"].is_null(), "{shown}");
    let history = client.read(&format!("{entry}/history")).await.expect(200).text();
    assert!(!history.contains(&audience[late]), "{history}");
    let found = client.read(&format!("{LIST}?filter[email]={}", audience[late])).await.expect(200).json();
    assert_eq!(found["items"], json!([]));
}
