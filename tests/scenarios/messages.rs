//! Mail to one person: what comes, what is refused, what becomes of it when the provider fails.

use super::{tenant, unique};
use crate::support::{Platform, eventually, posting};
use serde_json::{Value, json};
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_once_however_often_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &posting::outlet(sink.address(), 2));
    let client = platform.client();
    let email = "ada@x.example";
    let contact = client.make("/v1/contacts", &json!({"email": email, "first_name": "<Ada>"})).await;
    let body = json!({"to": contact, "subject": "Your table on {{ day }}", "about": contact,
        "html": "<p>Hello {{ name }}, see you on {{ day }}: <a href=\"{{ site_url }}\">site</a></p>",
        "data": {"day": "Friday"}});
    let ask = || client.post("/v1/messages", &body).key("table-7");
    let message = ask().send().await.expect(201).id();
    assert!(ask().send().await.expect(201).is_replayed());
    let shown = posting::in_state(&client, message, "accepted", 30).await;
    assert_eq!((&shown["to"]["email"], &shown["data"]["day"]), (&json!(email), &json!("Friday")));
    assert_eq!(shown["attempts"][0]["what"], "accepted");
    let mails = posting::mails(&sink, email);
    assert_eq!(mails.len(), 1, "once");
    let text = posting::text(&mails[0]);
    for part in [
        "Subject: Your table on Friday",
        "Auto-Submitted: auto-generated",
        "From: ",
        "no-reply@garden.example",
        "&lt;Ada&gt;",
        "multipart/alternative",
        "https://garden.example/sites/",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // Check 46: no way to leave what one asked for; check 15: the Message-ID the platform names.
    assert!(!text.contains("List-Unsubscribe"), "{text}");
    let id = shown["message_ids"][0].as_str().expect("a Message-ID").to_owned();
    assert!(text.contains(&format!("Message-ID: <{id}>")), "{text}");

    // A person wants it once more: another mail, with an id of its own.
    client.post(&format!("/v1/messages/{message}/resend"), &json!({})).send().await.expect(200);
    eventually("it came again", 30, async || posting::mails(&sink, email).len() == 2).await;
    let again = |shown: &Value| shown["state"] == "accepted" && shown["generation"] == 1;
    let shown = posting::until(&client, message, "taken again", 30, again).await;
    assert_eq!(shown["message_ids"].as_array().map(Vec::len), Some(2));
    client.post(&format!("/v1/messages/{message}/cancel"), &json!({})).send().await.refused(409, "message_not_open");
    client.post(&format!("/v1/messages/{message}/retry"), &json!({})).send().await.refused(409, "message_not_parked");

    // What search knows: by contact, by state, by kind.
    for filter in
        [format!("filter[contact]={contact}"), format!("filter[about]={contact}"), "filter[state]=accepted".into()]
    {
        // The index follows the row, and what the worker wrote last is behind no command of this client.
        eventually(&format!("it is found by {filter}"), 30, async || {
            let found = client.read(&format!("/v1/messages?{filter}")).await.expect(200).json();
            found["items"].as_array().map(Vec::len) == Some(1)
        })
        .await;
    }
    let none = client.read("/v1/messages?filter[kind]=receipt").await.expect(200).json();
    assert_eq!(none["items"], json!([]));

    // An address on the list gets nothing, until it is taken off it.
    let listed =
        client.make("/v1/suppressions", &json!({"email": email, "reason": "manual", "source": "a call"})).await;
    client.post(&format!("/v1/messages/{message}/resend"), &json!({})).send().await.expect(200);
    let shown = posting::in_state(&client, message, "withheld", 30).await;
    assert_eq!(shown["cause"], "suppressed: manual");
    client.delete(&format!("/v1/suppressions/{listed}")).send().await.expect(200);

    // Erased with its receiver: it is shown as that, and cannot be sent any more.
    client.delete(&format!("/v1/contacts/{contact}")).send().await.expect(200);
    let shown = client.read(&format!("/v1/messages/{message}")).await.expect(200).json();
    assert_eq!((&shown["erased"], &shown["to"], &shown["data"]), (&json!(true), &json!(null), &json!(null)));
    client.post(&format!("/v1/messages/{message}/resend"), &json!({})).send().await.expect(200);
    let erased = |shown: &Value| shown["state"] == "withheld" && shown["cause"] == "its receiver was erased";
    posting::until(&client, message, "withheld", 30, erased).await;
    assert_eq!(posting::mails(&sink, email).len(), 2);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_mail_comes_again_with_the_same_message_id() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // The provider takes some mails and goes away without a word; over one connection after the other it repeats itself.
    let drop = Fault { at: Point::Taken, percent: 30.0, act: Act::Drop };
    let options = SinkOptions { faults: Faults::new(7, vec![drop]), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &posting::outlet(sink.address(), 1));
    let client = platform.client();
    let mut messages = Vec::new();
    for number in 0..8 {
        let contact = client.make("/v1/contacts", &json!({"email": format!("n{number}@x.example")})).await;
        messages.push((posting::send(&client, contact, "Hello").await, format!("n{number}@x.example")));
    }
    let mut again = 0;
    for (message, email) in &messages {
        let shown = posting::in_state(&client, *message, "accepted", 120).await;
        let ids = shown["message_ids"].as_array().expect("ids");
        assert_eq!(ids.len(), 1, "the same for every attempt: {shown}");
        let mails = posting::mails(&sink, email);
        let header = format!("Message-ID: <{}>", ids[0].as_str().expect("an id"));
        assert!(mails.iter().all(|mail| posting::text(mail).contains(&header)), "{header}");
        let steps = shown["attempts"].as_array().expect("attempts");
        assert_eq!(mails.len(), steps.len(), "every attempt was taken: {shown}");
        assert!(steps[..steps.len() - 1].iter().all(|step| step["what"] == "unknown"), "{shown}");
        again += steps.len() - 1;
    }
    assert!(again > 0, "nothing was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mail_is_rejected_and_a_refused_sender_waits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let faults = Faults::always(Point::Rcpt, Act::Say("550 5.1.1 <gone@x.example> unknown".into()));
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions { faults, ..SinkOptions::default() }).await;
    let sink = sink.expect("a sink");
    let platform = Platform::open_with(dir.path(), &posting::outlet(sink.address(), 1));
    let client = platform.client();
    let contact = client.make("/v1/contacts", &json!({"email": "gone@x.example"})).await;
    let message = posting::send(&client, contact, "Hello").await;
    let shown = posting::in_state(&client, message, "rejected", 30).await;
    assert_eq!(shown["cause"], "rcpt 550 5.1.1", "a code, and no address");
    // A field that is not there: nothing is sent, and a person has to look.
    let broken = json!({"to": contact, "subject": "Hello", "html": "<p>{{ nothing }}</p>"});
    let broken = client.make("/v1/messages", &broken).await;
    let shown = posting::in_state(&client, broken, "parked", 30).await;
    assert!(shown["cause"].as_str().is_some_and(|cause| cause.contains("html, line 1")), "{shown}");
    client.post(&format!("/v1/messages/{broken}/retry"), &json!({})).send().await.expect(200);
    eventually("it is parked again", 30, async || {
        let shown = client.get(&format!("/v1/messages/{broken}")).send().await.json();
        shown["state"] == "parked" && shown["attempts"].as_array().map_or(0, Vec::len) == 3
    })
    .await;
    client.post(&format!("/v1/messages/{broken}/cancel"), &json!({})).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_a_provider_and_belong_to_their_tenant() {
    let (mine, other) = (tenant().await, tenant().await);
    let contact = mine.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    let word = unique("secret");
    let message = posting::send(&mine, contact, &word).await;
    let path = format!("/v1/messages/{message}");
    assert_eq!(mine.read(&path).await.expect(200).json()["state"], "queued");
    let token = format!("eu1:{}", mine.seen());
    let see = |path: String| other.get(&path).header("consistency-token", &token);
    for reading in [path.clone(), format!("{path}/history")] {
        see(reading).send().await.refused(404, "not_found");
    }
    assert!(!see("/v1/messages".into()).send().await.expect(200).text().contains(&word));
    for act in ["cancel", "resend", "retry"] {
        other.post(&format!("{path}/{act}"), &json!({})).send().await.refused(404, "message_not_found");
    }
    // Nobody else's contact is written to.
    let body = json!({"to": contact, "subject": "x", "html": "<p>x</p>"});
    other.post("/v1/messages", &body).send().await.refused(422, "unknown_contact");
    mine.post(&format!("{path}/cancel"), &json!({})).send().await.expect(200);
    assert_eq!(mine.read(&path).await.expect(200).json()["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_message_is_refused() {
    let client = tenant().await;
    let contact = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    let body = |part: Value| {
        let mut body = json!({"to": contact, "subject": "x", "html": "<p>x</p>"});
        body.as_object_mut().expect("an object").extend(part.as_object().cloned().expect("an object"));
        body
    };
    let table = [
        (json!({"subject": "x\r\nBcc: eve@x.example"}), "invalid_text"),
        (json!({"subject": "x".repeat(201)}), "too_long"),
        (json!({"subject": ""}), "required"),
        (json!({"html": " "}), "required"),
        (json!({"html": "x".repeat(256 * 1024 + 1)}), "too_long"),
        (json!({"data": {"a": "x".repeat(64 * 1024)}}), "invalid_fields"),
        (json!({"template": "order-ready"}), "invalid_value"),
        (json!({"expires_in_hours": 0}), "invalid_life"),
        (json!({"expires_in_hours": 721}), "invalid_life"),
        (json!({"to": uuid::Uuid::from_u128(7)}), "unknown_contact"),
        (json!({"email": "eve@x.example"}), "unknown_field"),
    ];
    for (part, code) in table {
        client.post("/v1/messages", &body(part)).send().await.refused(422, code);
    }
    let nothing = json!({"to": contact});
    client.post("/v1/messages", &nothing).send().await.refused(422, "required");
    assert_eq!(client.read("/v1/messages").await.expect(200).json()["items"], json!([]));
}
