//! The whole platform dies at each named point of an archiver, under load: nothing acknowledged is lost or doubled, in its log
//! and at both providers.

use super::worked;
use crate::{
    scenarios::unique,
    support::{Archived, all_archived, skip_slow},
};
use serde_json::json;
use std::time::Duration;

/// Those that a provider which answers leads to; the others are in `tests/contracts/archive/kills.rs`.
const POINTS: [&str; 5] = ["gathered", "keys_covered", "saved", "segment_put", "entry_put"];

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_killed_at_any_point_loses_and_doubles_nothing() {
    for point in POINTS {
        dies_at(point).await;
        if skip_slow() {
            return;
        }
    }
}

async fn dies_at(point: &str) {
    let archived = Archived::new().await;
    // Not at once: it has to serve first.
    let platform = archived.platform_with("one", &[("MILLRACE_CRASH_AT", format!("archiver.{point}:8"))]);
    let client = platform.client();
    let mut acknowledged = Vec::new();
    for index in 0..600 {
        let contact = json!({"email": format!("{index}@{}.example", unique("k"))});
        match client.post("/v1/contacts", &contact).try_send().await {
            Ok(answer) if answer.status == 201 => acknowledged.push(answer.id()),
            _ => break,
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(acknowledged.len() > 3 && acknowledged.len() < 600, "{point}: it died after {}", acknowledged.len());
    platform.kill();
    let platform = archived.platform("one");
    let again = client.at(&platform.ready.url);
    for id in &acknowledged {
        again.read(&format!("/v1/contacts/{id}")).await.expect(200);
    }
    again.make("/v1/contacts", &json!({"email": format!("after@{}.example", unique("k"))})).await;
    all_archived(&platform).await;
    let digests = again.get("/v1/protection/digest").send().await.expect(200).json();
    platform.stop();
    for (server, into) in Archived::servers().into_iter().zip(["two", "three"]) {
        let verified = worked(&archived.ask(server, "one", &["protection", "verify"]));
        assert!(!verified.contains("unreferenced"), "{point}: nothing was cut again under another name: {verified}");
        let restored = worked(&archived.restore(server, "one", into, &[]));
        assert!(restored.contains(digests["events"]["digest"].as_str().expect("a digest")), "{point}: {restored}");
    }
}
