//! A campaign to our own sink: the provider's settings, an audience, and what the platform says became of it.

use super::{Client, eventually};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// The settings of a platform whose provider is a sink.
pub(crate) fn outlet(sink: SocketAddr, connections: usize) -> Vec<(&'static str, String)> {
    vec![
        ("MILLRACE_MAIL_HOST", sink.ip().to_string()),
        ("MILLRACE_MAIL_PORT", sink.port().to_string()),
        ("MILLRACE_MAIL_SECURITY", "plain-loopback".into()),
        ("MILLRACE_MAIL_FROM_DOMAIN", "garden.example".into()),
        ("MILLRACE_MAIL_CONNECTIONS", connections.to_string()),
        ("MILLRACE_PUBLIC_URL", "https://garden.example".into()),
    ]
}

/// The settings of a platform whose providers are sinks, in this order: `first`, `second`.
pub(crate) fn outlets(dir: &Path, sinks: &[SocketAddr], connections: usize) -> Vec<(&'static str, String)> {
    let provider = |(sink, name): (&SocketAddr, &str)| {
        json!({"name": name, "host": sink.ip().to_string(), "port": sink.port(), "security": "plain-loopback",
            "connections": connections})
    };
    let providers: Vec<Value> = sinks.iter().zip(["first", "second"]).map(provider).collect();
    let path = dir.join("providers.json");
    std::fs::write(&path, json!({"providers": providers}).to_string()).expect("the file of providers");
    vec![
        ("MILLRACE_MAIL_PROVIDERS", path.display().to_string()),
        ("MILLRACE_MAIL_FROM_DOMAIN", "garden.example".into()),
        ("MILLRACE_PUBLIC_URL", "https://garden.example".into()),
    ]
}

/// Makes contacts with a tag who consent to marketing; gives their addresses by id.
pub(crate) async fn audience(client: &Client, tag: &str, count: usize) -> BTreeMap<Uuid, String> {
    let one = async |number: usize| {
        let email = format!("{tag}-{number}@x.example");
        let body = json!({"email": email, "first_name": format!("No{number}"), "tags": [tag]});
        let id = loop {
            let answer = client.post("/v1/contacts", &body).send().await;
            if answer.status != 429 {
                break answer.expect(201).id();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        consent(client, id).await;
        (id, email)
    };
    stream::iter(0..count).map(one).buffer_unordered(32).collect().await
}

pub(crate) async fn consent(client: &Client, contact: Uuid) {
    let path = format!("/v1/contacts/{contact}/consents/marketing");
    loop {
        let answer = client.put(&path, &json!({"source": "a form", "text_version": "1"})).send().await;
        if answer.status != 429 {
            answer.expect(200);
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A campaign to everybody with the tag that goes out at once.
pub(crate) async fn launch(client: &Client, tag: &str, html: &str) -> Uuid {
    schedule(client, &json!({"filter": {"tags": {"_eq": tag}}, "purpose": "marketing"}), html, 0).await
}

/// A campaign to a segment that goes out in some seconds, or at once.
pub(crate) async fn schedule(client: &Client, segment: &Value, html: &str, seconds: i64) -> Uuid {
    let campaign = client.make("/v1/campaigns", &json!({"name": "A campaign"})).await;
    let path = format!("/v1/campaigns/{campaign}");
    client.put(&format!("{path}/audience"), &json!({"segment": segment})).send().await.expect(200);
    let content = json!({"subject": "Hello {{ first_name | default('you') }}", "from_name": "Garden",
        "from_email": "news@garden.example", "html": html});
    client.put(&format!("{path}/content"), &content).send().await.expect(200);
    postal_address(client).await;
    let at = match seconds {
        0 => "now".to_owned(),
        _ => bus_schema::time::Clock::System.now().plus_seconds(seconds).to_string(),
    };
    client.post(&format!("{path}/schedule"), &json!({"at": at})).send().await.expect(200);
    campaign
}

/// Marketing mail shows where its sender gets post.
pub(crate) async fn postal_address(client: &Client) {
    let lines = json!({"lines": ["Garden & Sons", "1 Example Street"]});
    client.put("/v1/tenant/postal-address", &lines).send().await.expect(200);
}

/// Waits until it is finished; gives it.
pub(crate) async fn finished(client: &Client, campaign: Uuid, seconds: u64) -> Value {
    let path = format!("/v1/campaigns/{campaign}");
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let shown = client.get(&path).send().await;
        let status = shown.json()["status"].as_str().unwrap_or_default().to_owned();
        if status == "finished" {
            break;
        }
        let is_late = Instant::now() >= end;
        assert!(status != "paused" && !is_late, "not finished (within {seconds} s): {}", shown.text());
    }
    eventually("every recipient has an end", 30, async || {
        let counts = client.get(&format!("{path}/progress")).send().await.json()["counts"].clone();
        counts["planned"] == 0 && counts["attempting"] == 0
    })
    .await;
    client.get(&path).send().await.expect(200).json()
}

/// Every recipient's state and cause.
pub(crate) async fn states(client: &Client, campaign: Uuid) -> BTreeMap<Uuid, (String, String)> {
    let items = client.all(&format!("/v1/campaigns/{campaign}/recipients")).await;
    let read = |item: &Value| {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        (text("contact").parse().expect("an id"), (text("state"), text("cause")))
    };
    items.iter().map(read).collect()
}
