//! Double opt-in: who asks for mail at a tenant's form is asked first, and gets nothing else before they said yes.

use super::tenant_of;
use crate::support::{Client, Platform, eventually, mailing, posting};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;
use workers::smtp::sink::{Kept, Sink, SinkOptions};

const FORM: &str = "application/x-www-form-urlencoded";

async fn started(dir: &Path) -> (Sink, Platform) {
    let sink = Sink::start(&dir.join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir, &posting::outlet(sink.address(), 2));
    (sink, platform)
}

/// Opens the tenant's form; gives its address.
async fn opened(client: &Client, more: Value) -> String {
    let mut form =
        json!({"open": true, "tags": ["letter", "offers"], "text": "Yes, <send> me news.", "text_version": "2026-01"});
    form.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    client.put("/v1/subscription-form", &form).send().await.expect(200);
    let shown = client.read("/v1/subscription-form").await.expect(200).json();
    shown["path"].as_str().expect("a path").to_owned()
}

/// The contact at an address, once a list knows them.
async fn contact(client: &Client, email: &str) -> Uuid {
    let mut found = Value::Null;
    eventually(&format!("{email} is a contact"), 30, async || {
        found = client.get(&format!("/v1/contacts?filter[email][_eq]={email}")).send().await.expect(200).json();
        found["items"][0]["id"].is_string()
    })
    .await;
    found["items"][0]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

async fn shown(client: &Client, id: Uuid) -> Value {
    client.get(&format!("/v1/contacts/{id}")).send().await.expect(200).json()
}

async fn consents(client: &Client, id: Uuid) {
    eventually("the consent is seen", 30, async || shown(client, id).await["consents"]["marketing"].is_object()).await;
}

/// Waits until an address has got so many mails; gives them.
async fn mails(sink: &Sink, email: &str, count: usize) -> Vec<Kept> {
    let what = format!("{email} gets {count} mails");
    eventually(&what, 60, async || posting::mails(sink, email).len() >= count).await;
    let mails = posting::mails(sink, email);
    assert_eq!(mails.len(), count, "{email}");
    mails
}

/// The link of a confirmation, without the platform's address.
fn link_of(mail: &Kept) -> String {
    let text = posting::text(mail);
    let begin = text.find("/v1/subscriptions/").expect("a link");
    let end = text[begin..].find(|c: char| !c.is_ascii_alphanumeric() && !"/-_".contains(c));
    text[begin..begin + end.unwrap_or(text.len() - begin)].to_owned()
}

async fn press(anybody: &Client, link: &str, status: u16) -> String {
    anybody.ask(Method::POST, link).body(FORM, "").send().await.expect(status).text()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_mail_is_asked_first_and_gets_nothing_before() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let (client, anybody) = (platform.client(), platform.client().with_key(""));
    // Closed as long as nobody opened it, and no tenant looks the same.
    let path = format!("/v1/sites/{}/subscribe", platform.ready.tenant);
    let ada = json!({"email": "Ada@x.example", "first_name": "Ada", "tags": ["letter"], "source": "footer"});
    for nowhere in [path.as_str(), "/v1/sites/nowhere/subscribe", "/v1/sites/!/subscribe"] {
        anybody.get(nowhere).send().await.refused(404, "not_found");
        anybody.post(nowhere, &ada).send().await.refused(404, "not_found");
    }
    assert_eq!(opened(&client, json!({})).await, path);
    let page = anybody.get(&path).send().await.expect(200).text();
    assert!(page.contains("Yes, &lt;send&gt; me news.") && page.contains("value=\"offers\""), "{page}");
    // The same answer for somebody new, for somebody who was asked, and for somebody who gets mail already.
    let bob = mailing::audience(&client, "bob", 1).await.into_keys().next().expect("Bob");
    let known = json!({"email": "bob-0@x.example", "first_name": "Eve"});
    for body in [&ada, &ada, &known] {
        let answer = anybody.post(&path, body).send().await.expect(202);
        assert_eq!(answer.json(), json!({"status": "confirmation_requested"}));
    }
    let mail = &mails(&sink, "Ada@x.example", 1).await[0];
    let text = posting::text(mail);
    assert!(text.contains("Hello Ada") && !text.contains("List-Unsubscribe"), "{text}");
    // An admin sees who was asked, with the evidence; it is no consent, and there is no tag yet.
    let id = contact(&client, "Ada@x.example").await;
    let before = shown(&client, id).await;
    assert_eq!((&before["consents"]["marketing"], &before["tags"]), (&Value::Null, &json!([])));
    let pending = &before["pending_consents"]["marketing"];
    assert_eq!((&pending["source"], &pending["text_version"]), (&json!("footer"), &json!("2026-01")));
    assert_eq!((&pending["ip"], &pending["tags"]), (&json!("127.0.0.1"), &json!(["letter"])));
    let waiting =
        client.read("/v1/contacts?filter[pending_consents.marketing]=true&total=true").await.expect(200).json();
    assert_eq!((&waiting["total"], &waiting["items"][0]["id"]), (&json!(1), &json!(id)));
    // A campaign to everybody goes to Bob alone: he consented.
    let everybody = json!({"filter": {}, "purpose": "marketing"});
    let campaign = mailing::schedule(&client, &everybody, "<p>News</p>", 1).await;
    mailing::finished(&client, campaign, 60).await;
    assert_eq!(mailing::states(&client, campaign).await.into_keys().collect::<Vec<_>>(), [bob]);
    mails(&sink, "bob-0@x.example", 1).await;
    mails(&sink, "Ada@x.example", 1).await;
    // Programs follow links: looking changes nothing.
    let link = link_of(mail);
    let page = anybody.get(&link).send().await.expect(200).text();
    assert!(page.contains("<button>") && page.contains("A***@x***.example"), "{page}");
    assert_eq!(anybody.ask(Method::HEAD, &link).send().await.status, 200);
    assert_eq!(shown(&client, id).await["revision"], before["revision"]);
    // The button is a consent with its evidence; again it changes nothing.
    assert!(press(&anybody, &link, 200).await.contains("Confirmed"));
    // A view may be between the events of one command.
    let all = async || shown(&client, id).await["tags"] == json!(["letter"]);
    consents(&client, id).await;
    eventually("its tags are seen", 30, all).await;
    let after = shown(&client, id).await;
    let consent = &after["consents"]["marketing"];
    assert_eq!((&consent["source"], &consent["text_version"]), (&json!("double opt-in: footer"), &json!("2026-01")));
    assert_eq!((&consent["ip"], &after["tags"]), (&json!("127.0.0.1"), &json!(["letter"])));
    assert!(consent["given_at"].as_str() > pending["asked_at"].as_str(), "{consent}");
    assert!(after["pending_consents"]["marketing"].is_null() && after["first_name"] == "Ada", "{after}");
    assert!(press(&anybody, &link, 200).await.contains("Confirmed"));
    assert!(anybody.get(&link).send().await.expect(200).text().contains("Confirmed"));
    assert_eq!(shown(&client, id).await["revision"], after["revision"]);
    // Now the next one comes. Bob kept his name, and was asked nothing.
    let campaign = mailing::schedule(&client, &everybody, "<p>More news</p>", 1).await;
    mailing::finished(&client, campaign, 60).await;
    assert!(posting::text(&mails(&sink, "Ada@x.example", 2).await[1]).contains("More news"));
    mails(&sink, "bob-0@x.example", 2).await;
    assert_eq!(shown(&client, bob).await["first_name"], "No0");
    assert!(!platform.log().contains("panicked") && !platform.log().contains("@x.example"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_over_say_so_and_do_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let (client, anybody) = (platform.client(), platform.client().with_key(""));
    let path = opened(&client, json!({})).await;
    let ask = async |email: &str| anybody.post(&path, &json!({"email": email})).send().await.expect(202);
    let link = async |email: &str, number: usize| link_of(&mails(&sink, email, number).await[number - 1]);
    let email = |name: &str| format!("{name}@x.example");
    // A form of a site; again at once it sends nothing.
    for _ in 0..2 {
        let form = anybody.ask(Method::POST, &path).body(FORM, "email=withdrawn%40x.example&tags=offers");
        assert!(form.send().await.expect(202).text().contains("mailbox"));
    }
    join_all(["erased", "kept", "left", "other"].map(email).iter().map(|email| ask(email))).await;
    // The form of a page, at the host of the site.
    let page = json!({"slug": "letter", "title": "Letter", "body":
        "<form method=\"post\" action=\"/v1/sites/{{ site.tenant }}/subscribe\"><input name=\"email\"></form>"});
    let page = client.make("/v1/pages", &page).await;
    client.post(&format!("/v1/pages/{page}/publish"), &json!({})).send().await.expect(200);
    let host = format!("{}.localhost", platform.ready.tenant);
    let visited = client.read(&format!("/sites/{}/letter", platform.ready.tenant)).await.expect(200);
    assert!(visited.text().contains(&format!("action=\"{path}\"")), "{}", visited.text());
    let form = anybody.ask(Method::POST, &path).header("host", &host).body(FORM, "email=visitor%40x.example");
    form.send().await.expect(202);
    mails(&sink, &email("visitor"), 1).await;
    // Withdrawn by somebody of the tenant, who was asked on the phone.
    let withdrawn = link(&email("withdrawn"), 1).await;
    let id = contact(&client, &email("withdrawn")).await;
    let consent = format!("/v1/contacts/{id}/consents/marketing");
    client.ask(Method::DELETE, &consent).json(&json!({"source": "phone"})).send().await.expect(200);
    assert!(press(&anybody, &withdrawn, 410).await.contains("over"));
    anybody.get(&withdrawn).send().await.expect(410);
    let contact_now = client.read(&format!("/v1/contacts/{id}")).await.expect(200).json();
    assert!(contact_now["consents"]["marketing"].is_null() && contact_now["pending_consents"]["marketing"].is_null());
    // Erased: the message is gone with the person, the link knows nobody.
    let erased = link(&email("erased"), 1).await;
    let id = contact(&client, &email("erased")).await;
    client.delete(&format!("/v1/contacts/{id}")).send().await.expect(200);
    assert!(press(&anybody, &erased, 410).await.contains("over"));
    let messages = client.get(&format!("/v1/messages?filter[contact]={id}")).send().await.expect(200).json();
    assert_eq!((&messages["items"][0]["erased"], &messages["items"][0]["to"]), (&json!(true), &Value::Null));
    // Forged, cut, and of another tenant.
    let kept = link(&email("kept"), 1).await;
    let (head, tail) = kept.split_at(kept.len() - 10);
    let forged = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    for bad in [forged.as_str(), head, "/v1/subscriptions/x"] {
        anybody.get(bad).send().await.expect(404);
        assert!(press(&anybody, bad, 404).await.contains("does not work"));
    }
    assert!(press(&anybody, &kept, 200).await.contains("Confirmed"));
    // Who left everything is asked again, and gets mail again; what a bounce did stays.
    let id = contact(&client, &email("left")).await;
    press(&anybody, &link(&email("left"), 1).await, 200).await;
    consents(&client, id).await;
    let suppress = async |name: &str, reason: &str| {
        let body = json!({"email": email(name), "reason": reason});
        client.post("/v1/suppressions", &body).send().await.expect(201);
    };
    let held = async |name: &str| {
        let body = json!({"emails": [email(name)]});
        client.post("/v1/suppressions/check", &body).send().await.expect(200).json()["items"][0]["reasons"].clone()
    };
    suppress("left", "unsubscribe_all").await;
    ask(&email("left")).await;
    let again = link(&email("left"), 2).await;
    suppress("left", "hard_bounce").await;
    assert_eq!(held("left").await, json!(["hard_bounce", "unsubscribe_all"]));
    press(&anybody, &again, 200).await;
    assert_eq!(held("left").await, json!(["hard_bounce"]));
    // Somebody who complained gets not even the question.
    suppress("angry", "complaint").await;
    ask(&email("angry")).await;
    let id = contact(&client, &email("angry")).await;
    eventually("the message is withheld", 30, async || {
        let found = client.get(&format!("/v1/messages?filter[contact]={id}")).send().await.json();
        found["items"][0]["state"] == "withheld" && found["items"][0]["cause"] == "suppressed: complaint"
    })
    .await;
    assert!(posting::mails(&sink, &email("angry")).is_empty());
    // Everybody was asked as often as told above, and no more.
    for (name, count) in [("withdrawn", 1), ("erased", 1), ("kept", 1), ("left", 2), ("other", 1)] {
        mails(&sink, &email(name), count).await;
    }
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_its_tenants_own_and_has_limits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let (client, anybody) = (platform.client(), platform.client().with_key(""));
    let other = tenant_of(&client).await;
    let (path, elsewhere) = (opened(&client, json!({})).await, opened(&other, json!({"double_opt_in": false})).await);
    assert_ne!(path, elsewhere);
    // The same address at two tenants: two contacts who know nothing of each other. One tenant asks, the other does not.
    let body = json!({"email": "ada@x.example", "tags": ["letter"]});
    for form in [&path, &elsewhere, &elsewhere] {
        anybody.post(form, &body).send().await.expect(202);
    }
    let (mine, theirs) = (contact(&client, "ada@x.example").await, contact(&other, "ada@x.example").await);
    assert_ne!(mine, theirs);
    consents(&other, theirs).await;
    let consent = shown(&other, theirs).await["consents"]["marketing"].clone();
    assert_eq!((&consent["source"], &consent["ip"]), (&json!("single opt-in: form"), &json!("127.0.0.1")));
    let link = link_of(&mails(&sink, "ada@x.example", 1).await[0]);
    other.get(&format!("/v1/contacts/{mine}")).send().await.expect(404);
    let seen = other.get("/v1/messages").send().await.expect(200).json();
    assert_eq!(seen["items"], json!([]));
    assert!(!other.get("/v1/events?limit=1000").send().await.expect(200).text().contains(&mine.to_string()));
    press(&anybody, &link, 200).await;
    consents(&client, mine).await;
    // Who may not change contacts' forms does not.
    let key = client.post("/v1/api-keys", &json!({"name": "reader", "scopes": ["crm.contact:read"]})).send().await;
    let reader = client.with_key(key.expect(201).json()["token"].as_str().expect("a token"));
    reader.get("/v1/subscription-form").send().await.refused(403, "forbidden");
    reader.put("/v1/subscription-form", &json!({})).send().await.refused(403, "forbidden");
    // Another text is another version.
    let changed = json!({"open": true, "text": "Other words", "text_version": "2026-01"});
    client.put("/v1/subscription-form", &changed).send().await.refused(409, "text_version_used");
    client.put("/v1/subscription-form", &json!({"open": true})).send().await.refused(422, "required");
    // What is not acceptable is named, in a form for people.
    let bad = [
        (json!({"email": "nobody"}), "invalid_email"),
        (json!({"email": "a@x.example", "tags": ["vip"]}), "tag_not_offered"),
        (json!({"email": "a@x.example", "purpose": "all"}), "unknown_variant"),
        (json!({"email": "a@x.example", "role": "admin"}), "unknown_field"),
        (json!({"email": "a@x.example", "first_name": "a\r\nBcc: b@x.example"}), "invalid_text"),
    ];
    for (body, code) in bad {
        anybody.post(&path, &body).send().await.refused(422, code);
    }
    let page = anybody.ask(Method::POST, &path).body(FORM, "email=nobody").send().await.expect(422).text();
    assert!(page.contains("That did not work") && page.contains("name@domain"), "{page}");
    anybody.ask(Method::POST, &path).body("text/plain", "email=a@x.example").send().await.expect(415);
    anybody.post(&path, &json!({"email": "a".repeat(20_000)})).send().await.expect(413);
    // Who fills in what nobody sees is a program. Too many requests of one network are refused, whoever sends them.
    let program = json!({"email": "program@x.example", "website": "https://spam.example"});
    let answers = join_all((0..40).map(|_| anybody.post(&path, &program).send())).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert!(count(202) > 0 && count(429) > 0 && count(202) + count(429) == 40, "{}", count(202));
    let found = client.get("/v1/contacts?filter[email][_eq]=program@x.example").send().await.expect(200).json();
    assert_eq!(found["items"], json!([]));
    // Closed: links that went out before work on.
    client.put("/v1/subscription-form", &json!({})).send().await.expect(200);
    assert!(press(&anybody, &link, 200).await.contains("Confirmed"));
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
