//! The whole platform dies at each named point of an archiver, under load: nothing acknowledged is lost or doubled, in its log
//! and at both providers.

use super::worked;
use crate::{
    scenarios::unique,
    support::{Archived, Spoil, all_archived, skip_slow},
};
use serde_json::json;
use std::time::Duration;

/// All of them, and the part of the address whose answers have to be lost to come there.
pub(crate) const POINTS: [(&str, Option<&str>); 8] = [
    ("gathered", None),
    ("keys_covered", None),
    ("blobs_covered", None),
    ("saved", None),
    ("segment_unknown", Some("/seg/")),
    ("segment_put", None),
    ("entry_unknown", Some("/m/")),
    ("entry_put", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_killed_at_any_point_loses_and_doubles_nothing() {
    for (point, lost) in POINTS {
        dies_at(point, lost).await;
        if skip_slow() {
            return;
        }
    }
}

async fn dies_at(point: &str, lost: Option<&'static str>) {
    let archived = Archived::new().await;
    let [north, _] = Archived::servers();
    let proxy = north.proxy().await;
    // Not at once: it has to serve first.
    let count = if lost.is_some() { 1 } else { 8 };
    let drill = [("MILLRACE_CRASH_AT", format!("archiver.{point}:{count}"))];
    let platform = archived.platform_through("one", north, &proxy, &drill);
    let client = platform.client();
    let mut acknowledged = Vec::new();
    for index in 0..600 {
        if let Some(part) = lost.filter(|_| index == 60) {
            // It is applied, and nobody is told.
            proxy.next(part, [Spoil::ApplyAndDrop]);
        }
        let contact = json!({"email": format!("{index}@{}.example", unique("k"))});
        match client.post("/v1/contacts", &contact).try_send().await {
            Ok(answer) if answer.status == 201 => acknowledged.push(answer.id()),
            _ => break,
        }
        // On the cluster profile only the process that archives dies.
        if platform.lost_a_process() {
            break;
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
