//! Nobody reaches what is another tenant's or more than a key allows.

use super::{tenant, unique};
use crate::support::Platform;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_records_do_not_exist() {
    let (mine, other) = (tenant().await, tenant().await);
    let word = unique("secret");
    let body = json!({"email": format!("{word}@x.example"), "first_name": word});
    let id = mine.make("/v1/contacts", &body).await;
    let path = format!("/v1/contacts/{id}");
    mine.read(&path).await.expect(200);
    let token = format!("eu1:{}", mine.seen());
    let see = |path: String| other.get(&path).header("consistency-token", &token);
    // The other one sees as much of the log.
    other.has_seen(mine.seen());
    for reading in [path.clone(), format!("{path}/history"), format!("{path}?as_of=2099-01-01T00:00:00Z")] {
        see(reading).send().await.refused(404, "not_found");
    }
    for list in ["/v1/contacts".to_owned(), format!("/v1/contacts?q={word}"), format!("/v1/search?q={word}")] {
        assert!(!other.read(&list).await.expect(200).text().contains(&word), "{list}");
    }
    let feed = other.get("/v1/events?limit=1000").send().await.expect(200).text();
    assert!(!feed.contains(&id.to_string()));
    other.patch(&path, &json!({"first_name": "Eve"})).send().await.expect(404);
    other.put(&format!("{path}/tags/x"), &json!({})).send().await.expect(404);
    other.delete(&path).send().await.expect(404);
    // The same address is free in each tenant, and has another id there.
    assert_ne!(other.make("/v1/contacts", &body).await, id);
    assert_eq!(mine.read(&path).await.expect(200).json()["first_name"], word);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_what_they_may_until_they_are_revoked() {
    let owner = tenant().await;
    let wanted = json!({"name": "reader", "scopes": ["crm.contact:read"]});
    let made = owner.post("/v1/api-keys", &wanted).send().await.expect(201);
    let token = made.json()["token"].as_str().expect("the token, once").to_owned();
    let shown = owner.read(&format!("/v1/api-keys/{}", made.id())).await.expect(200).text();
    assert!(!shown.contains(&token), "a token is shown once");
    let reader = owner.with_key(&token);
    reader.get("/v1/contacts").send().await.expect(200);
    let body = json!({"email": format!("{}@x.example", unique("c"))});
    reader.post("/v1/contacts", &body).send().await.refused(403, "forbidden");
    reader.get("/v1/events").send().await.refused(403, "forbidden");
    owner.delete(&format!("/v1/api-keys/{}", made.id())).send().await.expect(200);
    reader.get("/v1/contacts").send().await.refused(401, "unauthenticated");
    for token in ["", "x", &token[..token.len() - 1], &Platform::shared().ready.password] {
        owner.with_key(token).get("/v1/contacts").send().await.refused(401, "unauthenticated");
    }
    let nobody = reqwest::get(format!("{}/v1/contacts", owner.url())).await.expect("an answer");
    assert_eq!(nobody.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_end_and_are_limited() {
    let Platform { ready, .. } = Platform::shared();
    let operator = Platform::shared().client();
    let login = json!({"tenant": ready.tenant, "email": ready.email, "password": ready.password});
    let session = operator.post("/v1/sessions", &login).send().await;
    let user = operator.with_key(session.json()["token"].as_str().expect("a token"));
    assert!(user.get("/v1/me").send().await.expect(200).text().contains(&ready.email));
    let ended = user.delete("/v1/sessions/current").send().await;
    assert!(matches!(ended.status, 200 | 204), "{}", ended.text());
    user.get("/v1/me").send().await.refused(401, "unauthenticated");
    let wrong = json!({"tenant": ready.tenant, "email": ready.email, "password": "not the password"});
    operator.post("/v1/sessions", &wrong).send().await.expect(401);
    let nobody = json!({"tenant": ready.tenant, "email": "nobody@x.example", "password": "not the password"});
    operator.post("/v1/sessions", &nobody).send().await.expect(401);
}
