//! After a campaign: another attempt for those who did not get it, proofs for those nobody could tell, and what is limited.

use super::tenant_of;
use crate::support::{Platform, mailing};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions};

#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_got_it_gets_it_once_more_when_a_person_says_so_and_then_never_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let silent = Fault { at: Point::Taken, percent: 40.0, act: Act::Drop };
    let options = SinkOptions { faults: Faults::new(11, vec![silent]), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 4));
    let client = platform.client();
    let audience = mailing::audience(&client, "again", 40).await;
    let campaign = mailing::launch(&client, "again", "<p>Hello {{ first_name | default('you') }}</p>").await;
    mailing::finished(&client, campaign, 60).await;
    let path = format!("/v1/campaigns/{campaign}");
    let states = mailing::states(&client, campaign).await;
    let unknown: Vec<Uuid> = states.iter().filter(|(_, (state, _))| state == "unknown").map(|(id, _)| *id).collect();
    let accepted = *states.iter().find(|(_, (state, _))| state == "accepted").expect("one").0;
    assert!(unknown.len() > 3, "{states:?}");

    // Nobody else can ask, and nothing else is asked for.
    let other = tenant_of(&client).await;
    let entries = json!({"entries": [{"contact": unknown[0], "proof": "click"}]});
    other.get(&format!("{path}/recipients/{}", unknown[0])).send().await.refused(404, "not_found");
    other.post(&format!("{path}/retry"), &json!({})).send().await.expect(404);
    other.post(&format!("{path}/unknown/resend"), &json!({"at_once": true})).send().await.expect(404);
    other.post(&format!("{path}/recipients/reconcile"), &entries).send().await.expect(404);
    let reader = json!({"name": "reader", "scopes": ["mail.campaign:read"]});
    let reader = client.post("/v1/api-keys", &reader).send().await.expect(201).json();
    let reader = client.with_key(reader["token"].as_str().expect("a token"));
    reader.get(&format!("{path}/recipients/{accepted}")).send().await.expect(200);
    reader.post(&format!("{path}/retry"), &json!({})).send().await.refused(403, "forbidden");
    reader.post(&format!("{path}/recipients/reconcile"), &entries).send().await.refused(403, "forbidden");
    client.post(&format!("{path}/retry"), &json!({"ends": ["unknown"]})).send().await.expect(422);
    client.post(&format!("{path}/unknown/resend"), &json!({})).send().await.refused(409, "unknown_unsettled");
    client.get(&format!("{path}/recipients/{campaign}")).send().await.refused(404, "not_found");

    // A proof settles one of them; a lie about another one is refused.
    let reconcile = async |entries: Value| {
        client.post(&format!("{path}/recipients/reconcile"), &json!({"entries": entries})).send().await
    };
    let stranger = Uuid::from_u128(7);
    let proven = json!([{"contact": unknown[0], "proof": "click"}, {"contact": accepted, "proof": "open"},
        {"contact": stranger, "proof": "open"}]);
    let answer = reconcile(proven).await.expect(200).json();
    let verdict = |contact: Uuid| {
        let items = answer["items"].as_array().expect("items");
        items.iter().find(|item| item["contact"] == contact.to_string()).expect("a verdict")["verdict"].clone()
    };
    assert_eq!(
        (verdict(unknown[0]), verdict(accepted), verdict(stranger)),
        ("reconciled".into(), "accepted".into(), "no_recipient".into())
    );
    let lie = json!([{"contact": unknown[1], "accepted": false, "proof": "bounce"}]);
    assert!(reconcile(lie).await.expect(422).text().contains("/entries/0/proof"));
    reconcile(json!([])).await.expect(422);
    let counts = client.read(&format!("{path}/progress")).await.expect(200).json()["counts"].clone();
    assert_eq!(counts["unknown"], unknown.len() - 1);

    // Sent again: only to those nobody can tell of, with the Message-ID they had.
    let before = sink.taken().expect("the ledger");
    client.post(&format!("{path}/unknown/resend"), &json!({"at_once": true})).send().await.expect(200);
    mailing::finished(&client, campaign, 60).await;
    let after = sink.taken().expect("the ledger");
    let mut ids: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    after.iter().for_each(|mail| ids.entry(&mail.recipient).or_default().push(&mail.message_id));
    for (contact, email) in &audience {
        let ids = &ids[email.as_str()];
        let twice = unknown[1..].contains(contact);
        assert_eq!(ids.len(), 1 + usize::from(twice), "{email}");
        assert!(ids.iter().all(|id| *id == ids[0]), "{email}: {ids:?}");
    }
    assert_eq!(after.len(), before.len() + unknown.len() - 1);
    client.post(&format!("{path}/unknown/resend"), &json!({"at_once": true})).send().await.expect(200);
    mailing::finished(&client, campaign, 60).await;
    assert_eq!(sink.taken().expect("the ledger").len(), after.len(), "once more, and no more");

    // What happened with each stands in the campaign and with the contact.
    let history = client.get(&format!("{path}/recipients/{}", unknown[0])).send().await.expect(200).json();
    let steps = history["steps"].as_array().expect("steps");
    let words: Vec<&str> = steps.iter().filter_map(|step| step["what"].as_str()).collect();
    assert_eq!(
        (words, &history["state"]),
        (vec!["planned", "attempting", "unknown", "reconciled"], &"accepted".into())
    );
    assert_eq!((&steps[2]["provider"], &steps[2]["cause"]), (&"main".into(), &"dot: connection lost".into()));
    let timeline = client.read(&format!("/v1/contacts/{}/timeline", unknown[0])).await.expect(200).json();
    let kinds: Vec<&str> =
        timeline["items"].as_array().expect("items").iter().filter_map(|item| item["kind"].as_str()).collect();
    assert_eq!(kinds[..2], ["campaign.accepted", "campaign.unknown"]);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_domain_costs_others_nothing_and_nobody_is_lost() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let environment = mailing::outlets(dir.path(), &[sink.address()], 4);
    let file = dir.path().join("providers.json");
    let mut settings: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
    settings["domain_limits"] = json!([{"domain": "x.example", "connections": 1, "per_second": 5}]);
    std::fs::write(&file, settings.to_string()).expect("the file");
    let platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "limited", 30).await;
    let free =
        client.make("/v1/contacts", &json!({"email": "free@y.example", "first_name": "F", "tags": ["limited"]})).await;
    mailing::consent(&client, free).await;
    let began = Instant::now();
    let campaign = mailing::launch(&client, "limited", "<p>Hello</p>").await;
    let done = mailing::finished(&client, campaign, 120).await;
    assert_eq!(done["journey"]["counts"]["accepted"], audience.len() + 1);
    let taken = sink.taken().expect("the ledger");
    let times: Vec<i64> =
        taken.iter().filter(|mail| mail.recipient.ends_with("@x.example")).map(|mail| mail.at.0).collect();
    assert_eq!(times.len(), audience.len());
    // 30 at five a second are six seconds, less the first.
    let lasted = (times.iter().max().expect("one") - times.iter().min().expect("one")) as f64 / 1e6;
    assert!((5.0..90.0).contains(&lasted), "{lasted} s; all in {:?}", began.elapsed());
    let freed = taken.iter().find(|mail| mail.recipient == "free@y.example").expect("it came").at.0;
    let rank = times.iter().filter(|at| **at < freed).count();
    assert!(rank < 20, "the free domain waited behind {rank} of the limited one");
}
