//! What the author of a campaign does before it goes out: words that are checked, a look at it as somebody, a test.

use super::{tenant, unique};
use crate::support::{Platform, mailing};
use serde_json::{Value, json};
use workers::smtp::sink::{Sink, SinkOptions};

fn content(html: &str) -> Value {
    json!({"subject": "Hello {{ first_name | default('you') }}", "preheader": "For {{ company | default('you') }}",
        "from_name": "Garden", "from_email": "news@garden.example", "html": html})
}

#[tokio::test(flavor = "multi_thread")]
async fn check_53_words_with_faults_are_refused_when_they_are_set() {
    let client = tenant().await;
    let campaign = client.make("/v1/campaigns", &json!({"name": unique("Spring ")})).await;
    let path = format!("/v1/campaigns/{campaign}/content");
    for (html, code, place) in [
        ("<p>\n{{ first_name </p>", "template_syntax", "line 2"),
        ("<p>{{ fist_name | default('x') }}</p>", "unknown_merge_field", "line 1, column 7"),
        ("<p>\n\n{{ first_name }}</p>", "missing_fallback", "line 3, column 4"),
        ("{{ email | shout }}", "template_fault", "line 1"),
    ] {
        let refused = client.put(&path, &content(html)).send().await.refused(422, code);
        let error = refused.errors().remove(0);
        assert_eq!(error["pointer"], "/html", "{error}");
        assert!(error["message"].as_str().is_some_and(|message| message.starts_with(place)), "{error}");
    }
    client.put(&path, &content("<p>{{ unsubscribe_url }}</p>")).send().await.expect(200);
    // Mail about a service has no link to unsubscribe: that shows when it is scheduled.
    let segment = json!({"filter": {}, "purpose": "service"});
    let audience = format!("/v1/campaigns/{campaign}/audience");
    client.put(&audience, &json!({"segment": segment})).send().await.expect(200);
    let when = json!({"at": "2027-05-01T09:00:00Z", "time_zone": "UTC"});
    let schedule = format!("/v1/campaigns/{campaign}/schedule");
    let refused = client.post(&schedule, &when).send().await.refused(409, "unknown_merge_field");
    assert_eq!(refused.errors()[0]["pointer"], "/content/html");
    client.put(&path, &content("<p>{{ preferences_url }}</p>")).send().await.expect(200);
    client.post(&schedule, &when).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_looked_at_as_a_contact_without_any_effect() {
    let (client, stranger) = (tenant().await, tenant().await);
    mailing::postal_address(&client).await;
    let email = format!("{}@x.example", unique("ada"));
    let ada = json!({"email": email, "first_name": "<Ada>"});
    let ada = client.make("/v1/contacts", &ada).await;
    let campaign = client.make("/v1/campaigns", &json!({"name": unique("Spring ")})).await;
    let path = format!("/v1/campaigns/{campaign}");
    let preview = format!("{path}/preview");
    // A draft without anything can be looked at too.
    let empty = client.post(&preview, &json!({})).send().await.expect(200).json();
    assert!(empty["warnings"].to_string().contains("subject_missing"), "{empty}");
    let html = "<p>Hi {{ first_name | default('you') }}{% if company and company == 'X' %}{{ city }}{% endif %}\
        <a href=\"http://x.example\">x</a><img src=\"https://x.example/a.png\"></p>";
    client.put(&format!("{path}/content"), &content(html)).send().await.expect(200);
    let before = client.read(&path).await.expect(200).revision();
    let seen = client.post(&preview, &json!({"contact": ada})).send().await.expect(200).json();
    assert_eq!((&seen["subject"], &seen["preheader"]), (&json!("Hello <Ada>"), &json!("For you")));
    let (html, text) = (seen["html"].as_str().expect("html"), seen["text"].as_str().expect("text"));
    assert!(html.contains("Hi &lt;Ada&gt;") && text.contains("Hi <Ada>"), "{seen}");
    // Check 45: whose mail it is and where to leave, in both parts.
    for part in [html.replace("&amp;", "&"), text.to_owned()] {
        assert!(part.contains("Garden & Sons") && part.contains("1 Example Street"), "{part}");
        assert!(part.contains("unsubscribe") && part.contains("preferences"), "{part}");
    }
    let codes: Vec<&str> =
        seen["warnings"].as_array().expect("warnings").iter().filter_map(|warning| warning["code"].as_str()).collect();
    assert_eq!(codes, ["insecure_link", "image_without_alt", "cannot_be_sent", "no_consent"]);
    client.post("/v1/suppressions", &json!({"email": email})).send().await.expect(201);
    let held = client.post(&preview, &json!({"contact": ada})).send().await.expect(200).json();
    assert!(held["warnings"].to_string().contains("suppression list: manual"), "{held}");
    // What this receiver lacks is an error here.
    client.patch(&format!("/v1/contacts/{ada}"), &json!({"company": "X"})).send().await.expect(200);
    let refused = client.post(&preview, &json!({"contact": ada})).send().await.refused(422, "missing_field");
    assert_eq!(refused.errors()[0]["pointer"], "/content/html");
    assert!(!refused.text().contains("Ada"), "{}", refused.text());
    client.post(&preview, &json!({"contact": campaign})).send().await.refused(422, "unknown_contact");
    client.post(&preview, &json!({"contat": ada})).send().await.expect(422);
    assert_eq!(client.read(&path).await.expect(200).revision(), before, "looking records nothing");
    // Another tenant sees neither the campaign nor the contact.
    stranger.post(&preview, &json!({})).send().await.refused(404, "campaign_not_found");
    let other = stranger.make("/v1/campaigns", &json!({"name": "Other"})).await;
    let other = format!("/v1/campaigns/{other}/preview");
    stranger.post(&other, &json!({"contact": ada})).send().await.refused(422, "unknown_contact");
    // Personal data only for those who may read contacts.
    let key = json!({"name": "mailer", "scopes": ["mail.*:*"]});
    let key = client.post("/v1/api-keys", &key).send().await.expect(201).json();
    let mailer = client.with_key(key["token"].as_str().expect("a token"));
    mailer.post(&preview, &json!({})).send().await.expect(200);
    mailer.post(&preview, &json!({"contact": ada})).send().await.refused(403, "forbidden");
    let test = json!({"emails": ["me@x.example"]});
    mailer.post(&format!("{path}/test"), &test).send().await.refused(409, "campaign_unfit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_once_and_counts_nowhere() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    mailing::postal_address(&client).await;
    let campaign = client.make("/v1/campaigns", &json!({"name": "Spring"})).await;
    let path = format!("/v1/campaigns/{campaign}");
    let test = format!("{path}/test");
    client.post(&test, &json!({"emails": ["me@x.example"]})).send().await.refused(409, "campaign_unfit");
    let html = "<p>Hi {{ first_name | default('you') }}</p>";
    client.put(&format!("{path}/content"), &content(html)).send().await.expect(200);
    client
        .post("/v1/suppressions", &json!({"email": "gone@x.example", "reason": "hard_bounce"}))
        .send()
        .await
        .expect(201);
    let body = json!({"emails": ["Me@x.example", "gone@x.example", "you@x.example"]});
    let first = client.post(&test, &body).key("test-1").send().await.expect(200);
    let states = |answer: &Value| -> Vec<String> {
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| result["state"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(states(&first.json()), ["accepted", "skipped", "accepted"], "{}", first.text());
    assert_eq!(sink.counts().taken, 2);
    let again = client.post(&test, &body).key("test-1").send().await.expect(200);
    assert!(again.is_replayed());
    assert_eq!(again.json(), first.json());
    client.post(&test, &json!({"emails": ["x@x.example"]})).key("test-1").send().await.expect(422);
    assert_eq!(sink.counts().taken, 2, "the same request sends nothing");
    let mailbox = sink.mailbox();
    let number = mailbox.numbers().expect("messages")[0];
    let kept = mailbox.read(number).expect("a message").expect("it is kept");
    let message = String::from_utf8_lossy(&kept.message).into_owned();
    assert!(message.contains("Subject: [Test] Hello Alex"), "{message}");
    assert!(message.contains("/v1/unsubscribe/preview"), "its links lead nowhere: {message}");
    // To contacts, each with their own words.
    let ada = client.make("/v1/contacts", &json!({"email": "ada@x.example", "first_name": "Ada"})).await;
    let sent = client.post(&test, &json!({"contacts": [ada]})).send().await.expect(200).json();
    assert_eq!(states(&sent), ["accepted"]);
    for (body, code) in [
        (json!({}), "required"),
        (json!({"emails": ["nobody"]}), "invalid_email"),
        (json!({"emails": vec!["a@x.example"; 11]}), "too_many"),
        (json!({"emails": ["a@x.example"], "contacts": [ada]}), "invalid_value"),
        (json!({"contacts": [campaign]}), "unknown_contact"),
    ] {
        client.post(&test, &body).send().await.refused(422, code);
    }
    // Nothing of it is in the campaign or in clear in the log.
    let progress = client.read(&format!("{path}/progress")).await.expect(200).json();
    assert_eq!(progress["counts"]["accepted"], 0);
    let events = client.get("/v1/events?limit=200").send().await.expect(200).text();
    assert!(events.contains("test_send.finished") && !events.contains("you@x.example"), "{events}");
    // An hour has sixty.
    let ten = json!({"emails": vec!["me@x.example"; 10]});
    let mut last = 200;
    for _ in 0..7 {
        last = client.post(&test, &ten).send().await.status;
    }
    assert_eq!(last, 429);
}
