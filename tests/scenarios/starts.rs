//! Starting again: all data is there; platforms beside each other do not meet.

use super::unique;
use crate::support::{Platform, Ready, on_cluster, only_embedded};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_has_all_data() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let email = format!("{}@x.example", unique("c"));
    let platform = Platform::open(dir.path());
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).expect(path).permissions().mode() & 0o777;
    let Ready { tenant, password, nats_pid, pid, .. } = platform.ready.clone();
    assert!(!password.is_empty());
    if !on_cluster() {
        assert_eq!([mode("ready.json"), mode("data/ready.json"), mode("data")], [0o600, 0o600, 0o700]);
        assert!(nats_pid.is_some_and(|nats| nats != pid));
    }
    let client = platform.client();
    let id = client.make("/v1/contacts", &json!({"email": email, "first_name": "Ada"})).await;
    let events = client.get("/v1/events?limit=1000").send().await.expect(200).json();
    assert_eq!(platform.stop(), Some(0), "{}", platform.log());
    assert!(!dir.path().join("data/ready.json").exists(), "nothing says that it runs");

    let platform = Platform::open(dir.path());
    assert_eq!(
        (platform.ready.tenant.as_str(), platform.ready.password.as_str()),
        (tenant.as_str(), password.as_str())
    );
    let again = client.at(&platform.ready.url);
    let path = format!("/v1/contacts/{id}");
    assert_eq!(again.read(&path).await.expect(200).json()["first_name"], "Ada");
    let of_search = again.read(&format!("/v1/contacts?filter[email][_eq]={email}")).await.expect(200).json();
    assert_eq!(of_search["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(again.get("/v1/events?limit=1000").send().await.expect(200).json()["items"], events["items"]);
    again.post("/v1/contacts", &json!({"email": email})).send().await.refused(409, "email_taken");
    let login = json!({"tenant": tenant, "email": platform.ready.email, "password": password});
    let session = again.post("/v1/sessions", &login).send().await;
    assert!(matches!(session.status, 200 | 201), "{}", session.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_platforms_do_not_meet() {
    let (one, two) = (Platform::own(), Platform::own());
    assert_ne!(one.ready.url, two.ready.url);
    let body = json!({"email": format!("{}@x.example", unique("c"))});
    let client = one.client();
    let id = client.make("/v1/contacts", &body).await;
    two.client().read(&format!("/v1/contacts/{id}")).await.expect(404);
    two.client().make("/v1/contacts", &body).await;
    two.client().with_key(&one.ready.api_key).get("/v1/contacts").send().await.expect(401);
    two.kill();
    client.read(&format!("/v1/contacts/{id}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_log_server_comes_back_by_itself() {
    if only_embedded("its nats-servers are nobody's children; chaos::cluster kills them") {
        return;
    }
    let platform = Platform::own();
    let client = platform.client();
    client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    platform.kill_log_server();
    let body = json!({"email": format!("{}@x.example", unique("c"))});
    let key = unique("key-");
    let mut last = None;
    for _ in 0..60 {
        let answer = client.post("/v1/contacts", &body).key(&key).send().await;
        let done = answer.status == 201;
        if !done {
            assert!(matches!(answer.status, 503 | 409), "{}", answer.text());
        }
        last = Some(answer);
        if done {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let id = last.expect("an answer").expect(201).id();
    client.read(&format!("/v1/contacts/{id}")).await.expect(200);
    crate::support::eventually("ready again", 30, async || client.get("/readyz").send().await.status == 200).await;
}
