//! `Idempotency-Key`: the same request again has the same answer and no second effect.

use super::{tenant, unique};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_has_one_effect_and_the_same_answer() {
    let client = tenant().await;
    let (email, key) = (format!("{}@x.example", unique("c")), unique("key-"));
    let body = json!({"email": email, "first_name": "Ada"});
    let first = client.post("/v1/contacts", &body).key(&key).send().await.expect(201);
    assert!(!first.is_replayed());
    let path = format!("/v1/contacts/{}", first.id());
    client.patch(&path, &json!({"first_name": "Eve"})).send().await.expect(200);
    let again = client.post("/v1/contacts", &body).key(&key).send().await.expect(201);
    assert!(again.is_replayed());
    assert_eq!((again.json(), again.header("etag")), (first.json(), first.header("etag")));
    assert_eq!(again.header("location"), first.header("location"));
    let other = json!({"email": email, "first_name": "Grace"});
    client.post("/v1/contacts", &other).key(&key).send().await.refused(422, "idempotency_key_reused");
    // A key belongs to one method and path: elsewhere it is another request.
    client.patch(&path, &json!({"city": "Rome"})).key(&key).send().await.expect(200);
    let history = client.read(&format!("{path}/history")).await.expect(200).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(3), "{history:#}");
    // A refusal is given again, and works once what stood in the way is gone.
    let (taken, key) = (json!({"email": email}), unique("key-"));
    client.post("/v1/contacts", &taken).key(&key).send().await.refused(409, "email_taken");
    client.post("/v1/contacts", &taken).key(&key).send().await.refused(409, "email_taken");
    client.delete(&path).send().await.expect(200);
    client.post("/v1/contacts", &taken).key(&key).send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_have_one_effect() {
    let client = tenant().await;
    let id = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    let (path, key) = (format!("/v1/contacts/{id}/tags/{}", unique("tag")), unique("key-"));
    let asked = (0..16).map(|_| client.put(&path, &json!({})).key(&key).send());
    let answers = futures::future::join_all(asked).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(done >= 1);
    for answer in answers {
        if answer.status != 200 {
            let problem = answer.refused(409, "request_in_progress");
            assert!(problem.header("retry-after").is_some());
        }
    }
    let history = client.read(&format!("/v1/contacts/{id}/history")).await.expect(200).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2), "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_one_contact_however_many_ask() {
    let client = tenant().await;
    let body = json!({"email": format!("{}@x.example", unique("c"))});
    let asked = (0..24).map(|_| client.post("/v1/contacts", &body).key(&unique("key-")).send());
    let answers = futures::future::join_all(asked).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "email_taken");
    }
}
