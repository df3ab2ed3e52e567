//! Where a receiver chooses what to get: the link of a mail, a page without effect, and what its buttons do.

use crate::support::{Client, Platform, eventually, mailing};
use serde_json::json;
use workers::smtp::sink::{Sink, SinkOptions};

async fn press(anybody: &Client, link: &str, form: &str) -> String {
    let ask = anybody.ask(reqwest::Method::POST, link).body("application/x-www-form-urlencoded", form.to_owned());
    ask.send().await.expect(200).text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_chooses_pauses_and_leaves() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    let audience = mailing::audience(&client, "choose", 1).await;
    let (contact, email) = audience.iter().next().expect("one");
    let campaign = mailing::launch(&client, "choose", "<p>Hi</p>").await;
    mailing::finished(&client, campaign, 60).await;
    let link = link_of(&sink);
    let anybody = client.with_key("");
    let consents =
        async || client.read(&format!("/v1/contacts/{contact}")).await.expect(200).json()["consents"].clone();
    let held = async || {
        let asked = client.post("/v1/suppressions/check", &json!({"emails": [email]})).send().await.expect(200).json();
        asked["items"][0]["reasons"].clone()
    };
    // Programs follow links: looking changes nothing, and shows nobody's address.
    let page = anybody.get(&link).send().await.expect(200);
    assert!(page.text().contains("c***@x***.example") && !page.text().contains(email.as_str()), "{}", page.text());
    assert!(!page.text().contains("<script") && page.text().contains("name=\"marketing\" checked"), "{}", page.text());
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    assert_eq!(anybody.ask(reqwest::Method::HEAD, &link).send().await.status, 200);
    assert!(consents().await["marketing"].is_object());
    // Saved: one more, one less; the consent has its evidence.
    for _ in 0..2 {
        let saved = press(&anybody, &link, "action=save&service=on").await;
        assert!(saved.contains("role=\"status\""), "{saved}");
    }
    eventually("the choice is seen", 30, async || consents().await["service"].is_object()).await;
    let now = consents().await;
    assert!(now["marketing"].is_null(), "{now}");
    assert_eq!((&now["service"]["source"], &now["service"]["ip"]), (&json!("preference page"), &json!("127.0.0.1")));
    // Paused, then wanted again.
    press(&anybody, &link, "action=pause").await;
    assert_eq!(held().await, json!(["unsubscribe_all"]));
    press(&anybody, &link, "action=save&service=on&marketing=on").await;
    assert_eq!(held().await, json!([]));
    // Nobody with a token of the log pressed the buttons: the view follows in its own time.
    eventually("they get news again", 30, async || consents().await["marketing"].is_object()).await;
    // Everything at once. What a bounce did stays when they come back.
    client.post("/v1/suppressions", &json!({"email": email, "reason": "hard_bounce"})).send().await.expect(201);
    press(&anybody, &link, "action=leave").await;
    let none = json!({"marketing": null, "service": null});
    eventually("nothing is consented to", 30, async || consents().await == none).await;
    assert_eq!(held().await, json!(["hard_bounce", "unsubscribe_all"]));
    press(&anybody, &link, "action=save&marketing=on").await;
    assert_eq!(held().await, json!(["hard_bounce"]));
    eventually("they are back", 30, async || consents().await["marketing"].is_object()).await;
    // A form that says nothing does nothing; another body is refused.
    press(&anybody, &link, "action=explode").await;
    anybody.post(&link, &json!({"action": "leave"})).send().await.expect(415);
    assert!(consents().await["marketing"].is_object());
    // Forged, or nobody's.
    let (before, at) = link.split_at(link.len() - 20);
    let forged = format!("{before}{}{}", if at.starts_with('A') { 'B' } else { 'A' }, &at[1..]);
    for bad in [forged.as_str(), "/v1/preferences/preview", "/v1/preferences/x"] {
        anybody.get(bad).send().await.expect(404);
        let ask = anybody.ask(reqwest::Method::POST, bad).body("application/x-www-form-urlencoded", "action=leave");
        ask.send().await.expect(404);
    }
    // Erased: the link says so and does nothing.
    client.delete(&format!("/v1/contacts/{contact}")).send().await.expect(200);
    assert!(press(&anybody, &link, "action=save&marketing=on").await.contains("Nothing is stored"));
}

/// The link in the plain part of the only mail.
fn link_of(sink: &Sink) -> String {
    let mailbox = sink.mailbox();
    let number = mailbox.numbers().expect("messages")[0];
    let kept = mailbox.read(number).expect("a message").expect("it is kept");
    let message = String::from_utf8_lossy(&kept.message).replace("=\r\n", "").replace("=3D", "=");
    let begin = message.find("/v1/preferences/").expect("a link");
    let end = message[begin..].find(|c: char| !c.is_ascii_alphanumeric() && !"/-_".contains(c));
    message[begin..begin + end.unwrap_or(message.len() - begin)].to_owned()
}
