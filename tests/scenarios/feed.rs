//! The tenant's log as a feed: complete, in order, resumable in each of its forms.

use super::{tenant, unique};
use crate::support::Client;
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Contacts with a few tags each: their events.
async fn busy(client: &Client, contacts: usize) {
    for _ in 0..contacts {
        let id = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
        client.put(&format!("/v1/contacts/{id}/tags/one"), &json!({})).send().await.expect(200);
    }
}

fn position(event: &Value) -> u64 {
    let text = event["position"].as_str().and_then(|position| position.strip_prefix("eu1:"));
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no position in {event}"))
}

/// What a feed sends, line by line.
struct Lines {
    body: futures::stream::BoxStream<'static, reqwest::Result<axum::body::Bytes>>,
    rest: String,
}

impl Lines {
    fn of(response: reqwest::Response) -> Self {
        Self { body: response.bytes_stream().boxed(), rest: String::new() }
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.find('\n') {
                let line = self.rest[..end].to_owned();
                self.rest.drain(..=end);
                return Some(line);
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("a line in time")?;
            self.rest.push_str(std::str::from_utf8(&piece.expect("no break")).expect("UTF-8"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lines_and_followers_give_the_same_events() {
    let client = tenant().await;
    busy(&client, 12).await;
    let (mut paged, mut since) = (Vec::new(), "0".to_owned());
    loop {
        let page = client.get(&format!("/v1/changes?since={since}&limit=5")).send().await.expect(200).json();
        paged.extend(page["items"].as_array().expect("items").iter().cloned());
        since = page["next"].as_str().expect("where to go on").to_owned();
        if page["more"] == false {
            break;
        }
    }
    assert!(paged.windows(2).all(|pair| position(&pair[0]) < position(&pair[1])), "the log's order");
    assert!(paged.len() >= 24);
    let lines = client.get("/v1/changes?since=0").header("accept", "application/x-ndjson").send().await.expect(200);
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, paged);
    // From the middle on, as a client does that lost its connection.
    let middle = paged[10]["position"].as_str().expect("a position");
    let rest = client.get(&format!("/v1/changes?since={middle}")).header("accept", "application/x-ndjson");
    let rest = rest.send().await.expect(200).text();
    assert_eq!(rest.lines().count(), paged.len() - 11);
    let tags = client.get("/v1/events?context=crm&aggregate=contact&kind=contact.tagged&limit=1000");
    let tags = tags.send().await.expect(200).json();
    assert_eq!(tags["items"].as_array().map(Vec::len), Some(12));
    let (from, to) = (position(&paged[3]), position(&paged[7]));
    let between = client.get(&format!("/v1/events?from={from}&to={to}")).send().await.expect(200).json();
    assert_eq!(between["items"], json!(paged[3..=7]));
    let at = paged[5]["at"].as_str().expect("a time");
    let by_time = client.get(&format!("/v1/events?from={at}&limit=1")).send().await.expect(200).json();
    assert!(position(&by_time["items"][0]) <= position(&paged[5]), "{by_time}");
    client.get("/v1/changes?since=soon").send().await.refused(400, "invalid_parameter");
    client.get("/v1/changes?sinse=1").send().await.refused(400, "unknown_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_what_comes_and_resumes_where_it_was() {
    let client = tenant().await;
    busy(&client, 2).await;
    let follow = client.get(&format!("/v1/changes?since={}&follow=true", client.seen()));
    let mut lines = Lines::of(follow.header("accept", "application/x-ndjson").open().await);
    busy(&client, 1).await;
    let first: Value = serde_json::from_str(&lines.next().await.expect("an event")).expect("JSON");
    assert_eq!(first["kind"], "contact.created");
    let second: Value = serde_json::from_str(&lines.next().await.expect("an event")).expect("JSON");
    assert_eq!((second["kind"].as_str(), position(&second)), (Some("contact.tagged"), client.seen()));
    drop(lines);

    let last = format!("eu1:{}", position(&first));
    let resumed = client.get("/v1/changes").header("accept", "text/event-stream").header("last-event-id", &last);
    let response = resumed.open().await;
    let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    assert_eq!(media_type, Some("text/event-stream"));
    let mut lines = Lines::of(response);
    let mut event = Vec::new();
    loop {
        match lines.next().await.expect("an event").as_str() {
            "" if event.iter().any(|line: &String| line.starts_with("data:")) => break,
            line => event.push(line.to_owned()),
        }
    }
    let field = |name: &str| event.iter().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    assert_eq!(field("id:"), format!("eu1:{}", position(&second)), "{event:?}");
    assert_eq!(serde_json::from_str::<Value>(field("data:")).expect("JSON"), second);
}

/// The log gives its events in pieces of a bounded size, so a piece of large events has few of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_large_events_is_whole() {
    let client = tenant().await;
    let body = format!("<p>{}</p>", "large ".repeat(40_000));
    for _ in 0..24 {
        let page = json!({"slug": unique("large-"), "title": "Large", "body": body});
        client.make("/v1/pages", &page).await;
    }
    let lines = client.get("/v1/changes?since=0&kind=page.created").header("accept", "application/x-ndjson");
    assert_eq!(lines.send().await.expect(200).text().lines().count(), 24);
    let (mut paged, mut since) = (0, "0".to_owned());
    loop {
        let page = client.get(&format!("/v1/changes?since={since}&kind=page.created&limit=10")).send().await;
        let page = page.expect(200).json();
        paged += page["items"].as_array().map_or(0, Vec::len);
        since = page["next"].as_str().expect("where to go on").to_owned();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(paged, 24);
}
