//! What is not done in time: the timer fires on the real server, an alarm is raised, and cleared when it is done.

use super::{
    fulfilments::{contact, course, line, pay, place, product},
    tenant_of,
};
use crate::support::{Client, Platform, eventually, only_embedded};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A platform whose fulfilments have so many seconds, and hang at a place.
pub(crate) fn hanging(place: &str, patience: u32) -> Vec<(&'static str, String)> {
    vec![
        ("MILLRACE_FULFILMENT_PATIENCE", patience.to_string()),
        ("MILLRACE_STALL_AT", format!("fulfilments.{place}:300")),
    ]
}

/// Pays for a course. Gives the order and the product.
pub(crate) async fn paid(client: &Client) -> (Uuid, Uuid) {
    let seat = product(client, Some(course(client, None).await)).await;
    let order = place(client, Some(contact(client).await), &[(seat, 1)]).await;
    pay(client, order, 1).await;
    (order, seat)
}

/// Waits until the process of an order has begun, which is before its timer is set.
pub(crate) async fn begun(client: &Client, order: Uuid) {
    let path = format!("/v1/fulfilments/{order}");
    eventually("the process has begun", 60, async || client.get(&path).send().await.status == 200).await;
}

/// The alarms about an order that are raised.
pub(crate) async fn alarms(client: &Client, order: Uuid) -> Vec<Value> {
    let all = client.get("/v1/alarms").send().await.expect(200).json();
    let about = format!("shop.fulfilment.{order}");
    all["items"].as_array().expect("items").iter().filter(|alarm| alarm["about"] == about.as_str()).cloned().collect()
}

pub(crate) async fn raised(client: &Client, order: Uuid) -> Value {
    eventually("the alarm is raised", 90, async || !alarms(client, order).await.is_empty()).await;
    alarms(client, order).await.remove(0)
}

pub(crate) async fn done(client: &Client, order: Uuid, seat: Uuid) {
    line(client, order, seat, "enrolled").await;
    eventually("the alarm is cleared", 60, async || alarms(client, order).await.is_empty()).await;
}

pub(crate) async fn count(client: &Client, kind: &str) -> usize {
    let events = client.get(&format!("/v1/events?kind={kind}&limit=100")).send().await.expect(200).json();
    events["items"].as_array().expect("items").len()
}

/// The folder in which nats-server keeps the timers.
fn timers(below: &Path) -> Option<PathBuf> {
    let mut folders = std::fs::read_dir(below).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.find_map(|folder| if folder.ends_with("TM_eu1") { Some(folder) } else { timers(&folder) })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_raises_an_alarm_that_ends_with_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let drill = [
        ("MILLRACE_FULFILMENT_PATIENCE", "2".to_owned()),
        // Long enough for a busy machine to look at the alarm meanwhile.
        ("MILLRACE_STALL_AT", "fulfilments.armed:25".to_owned()),
    ];
    let platform = Platform::open_with(dir.path(), &drill);
    let client = platform.client();
    let (order, seat) = paid(&client).await;
    let alarm = raised(&client, order).await;
    assert_eq!((&alarm["what"], &alarm["tenant"]), (&json!("fulfilment_overdue"), &json!(platform.ready.tenant)));
    let overdue = async || {
        client.get("/v1/fulfilments?filter[overdue][_eq]=true").send().await.expect(200).json()["items"].clone()
    };
    eventually("it is listed as overdue", 15, async || overdue().await.as_array().is_some_and(|list| list.len() == 1))
        .await;
    assert_eq!(overdue().await[0]["lines"][0]["state"], "wanted");
    let text = client.get("/metrics").send().await.text();
    assert!(text.lines().any(|line| line.contains("alarm") && line.ends_with(" 1")), "{text}");
    // Another tenant has no alarms to look at.
    tenant_of(&client).await.get("/v1/alarms").send().await.expect(403);
    done(&client, order, seat).await;
    let shown = client.read(&format!("/v1/fulfilments/{order}")).await.expect(200).json();
    assert_eq!((&shown["status"], &shown["overdue"]), (&json!("settled"), &json!(false)));
    assert_eq!((count(&client, "alarm.raised").await, count(&client, "alarm.cleared").await), (1, 1));
    assert_eq!(count(&client, "fulfilment.overdue").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_were_lost_are_set_again() {
    if only_embedded("it removes a stream from the disk of the nats-server of `millrace up`") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let platform = Platform::open_with(dir.path(), &hanging("armed", 30));
    let client = platform.client();
    let (order, seat) = paid(&client).await;
    begun(&client, order).await;
    assert!(alarms(&client, order).await.is_empty());
    platform.kill();
    let lost = timers(&dir.path().join("data/nats")).expect("the stream's folder");
    std::fs::remove_dir_all(&lost).expect("removed");
    // The worker hangs before it could set the timer itself.
    let platform = Platform::open_with(dir.path(), &hanging("taken", 30));
    let client = platform.client();
    raised(&client, order).await;
    platform.kill();
    // Again: the alarm stands, and is raised once.
    let platform = Platform::open(dir.path());
    let client = platform.client();
    done(&client, order, seat).await;
    assert_eq!((count(&client, "alarm.raised").await, count(&client, "alarm.cleared").await), (1, 1));
    let place = std::fs::read_to_string(platform.data_dir.join("fulfilments.json")).expect("the place is kept");
    assert!(place.contains("eu1"), "{place}");
}
