//! A page from its draft to its visitors, and back to an older revision.

use super::{tenant, unique};
use crate::support::{Answer, Client, Platform};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use uuid::Uuid;

/// A draft; its id and slug.
async fn draft(client: &Client, body: &str) -> (Uuid, String) {
    let slug = unique("page-");
    let page = json!({"slug": slug, "title": "Our shop", "description": "What we sell", "body": body});
    (client.make("/v1/pages", &page).await, slug)
}

async fn tell(client: &Client, page: Uuid, what: &str, body: Value) -> Answer {
    client.post(&format!("/v1/pages/{page}/{what}"), &body).send().await
}

/// A visit: status, text and where it leads.
async fn visit(client: &Client, path: &str) -> (u16, String, Option<String>) {
    let http = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
    let response = http.get(format!("{}{path}", client.url())).send().await.expect("an answer");
    let location = response.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
    (response.status().as_u16(), response.text().await.expect("text"), location)
}

/// The name of a client's tenant.
async fn tenant_of(client: &Client) -> String {
    let tenant = client.read("/v1/tenant").await.expect(200).json();
    let name = ["tenant", "id"].iter().find_map(|field| tenant[*field].as_str());
    name.unwrap_or_else(|| panic!("no name in {tenant}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_drafted_published_edited_renamed_restored_and_removed() {
    let client = tenant().await;
    let name = tenant_of(&client).await;
    let (page, slug) = draft(&client, "<p>first {{ 6 * 7 }}</p>").await;
    let (path, at) = (format!("/v1/pages/{page}"), format!("/sites/{name}/{slug}"));
    let visible = async |address: &str| {
        let token = format!("eu1:{}", client.seen());
        client.get("/v1/pages?wait_ms=10000").header("consistency-token", &token).send().await.expect(200);
        visit(&client, address).await
    };
    assert_eq!(visible(&at).await.0, 404, "a draft is no page");
    let shown = client.read(&format!("{path}/render?draft=true")).await.expect(200).text();
    assert!(shown.contains("first 42"), "{shown}");
    tell(&client, page, "publish", json!({})).await.expect(200);
    let (status, html, _) = visible(&at).await;
    assert_eq!((status, html.contains("first 42"), html.contains("Our shop")), (200, true, true), "{html}");
    let published = client.read(&path).await.expect(200);
    let edit = json!({"body": "<p>second <b>{{ '<i>' }}</b></p>"});
    client.patch(&path, &edit).if_match(published.revision()).send().await.expect(200);
    assert!(visible(&at).await.1.contains("first"), "an edit shows when it is published");
    tell(&client, page, "publish", json!({})).await.expect(200);
    let html = visible(&at).await.1;
    assert!(html.contains("second") && html.contains("&lt;i&gt;"), "escaped: {html}");
    let past = client.read(&format!("{path}/render?as_of=eu1:{}", published.revision())).await.expect(200).text();
    assert!(past.contains("first 42"), "{past}");

    let (renamed, other) = (unique("new-"), draft(&client, "<p>other</p>").await);
    tell(&client, page, "rename", json!({"slug": other.1})).await.refused(409, "slug_taken");
    tell(&client, page, "rename", json!({"slug": renamed})).await.expect(200);
    let (status, _, location) = visible(&at).await;
    assert!(matches!(status, 301 | 308), "{status}");
    assert!(location.as_deref().is_some_and(|to| to.ends_with(&renamed)), "{location:?}");
    let taken = json!({"slug": slug, "title": "T", "body": ""});
    client.post("/v1/pages", &taken).send().await.refused(409, "slug_taken");
    client.delete(&format!("{path}/redirects/{slug}")).send().await.expect(200);
    assert_eq!(visible(&at).await.0, 404);
    client.make("/v1/pages", &taken).await;

    let at = format!("/sites/{name}/{renamed}");
    tell(&client, page, "restore", json!({"revision": 1})).await.expect(200);
    tell(&client, page, "restore", json!({"revision": 99})).await.refused(404, "revision_not_found");
    tell(&client, page, "publish", json!({})).await.expect(200);
    assert!(visible(&at).await.1.contains("first 42"));
    tell(&client, page, "unpublish", json!({})).await.expect(200);
    assert_eq!(visible(&at).await.0, 404);
    tell(&client, page, "publish", json!({})).await.expect(200);
    client.delete(&path).send().await.expect(200);
    assert_eq!(visible(&at).await.0, 404);
    tell(&client, page, "publish", json!({})).await.refused(409, "page_removed");
    tell(&client, page, "reinstate", json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_never_ends_is_stopped() {
    let client = tenant().await;
    let endless = [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% for i in range(3000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 3000 }}{% endfor %}",
    ];
    for body in endless {
        let (page, _) = draft(&client, body).await;
        let began = std::time::Instant::now();
        let answer = client.read(&format!("/v1/pages/{page}/render?draft=true")).await;
        assert!(matches!(answer.status, 400..=499), "{} for {body}: {}", answer.status, answer.text());
        assert!(began.elapsed().as_secs() < 20, "{body} took {:?}", began.elapsed());
        let problem = answer.json();
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    for broken in ["{% if %}", "{{ nothing | unheard_of }}", "{% set ns = namespace() %}"] {
        let page = json!({"slug": unique("p"), "title": "T", "body": broken});
        client.post("/v1/pages", &page).send().await.refused(422, "invalid_template");
    }
    Platform::shared().client().get("/healthz").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_cached_by_its_etag_and_sent_small() {
    let client = tenant().await;
    let name = tenant_of(&client).await;
    let (page, slug) = draft(&client, &"<p>much of the same</p>".repeat(400)).await;
    tell(&client, page, "publish", json!({})).await.expect(200);
    client.read("/v1/pages").await.expect(200);
    let port = client.url().rsplit(':').next().expect("a port").to_owned();
    let url = format!("{}/{slug}", client.url());
    let http = reqwest::Client::new();
    let by_host = |request: reqwest::RequestBuilder| request.header("host", format!("{name}.localhost:{port}")).send();
    let full = by_host(http.get(&url)).await.expect("an answer");
    assert_eq!(full.status(), 200);
    let etag = full.headers().get("etag").and_then(|tag| tag.to_str().ok()).expect("an etag").to_owned();
    let again = by_host(http.get(&url).header("if-none-match", &etag)).await.expect("an answer");
    assert_eq!(again.status(), 304);
    let small = by_host(http.get(&url).header("accept-encoding", "gzip")).await.expect("an answer");
    assert_eq!(small.headers().get("content-encoding").and_then(|value| value.to_str().ok()), Some("gzip"));
    assert!(small.bytes().await.expect("a body").len() < 2_000);
    // Each visit is a fact; none carries who came.
    let visits = crate::support::eventually("the visits are counted", 30, async || {
        let visits = client.read(&format!("/v1/visits?path=/{slug}")).await;
        visits.status == 200 && visits.json()["items"].as_array().is_some_and(|items| !items.is_empty())
    });
    visits.await;
}
