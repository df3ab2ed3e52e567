//! A contact from its creation to its present and past.

use super::{tenant, unique};
use crate::support::Client;
use serde_json::{Value, json};
use uuid::Uuid;

/// Three persons of one company, in this order: Ada, Grace, Edsger.
async fn three(client: &Client) -> (String, Vec<Uuid>) {
    let company = unique("Works");
    let persons = [
        json!({"email": format!("ada@{company}.example"), "first_name": "Ada", "city": "London", "country": "GB",
               "company": company, "tags": ["Newsletter", "maths"]}),
        json!({"email": format!("grace@{company}.example"), "first_name": "Grace", "city": "Arlington", "country": "US",
               "company": company, "tags": ["maths"]}),
        json!({"email": format!("edsger@{company}.example"), "first_name": "Edsger", "city": "Nuenen", "country": "NL",
               "company": company, "notes": "likes short programs"}),
    ];
    let mut ids = Vec::new();
    for person in persons {
        ids.push(client.make("/v1/contacts", &person).await);
    }
    (company, ids)
}

fn ids_of(page: &Value) -> Vec<Uuid> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_listed_filtered_sorted_counted_and_found() {
    let client = tenant().await;
    let (company, ids) = three(&client).await;
    let [ada, grace, edsger] = ids[..] else { panic!("three") };
    let list = async |query: &str| client.read(&format!("/v1/contacts?{query}")).await.expect(200).json();
    assert_eq!(ids_of(&list("limit=3").await), [edsger, grace, ada], "newest first");
    let of = format!("filter[company][_eq]={company}");
    assert_eq!(ids_of(&list(&format!("{of}&sort=first_name")).await), [ada, edsger, grace]);
    assert_eq!(ids_of(&list(&format!("{of}&sort=-city")).await), [edsger, ada, grace]);
    assert_eq!(ids_of(&list(&format!("{of}&filter[country][_in]=GB,NL&sort=email")).await), [ada, edsger]);
    assert_eq!(ids_of(&list(&format!("{of}&filter[first_name][_starts_with]=Gr")).await), [grace]);
    let page = list(&format!("{of}&filter[tags][_eq]=maths&sort=created_at&total=true&facets=country&limit=1")).await;
    assert_eq!((ids_of(&page), page["total"].as_u64()), (vec![ada], Some(2)));
    let countries: Vec<&str> = page["facets"]["country"]
        .as_array()
        .expect("facets")
        .iter()
        .filter_map(|facet| facet["value"].as_str())
        .collect();
    assert_eq!(countries.len(), 2, "{page}");
    let next = page["next"].as_str().expect("a second page");
    let rest = list(&format!("{of}&filter[tags][_eq]=maths&sort=created_at&limit=1&after={next}")).await;
    assert_eq!(ids_of(&rest), [grace]);
    assert_eq!(ids_of(&list(&format!("{of}&q=edsger")).await), [edsger]);
    let found = client.read(&format!("/v1/search?q={company}&in=contacts")).await.expect(200).json();
    let mut found: Vec<&str> = found["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|hit| hit["record"]["first_name"].as_str())
        .collect();
    found.sort_unstable();
    assert_eq!(found, ["Ada", "Edsger", "Grace"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_tagged_consents_and_keeps_its_history() {
    let client = tenant().await;
    let (company, ids) = three(&client).await;
    let path = format!("/v1/contacts/{}", ids[0]);
    let read = async || client.read(&path).await.expect(200).json();
    let created = read().await;
    assert_eq!(created["tags"], json!(["maths", "newsletter"]), "tags are in one spelling and order");
    client.put(&format!("{path}/tags/vip"), &json!({})).send().await.expect(200);
    client.delete(&format!("{path}/tags/maths")).send().await.expect(200);
    client.delete(&format!("{path}/tags/maths")).send().await.expect(200);
    assert_eq!(read().await["tags"], json!(["newsletter", "vip"]));
    let evidence = json!({"source": "checkout", "text_version": "2026-1", "ip": "192.0.2.7"});
    client.put(&format!("{path}/consents/marketing"), &evidence).send().await.expect(200);
    let consents = read().await["consents"].clone();
    assert_eq!((&consents["marketing"]["source"], &consents["service"]), (&json!("checkout"), &Value::Null));
    let consenting = format!("/v1/contacts?filter[company][_eq]={company}&filter[consents.marketing][_eq]=true");
    assert_eq!(ids_of(&client.read(&consenting).await.expect(200).json()), ids[..1]);
    client.delete(&format!("{path}/consents/marketing")).json(&json!({"source": "a letter"})).send().await.expect(200);
    assert_eq!(read().await["consents"]["marketing"], Value::Null);
    assert!(ids_of(&client.read(&consenting).await.expect(200).json()).is_empty());

    let history = client.read(&format!("{path}/history")).await.expect(200).json();
    let kinds: Vec<&str> =
        history["items"].as_array().expect("items").iter().filter_map(|e| e["kind"].as_str()).collect();
    let expected =
        ["contact.created", "contact.tagged", "contact.untagged", "contact.consent_given", "contact.consent_withdrawn"];
    assert_eq!(kinds, expected, "{history:#}");
    assert_eq!(history["items"][0]["data"]["details"]["first_name"], "Ada", "{history:#}");
    let first = client.read(&format!("{path}/history?limit=2")).await.expect(200).json();
    let rest = format!("{path}/history?limit=10&after={}", first["next"].as_str().expect("more"));
    assert_eq!(client.read(&rest).await.expect(200).json()["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_what_it_saw_and_the_past_stays() {
    let client = tenant().await;
    let (company, ids) = three(&client).await;
    let path = format!("/v1/contacts/{}", ids[0]);
    let first = client.read(&path).await.expect(200);
    let revision = first.revision();
    assert_eq!(first.header("etag"), Some(format!("\"r{revision}\"").as_str()));
    let not_modified = client.get(&path).header("if-none-match", &format!("\"r{revision}\"")).send().await;
    assert_eq!(not_modified.status, 304);
    let changed = client
        .patch(&path, &json!({"last_name": "Lovelace", "city": null}))
        .if_match(revision)
        .send()
        .await
        .expect(200);
    assert!(changed.revision() > revision);
    let stale = client.patch(&path, &json!({"last_name": "Byron"})).if_match(revision).send().await;
    stale.refused(412, "precondition_failed");
    let now = client.read(&path).await.expect(200).json();
    assert_eq!(
        (&now["last_name"], &now["city"], &now["first_name"]),
        (&json!("Lovelace"), &Value::Null, &json!("Ada"))
    );
    assert_eq!(now["revision"], changed.json()["revision"]);
    let position = first.json()["revision"].clone();
    let before = client.read(&format!("{path}?as_of=eu1:{position}")).await.expect(200).json();
    assert_eq!((&before["last_name"], &before["city"]), (&Value::Null, &json!("London")));
    let then = now["created_at"].as_str().expect("a time");
    let at_creation = client.read(&format!("{path}?as_of={then}")).await.expect(200).json();
    assert_eq!(at_creation["city"], "London");
    client.read(&format!("{path}?as_of=eu1:1")).await.refused(404, "not_found");
    client.read(&format!("{path}?as_of=yesterday")).await.refused(400, "invalid_parameter");
    // The address moves: it is free for others, and the new one is taken.
    let moved = json!({"email": format!("countess@{company}.example")});
    client.patch(&path, &moved).send().await.expect(200);
    client.post("/v1/contacts", &moved).send().await.refused(409, "email_taken");
    let newcomer = client.make("/v1/contacts", &json!({"email": format!("ADA@{company}.example")})).await;
    assert_ne!(newcomer, ids[0]);
    client.patch(&path, &json!({"email": format!("ada@{company}.example")})).send().await.refused(409, "email_taken");
}
