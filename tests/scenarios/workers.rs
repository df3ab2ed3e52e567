//! What operators see of the workers.

use super::tenant;
use crate::support::{Platform, millrace};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_workers_and_others_do_not() {
    let platform = Platform::shared();
    let operator = platform.client();
    let listed = operator.get("/v1/workers").send().await.expect(200).json();
    let workers = listed["items"].as_array().expect("items");
    let named = |name: &str| workers.iter().find(|worker| worker["name"] == name).cloned().unwrap_or_default();
    for name in ["eraser", "imports", "campaigns"] {
        assert_eq!(named(name)["state"], "running", "{listed:#}");
    }
    let ready = operator.get("/readyz").send().await.expect(200).json();
    assert_eq!(ready["workers"].as_array().map(Vec::len), Some(workers.len()), "{ready:#}");
    let metrics = operator.get("/metrics").send().await.expect(200).text();
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
