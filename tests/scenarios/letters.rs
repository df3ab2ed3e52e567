//! Mail that goes out by itself: receipts, enrolments, links to passwords; and what a tenant may say in them.

use super::{fulfilments, tenant, unique};
use crate::support::{Client, Platform, eventually, posting};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use workers::smtp::sink::{Sink, SinkOptions};

async fn started(dir: &Path) -> (Sink, Platform) {
    let sink = Sink::start(&dir.join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir, &posting::outlet(sink.address(), 2));
    (sink, platform)
}

async fn named_sender(client: &Client, more: Value) {
    let mut settings =
        json!({"sender": {"name": "Garden", "email": "shop@garden.example", "reply_to": "help@garden.example"}});
    settings.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    client.put("/v1/mail/settings", &settings).send().await.expect(200);
}

/// A paid order of two cans; `at` says when it happened.
async fn paid_order(client: &Client, product: uuid::Uuid, email: &str, at: Option<&str>) -> uuid::Uuid {
    let order = json!({"currency": "EUR", "buyer": {"name": "Ada <b>Lovelace", "email": email, "address": ["1 Garden Lane"]},
        "lines": [{"product": product, "quantity": 2}]});
    let when = |ask: crate::support::Ask| match at {
        Some(at) => ask.header("millrace-happened-at", at),
        None => ask,
    };
    let id = when(client.post("/v1/orders", &order)).send().await.expect(201).id();
    let payments = format!("/v1/orders/{id}/payments");
    let part = |amount: i64, reference: &str| json!({"amount": {"amount": amount, "currency": "EUR"}, "method": "card", "reference": reference});
    when(client.post(&payments, &part(1_000, "a"))).send().await.expect(200);
    when(client.post(&payments, &part(1_500, "b"))).send().await.expect(200);
    id
}

async fn can(client: &Client) -> uuid::Uuid {
    let sku = unique("can-");
    let product =
        json!({"sku": sku, "name": "Watering can", "price": {"amount": 1_250, "currency": "EUR"}, "on_hand": 100});
    let id = client.make("/v1/products", &product).await;
    client.post(&format!("/v1/products/{id}/publish"), &json!({})).send().await.expect(200);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_makes_one_receipt_and_history_none() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let client = platform.client();
    let product = can(&client).await;
    paid_order(&client, product, "before@x.example", None).await;
    named_sender(&client, json!({})).await;
    paid_order(&client, product, "history@x.example", Some("2025-03-05T14:00:00Z")).await;
    let order = paid_order(&client, product, "ada@x.example", None).await;
    let messages = format!("/v1/messages?filter[about]={order}");
    eventually("the receipt is requested", 30, async || {
        let found = client.get(&messages).send().await.json();
        found["items"][0]["state"] == "accepted"
    })
    .await;
    let mails = posting::mails(&sink, "ada@x.example");
    assert_eq!(mails.len(), 1, "the payment that completes it is the one reason");
    let text = posting::text(&mails[0]);
    for part in
        ["25.00 EUR", "2 x Watering can", "shop@garden.example", "Reply-To: <help@garden.example>", "&lt;b&gt;Lovelace"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // Seen again from the beginning, the same events ask for nothing new.
    let place = platform.worker_places().join("reasons.json");
    platform.stop();
    std::fs::remove_file(place).expect("the place was kept");
    let platform = Platform::open_with(dir.path(), &posting::outlet(sink.address(), 2));
    let client = client.at(&platform.ready.url);
    let last = paid_order(&client, product, "last@x.example", None).await;
    eventually("a later one comes", 30, async || !posting::mails(&sink, "last@x.example").is_empty()).await;
    // The index follows the row, and what the worker wrote is behind no command of this client.
    eventually("it is found by its order", 30, async || {
        let found = client.read(&format!("/v1/messages?filter[about]={last}")).await.json();
        found["items"][0]["kind"] == "receipt"
    })
    .await;
    assert_eq!(posting::mails(&sink, "ada@x.example").len(), 1);
    for nobody in ["before@x.example", "history@x.example"] {
        assert!(posting::mails(&sink, nobody).is_empty(), "{nobody}");
    }
    // Switched off, nobody is written to.
    named_sender(&client, json!({"reasons": {"receipt": false}})).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    paid_order(&client, product, "off@x.example", None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(posting::mails(&sink, "off@x.example").is_empty());
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_told_in_the_tenants_own_words() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let client = platform.client();
    // The sender was named an hour ago; what is recorded now as of half an hour ago was brought in.
    let past = |seconds: i64| bus_schema::time::Clock::System.now().plus_seconds(-seconds).to_string();
    let sender = json!({"sender": {"name": "Garden", "email": "shop@garden.example"}});
    client.put("/v1/mail/settings", &sender).header("millrace-happened-at", &past(3_600)).send().await.expect(200);
    let product = can(&client).await;
    paid_order(&client, product, "history@x.example", Some(&past(1_800))).await;
    let words = json!({"subject": "Willkommen: {{ course }}", "html": "<p>Hallo {{ name }}, {{ lessons }} Lektion: {{ link }}</p>"});
    client.put("/v1/mail/templates/enrolment", &words).send().await.expect(200);
    let course = client.make("/v1/courses", &json!({"title": "Pruning roses"})).await;
    let lesson = json!({"title": "Tools", "kind": "page", "minutes": 10, "required": true});
    let added = client.post(&format!("/v1/courses/{course}/lessons"), &lesson).send().await;
    assert!(matches!(added.status, 200 | 201), "{}", added.text());
    client.post(&format!("/v1/courses/{course}/publish"), &json!({})).send().await.expect(200);
    let contact = client.make("/v1/contacts", &json!({"email": "eve@x.example", "first_name": "Eve"})).await;
    client.make("/v1/enrolments", &json!({"course": course, "contact": contact})).await;
    eventually("the mail comes", 30, async || !posting::mails(&sink, "eve@x.example").is_empty()).await;
    let text = posting::text(&posting::mails(&sink, "eve@x.example")[0]);
    assert!(posting::mails(&sink, "history@x.example").is_empty(), "history writes to nobody");
    assert!(text.contains("Subject: Willkommen: Pruning roses") && text.contains("Hallo Eve, 1 Lektion"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bought_a_course_long_ago_is_enrolled_and_told_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let client = platform.client();
    let past = |seconds: i64| bus_schema::time::Clock::System.now().plus_seconds(-seconds).to_string();
    // Named before the history happened: only that it was brought in keeps its mails back.
    let sender = json!({"sender": {"name": "Garden", "email": "shop@garden.example"}});
    client.put("/v1/mail/settings", &sender).header("millrace-happened-at", &past(3_600)).send().await.expect(200);
    let course = fulfilments::course(&client, None).await;
    let product = fulfilments::product(&client, Some(course)).await;
    let bought = async |name: &str, at: Option<String>| {
        let email = format!("{name}@x.example");
        let contact = client.make("/v1/contacts", &json!({"email": email})).await;
        let when = |ask: crate::support::Ask| match &at {
            Some(at) => ask.header("millrace-happened-at", at),
            None => ask,
        };
        let order = json!({"contact": contact, "buyer": {"name": "Ada", "email": email}, "currency": "EUR",
            "lines": [{"product": product, "quantity": 1}]});
        let order = when(client.post("/v1/orders", &order)).send().await.expect(201).id();
        let payment = json!({"amount": {"amount": 5_000, "currency": "EUR"}, "method": "card", "reference": name});
        when(client.post(&format!("/v1/orders/{order}/payments"), &payment)).send().await.expect(200);
        fulfilments::line(&client, order, product, "enrolled").await;
    };
    let then = past(1_800);
    bought("history", Some(then.clone())).await;
    bought("today", None).await;
    // A receipt and a word of the course.
    eventually("both mails come", 30, async || posting::mails(&sink, "today@x.example").len() == 2).await;
    assert!(posting::mails(&sink, "history@x.example").is_empty(), "history writes to nobody");
    let events = client.get("/v1/events?kind=enrolment.enrolled&limit=1000").send().await.expect(200).json();
    let items = events["items"].as_array().expect("items");
    assert_eq!(items.len(), 2, "{events}");
    assert!(items[0].to_string().contains(&then), "it is of the time of its payment: {}", items[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_once_by_the_link_of_a_mail() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let (client, ready) = (platform.client(), &platform.ready);
    let anybody = client.with_key("");
    let session = anybody
        .post("/v1/sessions", &json!({"tenant": ready.tenant, "email": ready.email, "password": ready.password}))
        .send()
        .await
        .expect(201);
    let signed_in = client.with_key(session.json()["token"].as_str().expect("a token"));
    // Everybody is answered alike: somebody, nobody, no tenant, no address.
    let ask =
        |tenant: &str, email: &str| anybody.post("/v1/password_resets", &json!({"tenant": tenant, "email": email}));
    for (tenant, email) in
        [(&*ready.tenant, &*ready.email), (&ready.tenant, "nobody@x.example"), ("nowhere", "a@x.example"), ("!", "?")]
    {
        let answer = ask(tenant, email).send().await.expect(202);
        assert_eq!(answer.text(), "", "{tenant} {email}");
    }
    eventually("the mail comes", 30, async || !posting::mails(&sink, &ready.email).is_empty()).await;
    let text = posting::text(&posting::mails(&sink, &ready.email)[0]);
    let begin =
        text.find("https://garden.example/v1/password_resets/").expect("a link") + "https://garden.example".len();
    let link: String = text[begin..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/_-.".contains(*c)).collect();
    let token = link.rsplit('/').next().expect("a token").trim_end_matches('.').to_owned();
    let link = format!("/v1/password_resets/{token}");
    // The log does not have what opens the account.
    let events = client.read("/v1/events?limit=1000").await.expect(200).text();
    assert!(events.contains("account.reset_asked") && !events.contains(&token));
    let message = client.read("/v1/messages?filter[kind]=password_reset").await.expect(200).text();
    assert!(!message.contains(&token));
    // Looking changes nothing; rules of passwords hold; a forged link opens nothing.
    for _ in 0..2 {
        assert!(anybody.get(&link).send().await.expect(200).text().contains("new-password"));
    }
    let choose = |link: &str, password: &str| anybody.post(link, &json!({"password": password}));
    choose(&link, "short").send().await.refused(422, "password_too_short");
    let forged = format!("{}{}", &link[..link.len() - 1], if link.ends_with('A') { 'B' } else { 'A' });
    choose(&forged, "Another-9-tulip").send().await.refused(404, "reset_not_valid");
    anybody.get(&forged).send().await.expect(404);
    // The page's own form.
    let form = anybody.ask(reqwest::Method::POST, &link);
    let done = form.body("application/x-www-form-urlencoded", "password=Another-9-tulip").send().await.expect(200);
    assert!(done.text().contains("Your password is set"), "{}", done.text());
    choose(&link, "Third-7-tulips").send().await.refused(404, "reset_not_valid");
    signed_in.get("/v1/me").send().await.refused(401, "unauthenticated");
    let login = |password: &str| json!({"tenant": ready.tenant, "email": ready.email, "password": password});
    anybody.post("/v1/sessions", &login(&ready.password)).send().await.expect(401);
    anybody.post("/v1/sessions", &login("Another-9-tulip")).send().await.expect(201);
    // A second mail within minutes is not sent.
    ask(&ready.tenant, &ready.email).send().await.expect(202);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(posting::mails(&sink, &ready.email).len(), 1);
    assert!(!platform.log().contains(&token) && !platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_invited_chooses_a_password() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform) = started(dir.path()).await;
    let client = platform.client();
    let account =
        json!({"email": "new@x.example", "name": "Newton", "password": unique("Long-1-"), "roles": ["editor"]});
    let account = client.make("/v1/accounts", &account).await;
    client.post(&format!("/v1/accounts/{account}/invitation"), &json!({})).send().await.expect(200);
    eventually("the mail comes", 30, async || !posting::mails(&sink, "new@x.example").is_empty()).await;
    let text = posting::text(&posting::mails(&sink, "new@x.example")[0]);
    assert!(text.contains("/v1/password_resets/") && text.contains("Newton"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_tried_before_they_are_taken() {
    let (mine, other) = (tenant().await, tenant().await);
    let template = "/v1/mail/templates/receipt";
    let shown = mine.read(template).await.expect(200).json();
    assert_eq!((&shown["built_in"], &shown["own"]), (&json!(true), &json!(false)));
    let set = |part: Value| {
        let mut words = json!({"subject": "Receipt {{ order }}", "html": "<p>{{ total | money }}</p>"});
        words.as_object_mut().expect("an object").extend(part.as_object().cloned().expect("an object"));
        mine.put(template, &words)
    };
    for (part, code) in [
        (json!({"html": "<p>{{ totl | money }}</p>"}), "invalid_template"),
        (json!({"html": "<p>{% if %}</p>"}), "invalid_template"),
        (
            json!({"html": "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"}),
            "invalid_template",
        ),
        (json!({"subject": "a\r\nBcc: eve@x.example"}), "invalid_text"),
        (json!({"subject": ""}), "required"),
        (json!({"html": "x".repeat(300_000)}), "too_long"),
    ] {
        set(part.clone()).send().await.refused(422, code);
    }
    let fault = set(json!({"html": "<p>\n{{ totl }}</p>"})).send().await.expect(422);
    assert_eq!(fault.errors()[0]["pointer"], "/html");
    set(json!({})).send().await.expect(200);
    assert_eq!(mine.read(template).await.json()["own"], true);
    assert_eq!(other.read(template).await.json()["own"], false, "another tenant's words are its own");
    let look = |body: Value| mine.post(&format!("{template}/preview"), &body);
    assert_eq!(look(json!({})).send().await.expect(200).json()["html"], "<p>34.90 EUR</p>");
    let data = json!({"data": {"total": {"amount": 5, "currency": "JPY"}}, "text": "{{ total | money }}"});
    assert_eq!(look(data).send().await.expect(200).json()["text"], "5 JPY");
    look(json!({"html": "{{ nothing }}"})).send().await.refused(422, "invalid_template");
    mine.delete(template).send().await.expect(200);
    assert_eq!(mine.read(template).await.json()["own"], false);
    // A template of the tenant's own, and a message made from it.
    let ready = json!({"subject": "Ready", "html": "<p>Order {{ number }} is ready.</p>"});
    mine.put("/v1/mail/templates/order-ready", &ready).send().await.expect(200);
    mine.put("/v1/mail/templates/Order", &ready).send().await.refused(422, "invalid_template_name");
    let names = mine.read("/v1/mail/templates").await.json()["items"].as_array().map(Vec::len);
    assert_eq!(names, Some(7));
    let contact = mine.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    let body = json!({"to": contact, "template": "order-ready", "data": {"number": 7}});
    let message = mine.make("/v1/messages", &body).await;
    assert_eq!(mine.read(&format!("/v1/messages/{message}")).await.json()["template"], "order-ready");
    let unknown = json!({"to": contact, "template": "nothing"});
    mine.post("/v1/messages", &unknown).send().await.refused(422, "unknown_template");
    let broken = json!({"to": contact, "subject": "x", "html": "<p>{% if %}</p>"});
    mine.post("/v1/messages", &broken).send().await.refused(422, "invalid_template");
    other.get("/v1/mail/templates/order-ready").send().await.refused(404, "not_found");
    mine.delete("/v1/mail/templates/nothing").send().await.refused(404, "template_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_are_addresses_this_platform_sends_for() {
    let client = tenant().await;
    let set = |sender: Value| client.put("/v1/mail/settings", &json!({"sender": sender}));
    set(json!({"name": "Garden", "email": "nobody"})).send().await.refused(422, "invalid_sender");
    set(json!({"name": "a\r\nBcc: eve@x.example", "email": "a@garden.example"}))
        .send()
        .await
        .refused(422, "invalid_text");
    set(json!({"name": "", "email": "a@garden.example"})).send().await.refused(422, "required");
    set(json!({"name": "Garden", "email": "a@garden.example"})).send().await.expect(200);
    let shown = client.read("/v1/mail/settings").await.expect(200).json();
    assert_eq!((&shown["sender"]["email"], &shown["reasons"]["receipt"]), (&json!("a@garden.example"), &json!(true)));
    assert!(shown["obstacle"].as_str().is_some_and(|why| why.contains("--mail-host")), "{shown}");
    let wanted = json!({"name": "reader", "scopes": ["mail.message:read"]});
    let key = client.post("/v1/api-keys", &wanted).send().await.expect(201);
    let reader = client.with_key(key.json()["token"].as_str().expect("a token"));
    reader.get("/v1/mail/settings").send().await.refused(403, "forbidden");
    reader.get("/v1/messages").send().await.expect(200);
    reader.post("/v1/messages", &json!({})).send().await.refused(403, "forbidden");
}
