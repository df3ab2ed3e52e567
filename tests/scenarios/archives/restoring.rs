//! A platform restored from one provider is the one that was lost.

use super::{refused, work, worked};
use crate::{
    scenarios::unique,
    support::{Archived, Client, Platform, all_archived, eventually, mailing},
};
use serde_json::json;
use std::path::Path;
use workers::smtp::sink::{Sink, SinkOptions};

/// The login of before: without it a start makes another password, which is an event.
pub(super) fn keep_login(archived: &Archived, of: &str, into: &str) {
    let file = Path::new("data/keys/admin.json");
    std::fs::copy(archived.path(of).join(file), archived.path(into).join(file)).expect("copied");
}

/// Waits until every view of events stands where the log stands.
async fn settled(client: &Client) {
    eventually("the views catch up", 60, async || {
        let now = client.get("/v1/views").send().await.expect(200).json();
        let views = now["items"].as_array().cloned().unwrap_or_default();
        views.iter().all(|view| view["stream"] == "fx" || view["position"] == now["log_position"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_restored_from_one_provider_is_the_same() {
    let archived = Archived::new().await;
    let platform = archived.platform("one");
    let client = platform.client();
    let work = work(&client).await;
    all_archived(&platform).await;
    // What is written at the very end is archived by the stop.
    let last = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("last"))})).await;
    let reads = work.reads(&client).await;
    let digests = client.get("/v1/protection/digest").send().await.expect(200).json();
    settled(&client).await;
    let rows = client.get("/v1/views/digests").send().await.expect(200).json();
    assert_eq!(platform.stop(), Some(0), "{}", platform.log());

    let [north, south] = Archived::servers();
    let text = worked(&archived.restore(south, "one", "two", &[]));
    assert!(text.contains(digests["events"]["digest"].as_str().expect("a digest")), "{text} {digests}");
    keep_login(&archived, "one", "two");
    let restored = Platform::open(&archived.path("two"));
    let again = client.at(&restored.ready.url);
    assert_eq!(again.get("/v1/protection/digest").send().await.expect(200).json(), digests, "the same bytes");
    for (now, before) in work.reads(&again).await.into_iter().zip(reads) {
        assert_eq!(now, before, "the same answers");
    }
    again.read(&format!("/v1/contacts/{last}")).await.expect(200);
    settled(&again).await;
    let of = |digests: &serde_json::Value| -> Vec<(String, String)> {
        let text = |view: &serde_json::Value, name: &str| view[name].as_str().expect("text").to_owned();
        let all = digests["items"].as_array().expect("views").iter();
        all.map(|view| (text(view, "generation"), text(view, "digest"))).collect()
    };
    let now = again.get("/v1/views/digests").send().await.expect(200).json();
    assert_eq!(of(&now), of(&rows), "the same rows");
    // It goes on: names that are taken stay taken, new ones can be had.
    let taken = json!({"email": format!("0@{}.example", work.word)});
    again.post("/v1/contacts", &taken).send().await.refused(409, "email_taken");
    again.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("new"))})).await;
    restored.stop();

    // The other provider has the same.
    let text = worked(&archived.restore(north, "one", "three", &[]));
    assert!(text.contains(digests["events"]["digest"].as_str().expect("a digest")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_position_and_moment_can_be_had_and_erasures_hold() {
    let archived = Archived::new().await;
    let platform = archived.platform("one");
    let client = platform.client();
    let work = work(&client).await;
    let moment = bus_schema::time::Clock::System.now();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let later = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("later"))})).await;
    all_archived(&platform).await;
    platform.stop();
    let [north, south] = Archived::servers();

    let position = work.before_erasure.to_string();
    worked(&archived.restore(north, "one", "position", &["--to", &position]));
    let restored = Platform::open(&archived.path("position"));
    let again = client.at(&restored.ready.url);
    let digest = again.get(&format!("/v1/protection/digest?events={position}")).send().await.expect(200).json();
    assert_eq!(digest["events"]["position"].as_u64(), Some(work.before_erasure));
    let path = format!("/v1/contacts/{}", work.kept[0]);
    eventually("the view has it", 30, async || again.get(&path).send().await.status == 200).await;
    let kept = again.get(&path).send().await.expect(200).json();
    assert_eq!(kept["first_name"], format!("{} 0", work.word));
    // The erasure lies behind the restored point; the person is gone all the same.
    let gone = again.get(&format!("/v1/contacts/{}", work.erased)).send().await.text();
    assert!(!gone.contains(&format!("gone@{}", work.word)), "{gone}");
    restored.stop();

    worked(&archived.restore(south, "one", "moment", &["--to", &moment.to_string()]));
    let restored = Platform::open(&archived.path("moment"));
    let again = client.at(&restored.ready.url);
    let path = format!("/v1/contacts/{}", work.kept[11]);
    eventually("the view has it", 30, async || again.get(&path).send().await.status == 200).await;
    again.get(&format!("/v1/contacts/{later}")).send().await.expect(404);
    restored.stop();
    let beyond = archived.restore(north, "one", "beyond", &["--to", "999999"]);
    refused(&beyond, &["north has positions up to", "not 999999"]);
    refused(&archived.restore(north, "one", "when", &["--to", "yesterday"]), &["neither a position nor a moment"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_platform_goes_on_in_the_same_archives() {
    let archived = Archived::new().await;
    let platform = archived.platform("one");
    let client = platform.client();
    let work = work(&client).await;
    all_archived(&platform).await;
    let middle = work.before_erasure.to_string();
    platform.stop();
    let [north, south] = Archived::servers();
    worked(&archived.restore(north, "one", "two", &["--to", &middle]));
    let restored = archived.platform("two");
    let again = client.at(&restored.ready.url);
    let new = again.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("new"))})).await;
    all_archived(&restored).await;
    let status = again.get("/v1/protection").send().await.expect(200).json();
    for provider in status["providers"].as_array().expect("providers") {
        assert_eq!(provider["streams"][0]["epoch"], 2, "{provider}");
    }
    let digests = again.get("/v1/protection/digest").send().await.expect(200).json();
    restored.stop();
    // The old platform must not write any more, and says so.
    let old = archived.platform("one");
    eventually("the old platform stands back", 30, async || {
        let status = old.client().get("/v1/protection").send().await.expect(200).json();
        status["providers"].as_array().into_iter().flatten().all(|provider| {
            provider["state"] == "halted" && provider["error"].as_str().is_some_and(|why| why.contains("epoch"))
        })
    })
    .await;
    old.stop();
    for (server, into) in [(north, "three"), (south, "four")] {
        let text = worked(&archived.restore(server, "two", into, &[]));
        assert!(text.contains(digests["events"]["digest"].as_str().expect("a digest")), "{text}");
    }
    let third = Platform::open(&archived.path("four"));
    let (third_client, path) = (client.at(&third.ready.url), format!("/v1/contacts/{new}"));
    eventually("the view has it", 30, async || third_client.get(&path).send().await.status == 200).await;
}

/// Mails that went out behind the restored point are not in the log: nobody gets one again unless a person says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_may_have_gone_out_waits_for_a_person_after_a_restore() {
    const RECIPIENTS: usize = 20;
    let archived = Archived::new().await;
    let sink = Sink::start(&archived.path("sink"), SinkOptions::default()).await.expect("a sink");
    let provider = mailing::outlet(sink.address(), 4);
    let platform = archived.platform_with("one", &provider);
    let client = platform.client();
    mailing::audience(&client, "before", RECIPIENTS).await;
    let campaign = mailing::launch(&client, "before", "<p>Hello</p>").await;
    let scheduled = client.get("/readyz").send().await.json()["log_position"].as_u64().expect("a position");
    mailing::finished(&client, campaign, 60).await;
    all_archived(&platform).await;
    platform.stop();
    assert_eq!(sink.counts().taken as usize, RECIPIENTS);

    let [north, _] = Archived::servers();
    worked(&archived.restore(north, "one", "two", &["--to", &scheduled.to_string()]));
    let restored = Platform::open_with(&archived.path("two"), &provider);
    let again = client.at(&restored.ready.url);
    let path = format!("/v1/campaigns/{campaign}");
    eventually("the campaign waits", 30, async || again.get(&path).send().await.json()["status"] == "paused").await;
    let progress = again.get(&format!("{path}/progress")).send().await.expect(200).json();
    assert!(progress["obstacle"].as_str().is_some_and(|why| why.contains("restored")), "{progress}");
    assert_eq!(sink.counts().taken as usize, RECIPIENTS, "nobody got it twice");
    // What is scheduled now is another matter, and so is one that somebody resumes.
    let new = mailing::launch(&again, "before", "<p>News</p>").await;
    mailing::finished(&again, new, 60).await;
    assert_eq!(sink.counts().taken as usize, 2 * RECIPIENTS);
    again.post(&format!("{path}/resume"), &json!({})).send().await.expect(200);
    mailing::finished(&again, campaign, 60).await;
    assert_eq!(sink.counts().taken as usize, 3 * RECIPIENTS);
    restored.stop();
}
