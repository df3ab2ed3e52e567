//! Notifications of SES over SNS, signed by an authority of the test's own, from the signature to the bounce.

use super::{bounces::suppressed, tenant_of};
use crate::support::{
    Client, Platform, eventually, mailing, posting,
    ses::{SesDouble, SesFault},
    sns::{SnsDouble, TOPIC, confirmation, notification, signed_by_a_stranger},
};
use serde_json::{Value, json};

/// An event of SES about the mail with this tag.
fn event(kind: &str, intent: &str, more: Value) -> Value {
    let mut event = json!({"eventType": kind, "mail": {"tags": {"intent": [intent]}, "messageId": "0100018c"}});
    event.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    event
}

fn bounce(intent: &str, kind: &str, status: &str) -> Value {
    let recipients = json!([{"emailAddress": "somebody@x.example", "status": status, "action": "failed"}]);
    event("Bounce", intent, json!({"bounce": {"bounceType": kind, "bouncedRecipients": recipients}}))
}

async fn post(anybody: &Client, tenant: &str, message: &Value) -> Value {
    // SNS says text/plain.
    let ask = anybody.ask(reqwest::Method::POST, &format!("/v1/mail/sns/{tenant}"));
    ask.body("text/plain; charset=UTF-8", message.to_string()).send().await.expect(200).json()["outcome"].clone()
}

async fn refused(anybody: &Client, tenant: &str, message: &Value) -> String {
    let ask = anybody.ask(reqwest::Method::POST, &format!("/v1/mail/sns/{tenant}"));
    ask.body("text/plain", message.to_string()).send().await.refused(403, "forbidden").text()
}

/// The whole way: sent through SES (a double), and told by SNS what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn check_56_a_message_that_is_believed_leads_to_a_bounce() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (ses, sns) = (SesDouble::start(act).await, SnsDouble::start(dir.path()).await);
    let path = dir.path().join("providers.json");
    std::fs::write(&path, json!({"providers": [ses.entry(dir.path())]}).to_string()).expect("the file of providers");
    let mut environment = sns.environment("main");
    environment.extend([
        ("MILLRACE_MAIL_PROVIDERS", path.display().to_string()),
        ("MILLRACE_MAIL_FROM_DOMAIN", "garden.example".into()),
        ("MILLRACE_PUBLIC_URL", "https://garden.example".into()),
    ]);
    let platform = Platform::open_with(dir.path(), &environment);
    let (client, tenant) = (platform.client(), platform.ready.tenant.clone());
    assert_eq!(tenant, "main", "the topic is this tenant's");
    let anybody = client.with_key("");
    assert_eq!(post(&anybody, &tenant, &sns.signed(confirmation())).await, "confirmed");

    let audience = mailing::audience(&client, "sns", 5).await;
    let campaign = mailing::launch(&client, "sns", "<p>Hello</p>").await;
    mailing::finished(&client, campaign, 60).await;
    let taken = ses.taken();
    let intent = |email: &str| {
        let mail = taken.iter().find(|mail| mail.recipient == email).expect("it was sent");
        mail.tags["intent"].clone()
    };
    let people: Vec<_> = audience.iter().map(|(id, email)| (*id, email.clone(), intent(email))).collect();
    let states = mailing::states(&client, campaign).await;
    // The double never answered one of them.
    let at = people.iter().position(|(id, ..)| states[id].0 == "unknown").expect("an unknown one");
    let (lost, people) = (people[at].clone(), {
        let mut others = people;
        others.remove(at);
        others
    });

    // Check 57: the same message, and the same told under another id, has one effect.
    let gone = bounce(&people[0].2, "Permanent", "5.1.1");
    let first = sns.signed(notification("m1", &gone));
    assert_eq!(post(&anybody, &tenant, &first).await, "recorded");
    assert_eq!(post(&anybody, &tenant, &first).await, "known");
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m2", &gone))).await, "known");
    // Check 58: a delivery that is told after the bounce; a complaint before the delivery.
    let delivered = |intent: &str| event("Delivery", intent, json!({}));
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m3", &delivered(&people[0].2)))).await, "recorded");
    let spam = event("Complaint", &people[1].2, json!({"complaint": {"complaintFeedbackType": "abuse"}}));
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m4", &spam))).await, "recorded");
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m5", &delivered(&people[1].2)))).await, "recorded");
    let full = bounce(&people[2].2, "Transient", "4.2.2");
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m6", &full))).await, "recorded");
    // That SES has it proves what nobody could tell (spec/EMAIL.md 5.1).
    let has = event("Send", &lost.2, json!({}));
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m7", &has))).await, "recorded");
    assert_eq!(post(&anybody, &tenant, &sns.signed(notification("m8", &has))).await, "nothing");
    eventually("it is accepted", 20, async || mailing::states(&client, campaign).await[&lost.0].0 == "accepted").await;

    // What is not believed changes nothing, and says why.
    let victim = bounce(&people[3].2, "Permanent", "5.1.1");
    let good = sns.signed(notification("m9", &victim));
    let with = |field: &str, value: &str| {
        let mut message = good.clone();
        message[field] = json!(value);
        message
    };
    let told = |field: &str, value: &str| {
        let mut message = notification("m9", &victim);
        message[field] = json!(value);
        sns.signed(message)
    };
    let stale = bus_schema::time::Clock::System.now().plus_seconds(-3_700).to_string();
    for (message, why) in [
        (with("Message", &bounce(&people[3].2, "Permanent", "5.1.2").to_string()), "forged or changed"),
        (signed_by_a_stranger(notification("m9", &victim)), "forged or changed"),
        (told("Timestamp", &stale), "older than an hour"),
        (told("TopicArn", &format!("{TOPIC}-other")), "--sns-topic"),
        (with("SignatureVersion", "1"), "--sns-sha1"),
        (with("SigningCertURL", "https://evil.example/SimpleNotificationService-0.pem"), "certificate is not at"),
    ] {
        let said = refused(&anybody, &tenant, &message).await;
        assert!(said.contains(why), "{why}: {said}");
    }
    let stranger = tenant_of(&client).await;
    let other = stranger.get("/v1/tenant").send().await.json()["tenant"].as_str().unwrap_or("other").to_owned();
    assert!(refused(&anybody, &other, &good).await.contains("--sns-topic"), "another tenant's address");

    let report = async || {
        let path = format!("/v1/campaigns/{campaign}/report");
        client.read(&path).await.expect(200).json()["feedback"].clone()
    };
    let expected =
        json!({"bounced": {"permanent": 1, "transient": 1, "undetermined": 0}, "delivered": 2, "complained": 1});
    eventually("everything is counted once", 20, async || report().await == expected).await;
    let mut wanted =
        vec![(people[0].1.clone(), "hard_bounce".to_owned()), (people[1].1.clone(), "complaint".to_owned())];
    wanted.sort();
    eventually("two are on the list", 20, async || {
        let mut listed = suppressed(&client).await;
        listed.sort();
        listed == wanted
    })
    .await;
    // The true one is taken all the same.
    assert_eq!(post(&anybody, &tenant, &good).await, "recorded");

    // A message to one person: by its tag, and by the Message-ID SES took it with.
    for (email, by_tag) in [("ada@x.example", true), ("eve@x.example", false)] {
        let contact = client.make("/v1/contacts", &json!({"email": email, "first_name": "Ada"})).await;
        let message = posting::send(&client, contact, "Your table").await;
        let shown = posting::in_state(&client, message, "accepted", 60).await;
        let mail = ses.taken().into_iter().find(|mail| mail.recipient == email).expect("it was sent");
        let mut event = bounce(if by_tag { &mail.tags["intent"] } else { "" }, "Permanent", "5.1.1");
        if !by_tag {
            event["mail"]["commonHeaders"] =
                json!({"messageId": format!("<{}>", shown["message_ids"][0].as_str().expect("an id"))});
        }
        let told = sns.signed(notification(email, &event));
        assert_eq!(post(&anybody, &tenant, &told).await, "recorded", "{email}");
        let shown = posting::in_state(&client, message, "bounced", 30).await;
        assert_eq!(shown["cause"], "5.1.1");
        eventually("it is on the list", 20, async || {
            suppressed(&client).await.contains(&(email.to_owned(), "hard_bounce".to_owned()))
        })
        .await;
    }
    let log = platform.log();
    assert!(!log.contains("panicked") && !log.contains("@x.example"), "{log}");
}

/// Of the first five mails SES takes the third and does not answer.
fn act(number: usize) -> SesFault {
    if number == 2 { SesFault::ClosesAfter } else { SesFault::Takes }
}
