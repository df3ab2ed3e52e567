//! Bad input is refused with a typed error that points at it.

use super::{tenant, unique};
use serde_json::{Value, json};

fn pointers(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().expect("errors");
    errors.iter().filter_map(|error| Some((error["pointer"].as_str()?, error["code"].as_str()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_checked_and_pointed_at() {
    let client = tenant().await;
    let email = format!("{}@x.example", unique("c"));
    let long = "x".repeat(100_000);
    let bodies = [
        (json!({"email": email, "shoe_size": 42}), "/shoe_size", "unknown_field"),
        (json!({"email": email, "tags": [1]}), "/tags/0", "wrong_type"),
        (json!({"email": email, "first_name": 7}), "/first_name", "wrong_type"),
        (json!({"email": "nobody"}), "/email", "invalid_email"),
        (json!({"email": email, "country": "D1"}), "/country", "invalid_country"),
        (json!({"email": email, "first_name": long}), "/first_name", "too_long"),
        (json!({"email": email, "city": "Rome\u{7}"}), "/city", "invalid_text"),
        (json!({"email": email, "tags": ["a/b"]}), "/tag", "invalid_tag"),
        (json!({}), "/email", "required"),
        (json!([]), "", "wrong_type"),
    ];
    for (body, pointer, code) in bodies {
        let problem = client.post("/v1/contacts", &body).send().await.expect(422).json();
        assert!(pointers(&problem).contains(&(pointer, code)), "{pointer} {code} is not in {problem:#}");
        assert_eq!(problem["status"], 422);
        let explained = problem["type"].as_str().expect("a type");
        assert!(explained.starts_with("/docs/problems#"), "{explained}");
    }
    let consent = json!({"source": "form", "text_version": "1", "given_at": "yesterday"});
    let id = client.make("/v1/contacts", &json!({"email": email})).await;
    let refused =
        client.put(&format!("/v1/contacts/{id}/consents/marketing"), &consent).send().await.expect(422).json();
    assert!(pointers(&refused).contains(&("/given_at", "invalid_time")), "{refused}");
    let purpose = client.put(&format!("/v1/contacts/{id}/consents/gossip"), &json!({})).send().await;
    assert!(matches!(purpose.status, 400 | 404 | 422), "{}", purpose.text());
    assert_eq!(purpose.header("content-type"), Some("application/problem+json"), "{}", purpose.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_are_refused() {
    let client = tenant().await;
    let post =
        |media_type: &str, body: Vec<u8>| client.ask(reqwest::Method::POST, "/v1/contacts").body(media_type, body);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let twice = br#"{"email": "a@x.example", "email": "b@x.example"}"#;
    for broken in [&b"{"[..], b"", b"\xff\xfe", br#"{"email": "a@x.example"} {}"#, deep.as_bytes()] {
        let answer = post("application/json", broken.to_vec()).send().await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    post("application/json", b"{".to_vec()).send().await.refused(400, "malformed_json");
    post("application/json", twice.to_vec()).send().await.refused(422, "duplicate_field");
    for other in
        ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json;charset=latin1"]
    {
        post(other, b"{}".to_vec()).send().await.refused(415, "unsupported_media_type");
    }
    let huge = format!("{{\"email\": \"{}\"}}", "x".repeat(8 << 20));
    let refused = post("application/json", huge.into_bytes()).send().await.refused(413, "payload_too_large");
    assert!(refused.text().contains("bytes"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_methods_and_headers_are_refused() {
    let client = tenant().await;
    client.get("/v1/nonsense").send().await.refused(404, "not_found");
    client.get("/v1/contacts/not-a-uuid").send().await.refused(404, "not_found");
    client.get(&format!("/v1/contacts/{}", uuid::Uuid::nil())).send().await.refused(404, "not_found");
    let method = client.put("/v1/contacts", &json!({})).send().await.refused(405, "method_not_allowed");
    assert!(method.header("allow").is_some_and(|allow| allow.contains("POST")), "{:?}", method.header("allow"));
    let body = json!({"email": format!("{}@x.example", unique("c"))});
    for key in ["", "with space", &"k".repeat(256)] {
        client.post("/v1/contacts", &body).key(key).send().await.refused(400, "invalid_header");
    }
    for token in ["eu1", "eu1:x", "12"] {
        client.get("/v1/contacts").header("consistency-token", token).send().await.refused(400, "invalid_header");
    }
    let future = client.get("/v1/contacts?wait_ms=50").header("consistency-token", "eu1:999999999").send().await;
    assert!(future.refused(503, "view_behind").header("retry-after").is_some());
    client.post("/v1/contacts", &body).header("if-match", "W/\"r1\"").send().await.expect(412);
}
