//! `If-Match` where a lost update would hurt.

use super::{tenant, unique};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_changed_only_by_who_has_seen_it() {
    let client = tenant().await;
    let page = json!({"slug": unique("p"), "title": "One", "body": "<p>one</p>"});
    let made = client.post("/v1/pages", &page).send().await.expect(201);
    let path = format!("/v1/pages/{}", made.id());
    client.patch(&path, &json!({"title": "Two"})).send().await.refused(428, "precondition_required");
    let changed = client.patch(&path, &json!({"title": "Two"})).if_match(made.revision()).send().await.expect(200);
    let stale = client.patch(&path, &json!({"title": "Three"})).if_match(made.revision()).send().await;
    stale.refused(412, "precondition_failed");
    client.patch(&path, &json!({"title": "Three"})).if_match(changed.revision()).send().await.expect(200);
    let any = client.patch(&path, &json!({"title": "Four"})).header("if-match", "not an etag").send().await;
    any.refused(400, "invalid_header");
}
