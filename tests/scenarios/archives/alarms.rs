//! An archive that cannot be continued is an alarm that stands in the log.

use super::work;
use crate::support::{Archived, Client, all_archived, eventually};
use bus_schema::{Cell, subject::Family};
use serde_json::{Value, json};
use workers::archive::{ObjectStorePort, Place};

async fn alarms(client: &Client) -> Vec<Value> {
    let all = client.get("/v1/alarms").send().await.expect(200).json();
    all["items"].as_array().expect("items").clone()
}

/// How the events stand there; nothing while no process has said that it archives.
async fn archived(client: &Client, provider: &str) -> Value {
    let status = client.get("/v1/protection").send().await.expect(200).json();
    let providers = status["providers"].as_array().expect("providers");
    let of = providers.iter().find(|one| one["provider"] == provider);
    let mut streams = of.and_then(|of| of["streams"].as_array()).into_iter().flatten();
    streams.find(|stream| stream["stream"] == "EV_eu1").cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_halts_raises_an_alarm_once() {
    let archives = Archived::new().await;
    let platform = archives.platform("one");
    let client = platform.client();
    work(&client).await;
    all_archived(&platform).await;
    assert!(alarms(&client).await.is_empty());
    // Somebody else writes this archive: the next entries are taken.
    let [north, south] = Archived::servers();
    let (store, place) = (archives.objects(north), Place::new(&Cell::try_new("eu1").expect("a cell"), Family::Events));
    let newest = archived(&client, north.provider()).await["segments"].as_u64().expect("a count");
    for index in 1..=3 {
        store.put_new(&place.entry(1, newest + index), "theirs".into()).await.expect("put");
    }
    client.make("/v1/contacts", &json!({"email": "more@x.example"})).await;
    eventually("the alarm is raised", 60, async || !alarms(&client).await.is_empty()).await;
    let raised = alarms(&client).await;
    let [alarm] = &raised[..] else { panic!("one alarm: {raised:?}") };
    assert_eq!((&alarm["what"], &alarm["tenant"]), (&json!("archive_halted"), &json!(platform.ready.tenant)));
    let text = alarm["text"].as_str().expect("a text");
    assert!(text.contains(north.provider()) && text.contains("written by somebody else"), "{text}");
    // Nothing counts as archived there any more; the other provider goes on.
    let stood = archived(&client, north.provider()).await;
    let last = client.make("/v1/contacts", &json!({"email": "still-more@x.example"})).await;
    client.read(&format!("/v1/contacts/{last}")).await.expect(200);
    let seen = client.seen();
    eventually("the other one has it", 60, async || {
        archived(&client, south.provider()).await["archived"].as_u64() >= Some(seen)
    })
    .await;
    assert_eq!(archived(&client, north.provider()).await["archived"], stood["archived"]);
    // It is in the log: raised once, also after a restart.
    assert_eq!(platform.stop(), Some(0), "{}", platform.log());
    let platform = archives.platform("one");
    let client = client.at(&platform.ready.url);
    eventually("it halts again", 60, async || archived(&client, north.provider()).await["state"] == "halted").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let alarms = alarms(&client).await;
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    let events = client.get("/v1/events?kind=alarm.raised&limit=100").send().await.expect(200).json();
    assert_eq!(events["items"].as_array().map(Vec::len), Some(1), "{events}");
}
