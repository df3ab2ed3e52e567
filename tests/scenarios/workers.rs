//! What operators see of the workers.

use super::{
    damage::{cli, envelope},
    tenant,
};
use crate::support::{Platform, eventually, millrace, on_cluster};
use bus_schema::{Address, Envelope, Subject, TenantId, bus::Outgoing};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_workers_and_others_do_not() {
    let platform = Platform::shared();
    let operator = platform.client();
    let list = async || operator.get("/v1/workers").send().await.expect(200).json();
    // Of several processes they are heard once a second, and one that waits for its turn stands by.
    let running = |listed: &Value, name: &str| {
        let workers = listed["items"].as_array().expect("items");
        workers.iter().any(|worker| worker["name"] == name && worker["state"] == "running")
    };
    let names = ["eraser", "imports", "campaigns"];
    eventually("they run", if on_cluster() { 60 } else { 0 }, async || {
        let listed = list().await;
        names.iter().all(|name| running(&listed, name))
    })
    .await;
    let listed = list().await;
    let ready = operator.ready().await;
    assert_eq!(ready["workers"].as_array().map(Vec::len), listed["items"].as_array().map(Vec::len), "{ready:#}");
    let metrics = platform.metrics().await;
    assert!(metrics.contains("millrace_worker_up{worker=\"campaigns\"} 1"), "{metrics}");
    tenant().await.get("/v1/workers").send().await.refused(403, "forbidden");
    operator.with_key("nonsense").get("/v1/workers").send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_the_workers() {
    let platform = Platform::shared();
    let connection = ["--url", &platform.ready.url, "--api-key", &platform.ready.api_key];
    let shown = millrace(&[&["workers"], &connection[..]].concat(), &[]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.lines().any(|line| line.starts_with("eraser") && line.contains("running")), "{text}");
    let shown = millrace(&[&["workers", "list", "--json"], &connection[..]].concat(), &[]);
    let listed: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert!(listed["items"].as_array().is_some_and(|items| items.len() >= 3), "{listed:#}");
}

/// An event of a version this build does not know, in a tenant's log; its position.
pub(crate) async fn of_the_future(platform: &Platform, tenant: &str) -> u64 {
    let bus = platform.bus().await;
    let tenant = TenantId::try_new(tenant).expect("a tenant");
    let address = Address::new("shop", "order", bus_schema::ids::random_uuid());
    let subject = Subject::event(bus.cell(), &tenant, address).to_string();
    let envelope = Envelope { kind: "order.paid".into(), schema: 99, ..envelope() };
    let outgoing = Outgoing { subject, envelope: Some(envelope), body: b"\x80".to_vec().into(), expect: Some(0) };
    bus.publish(outgoing).await.expect("stored").last_seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_item_is_listed_shown_tried_again_and_dropped() {
    let platform = Platform::own();
    let operator = platform.client();
    let (email, password) = ("owner@other.example", "A long passphrase 1815");
    let founded = json!({"tenant": "other", "name": "Another", "email": email, "password": password});
    operator.post("/v1/tenants", &founded).send().await.expect(201);
    let login = json!({"tenant": "other", "email": email, "password": password});
    let session = operator.post("/v1/sessions", &login).send().await.json();
    let stranger = operator.with_key(session["token"].as_str().expect("a token"));
    let parked = async || operator.get("/v1/parked-items").send().await.expect(200).json();
    assert_eq!(parked().await["total"], 0);

    let position = of_the_future(&platform, "other").await;
    eventually("it is parked", 60, async || parked().await["total"] == 1).await;
    let item = parked().await["items"][0].clone();
    let id = item["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&item["worker"], &item["tenant"], &item["state"]),
        (&json!("fulfilments"), &json!("other"), &json!("parked"))
    );
    assert_eq!(item["event"]["position"], format!("eu1:{position}"));
    assert!(item["cause"].as_str().is_some_and(|cause| cause.contains("newer version")), "{item:#}");
    let ready = operator.get("/readyz").send().await.json();
    assert!(ready["notes"].to_string().contains("1 items of fulfilments are parked"), "{ready:#}");
    let metrics = platform.metrics().await;
    assert!(metrics.contains("millrace_worker_parked{worker=\"fulfilments\"} 1"), "{metrics}");
    let none = operator.get("/v1/parked-items?tenant=main").send().await.expect(200).json();
    assert_eq!(none["total"], 0, "only those of a tenant");
    operator.get("/v1/parked-items?tennant=main").send().await.expect(400);

    // The tenant it belongs to does not operate the installation.
    stranger.get("/v1/parked-items").send().await.refused(403, "forbidden");
    stranger.get(&format!("/v1/parked-items/{id}")).send().await.refused(403, "forbidden");
    for what in ["retry", "drop"] {
        stranger.post(&format!("/v1/parked-items/{id}/{what}"), &json!({})).send().await.refused(403, "forbidden");
    }
    stranger.get("/v1/alarms").send().await.refused(403, "forbidden");
    stranger.post("/v1/workers/fulfilments/pause", &json!({})).send().await.refused(403, "forbidden");

    let (content, said) = cli(&platform, &["workers", "parked", "list"]);
    assert!(content && said.contains(&id) && said.contains("order.paid"), "{said}");
    println!("{said}");
    let (content, said) = cli(&platform, &["workers", "parked", "show", &id]);
    assert!(content && said.contains("newer version"), "{said}");
    println!("{said}");
    let (content, said) = cli(&platform, &["workers", "parked", "retry", "--all"]);
    assert!(content && said.contains("is tried again"), "{said}");
    eventually("it is parked again", 60, async || parked().await["items"][0]["times_parked"] == 2).await;
    assert_eq!(cli(&platform, &["workers"]).1.lines().filter(|line| line.starts_with("fulfilments")).count(), 1);
    println!("{}", cli(&platform, &["workers"]).1);
    let (content, said) = cli(&platform, &["workers", "parked", "drop", &id, "--reason", "a test"]);
    assert!(content, "{said}");
    eventually("it is gone", 60, async || parked().await["total"] == 0).await;
    operator.get(&format!("/v1/parked-items/{id}")).send().await.expect(404);
    operator.post(&format!("/v1/parked-items/{id}/retry"), &json!({})).send().await.expect(404);
    assert!(cli(&platform, &["workers", "parked", "list"]).1.contains("nothing is parked"));
    assert!(cli(&platform, &["workers", "alarms"]).1.contains("no alarm is raised"));
    // What operators do is theirs to read, and it is not in the log of a tenant it is not about.
    stranger.get("/v1/events?context=platform").send().await.expect(403);
    let events = operator.get("/v1/events?context=platform").send().await.expect(200).text();
    assert!(!events.contains("parked_item"), "{events}");
}
