//! What comes back from a mail to one person: a message, or a test of a campaign.

use super::{
    bounces::{Peer, arf, dsn, hand_in, suppressed},
    tenant_of,
};
use crate::support::{Client, Platform, eventually, mailing, posting};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path};
use uuid::Uuid;
use workers::smtp::sink::{Kept, Sink, SinkOptions};

const FAILED: &str = "Action: failed\r\nStatus: 5.1.1";

async fn started(dir: &Path) -> (Sink, Platform, SocketAddr) {
    let sink = Sink::start(&dir.join("sink"), SinkOptions::default()).await.expect("a sink");
    // A free port, given back at once.
    let bounces = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut environment = posting::outlet(sink.address(), 2);
    environment.push(("MILLRACE_BOUNCE_LISTEN", bounces.to_string()));
    let platform = Platform::open_with(dir, &environment);
    (sink, platform, bounces)
}

/// Sends a message to a new contact; gives its id and the mail as it came.
async fn sent(client: &Client, sink: &Sink, email: &str) -> (Uuid, Kept) {
    let contact = client.make("/v1/contacts", &json!({"email": email, "first_name": "Somebody"})).await;
    let message = posting::send(client, contact, "Your table").await;
    posting::in_state(client, message, "accepted", 60).await;
    (message, posting::mails(sink, email).remove(0))
}

/// Where it comes back to, and what stands in its header.
fn address(mail: &Kept) -> (String, String) {
    let sender = mail.envelope[0].sender.clone();
    let name = sender.trim_start_matches("b-").split('@').next().expect("a local part").to_owned();
    assert!(posting::text(mail).contains(&format!("X-Millrace-Mail: {name}")), "{name}");
    (sender, name)
}

fn steps(message: &Value) -> Vec<&str> {
    message["attempts"].as_array().expect("steps").iter().filter_map(|step| step["what"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_back_shows_it_and_its_address_gets_no_more() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform, bounces) = started(dir.path()).await;
    let client = platform.client();
    let stranger = tenant_of(&client).await;

    // By the server for bounces: twice, in any case, and never for an address that was not written to.
    let (message, mail) = sent(&client, &sink, "ada@x.example").await;
    let (sender, name) = address(&mail);
    let mut peer = Peer::connect(bounces).await;
    let forged = format!("b-{}{}", if name.starts_with('a') { 'b' } else { 'a' }, &sender[3..]);
    assert!(peer.deliver(&forged, "").await.starts_with("550 5.1.1"), "{forged}");
    let away = format!("From: ada@x.example\r\nTo: {sender}\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n");
    peer.hand_in(&sender, &away).await;
    for _ in 0..2 {
        peer.hand_in(&sender.to_uppercase(), &dsn(&sender, FAILED)).await;
    }
    let shown = posting::in_state(&client, message, "bounced", 30).await;
    assert_eq!((&shown["cause"], steps(&shown)), (&json!("5.1.1"), vec!["accepted", "bounced"]), "{shown}");
    let listed = ("ada@x.example".to_owned(), "hard_bounce".to_owned());
    eventually("it is on the list", 20, async || suppressed(&client).await == [listed.clone()]).await;

    // By HTTP: a full mailbox says nothing of the address, and what comes later converges.
    let (message, mail) = sent(&client, &sink, "eve@x.example").await;
    let (sender, _) = address(&mail);
    let full = dsn(&sender, "Action: failed\r\nStatus: 4.2.2");
    for other in [&full, &dsn(&sender, FAILED)] {
        assert_eq!(hand_in(&stranger, other.clone()).await["outcome"], "unmatched", "another tenant's");
    }
    let noted = hand_in(&client, full.clone()).await;
    assert_eq!((&noted["outcome"], &noted["kind"]), (&json!("recorded"), &json!("transient")), "{noted}");
    assert_eq!((&noted["message"], &noted["campaign"]), (&json!(message), &Value::Null));
    assert_eq!(hand_in(&client, full).await["outcome"], "known");
    let delivered = dsn(&sender, "Action: delivered\r\nStatus: 2.1.5");
    assert_eq!(hand_in(&client, delivered).await["outcome"], "recorded");
    let shown = posting::until(&client, message, "told", 30, |shown| steps(shown).len() == 3).await;
    assert_eq!((&shown["state"], steps(&shown)[2]), (&json!("bounced"), "delivered"), "{shown}");
    assert_eq!(suppressed(&client).await, std::slice::from_ref(&listed));

    // Without the address: by the Message-ID of the mail that came back, for its own tenant only.
    let (message, mail) = sent(&client, &sink, "kay@x.example").await;
    let text = posting::text(&mail);
    let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("it has one").to_owned();
    let by_id = |fields: &str| {
        dsn("postmaster@garden.example", fields).replace(
            "--b1--",
            &format!("--b1\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: no-reply@garden.example\r\nMessage-ID: {id}\r\n--b1--"),
        )
    };
    assert_eq!(hand_in(&stranger, by_id(FAILED)).await["outcome"], "unmatched");
    let noted = hand_in(&client, by_id(FAILED)).await;
    assert_eq!((&noted["outcome"], &noted["message"]), (&json!("recorded"), &json!(message)), "{noted}");
    posting::in_state(&client, message, "bounced", 30).await;

    // A complaint, and that it was none; the header names the mail.
    let (message, mail) = sent(&client, &sink, "ben@x.example").await;
    let (_, name) = address(&mail);
    assert_eq!(hand_in(&stranger, arf("abuse", &name)).await["outcome"], "unmatched");
    assert_eq!(hand_in(&client, arf("abuse", &name)).await["said"], "complained");
    let complaint = ("ben@x.example".to_owned(), "complaint".to_owned());
    eventually("he is on the list", 20, async || suppressed(&client).await.contains(&complaint)).await;
    assert_eq!(hand_in(&client, arf("not-spam", &name)).await["said"], "not_spam");
    eventually("and off it", 20, async || !suppressed(&client).await.contains(&complaint)).await;
    let shown = posting::until(&client, message, "told", 30, |shown| steps(shown).len() == 3).await;
    assert_eq!(steps(&shown), ["accepted", "complained", "complaint_withdrawn"], "{shown}");

    // Another mail of it: what comes back about the first one changes nothing of that.
    client.post(&format!("/v1/messages/{message}/resend"), &json!({})).send().await.expect(200);
    let again = |shown: &Value| shown["state"] == "accepted" && shown["generation"] == 1;
    posting::until(&client, message, "taken again", 60, again).await;
    let (first, second) = (address(&mail).0, address(&posting::mails(&sink, "ben@x.example")[1]).0);
    assert_eq!(hand_in(&client, dsn(&first, "Action: failed\r\nStatus: 4.2.2")).await["outcome"], "known");
    assert_eq!(hand_in(&client, dsn(&second, FAILED)).await["outcome"], "recorded");
    posting::in_state(&client, message, "bounced", 30).await;

    // Who bounced gets nothing more, and says why.
    let contact = client.make("/v1/contacts", &json!({"email": "zoe@x.example", "first_name": "Zoe"})).await;
    let (_, mail) = {
        let message = posting::send(&client, contact, "One").await;
        posting::in_state(&client, message, "accepted", 60).await;
        (message, posting::mails(&sink, "zoe@x.example").remove(0))
    };
    assert_eq!(hand_in(&client, dsn(&address(&mail).0, FAILED)).await["outcome"], "recorded");
    let next = posting::send(&client, contact, "Two").await;
    let shown = posting::in_state(&client, next, "withheld", 30).await;
    assert_eq!(shown["cause"], "suppressed: hard_bounce");
    let log = platform.log();
    assert!(!log.contains("panicked") && !log.contains("@x.example"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_comes_back_shows_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (sink, platform, bounces) = started(dir.path()).await;
    let client = platform.client();
    let campaign = client.make("/v1/campaigns", &json!({"name": "A campaign"})).await;
    let path = format!("/v1/campaigns/{campaign}");
    let segment = json!({"filter": {"tags": {"_eq": "x"}}, "purpose": "marketing"});
    client.put(&format!("{path}/audience"), &json!({"segment": segment})).send().await.expect(200);
    let content =
        json!({"subject": "Hello", "from_name": "Garden", "from_email": "news@garden.example", "html": "<p>Hello</p>"});
    client.put(&format!("{path}/content"), &content).send().await.expect(200);
    mailing::postal_address(&client).await;
    let emails = ["me@x.example", "you@x.example", "she@x.example"];
    let sent = client.post(&format!("{path}/test"), &json!({"emails": emails})).send().await.expect(200);
    let test = sent.id();
    let senders: Vec<String> = emails.iter().map(|email| address(&posting::mails(&sink, email)[0]).0).collect();
    let named = |email: &str, to: &str| dsn(to, FAILED).replace("somebody@x.example", email);

    let mut peer = Peer::connect(bounces).await;
    for _ in 0..2 {
        peer.hand_in(&senders[1], &named("You@X.example", &senders[1])).await;
    }
    let stranger = tenant_of(&client).await;
    assert_eq!(hand_in(&stranger, dsn(&senders[2], FAILED)).await["outcome"], "unmatched");
    // A report that names somebody else puts nobody on the list.
    let noted = hand_in(&client, dsn(&senders[2], FAILED)).await;
    assert_eq!((&noted["outcome"], &noted["test"]), (&json!("recorded"), &json!(test)), "{noted}");
    let shown = client.get(&format!("{path}/tests/{test}")).send().await.expect(200).json();
    let results = shown["results"].as_array().expect("results");
    assert_eq!((&results[0]["state"], &results[0]["bounced"]), (&json!("accepted"), &Value::Null), "{shown}");
    for result in &results[1..] {
        assert_eq!((&result["bounced"], &result["status"]), (&json!("permanent"), &json!("5.1.1")), "{shown}");
    }
    let listed = [("you@x.example".to_owned(), "hard_bounce".to_owned())];
    eventually("one is on the list", 20, async || suppressed(&client).await == listed).await;
    // It counts nowhere, is nobody else's, and the next test leaves out who bounced.
    stranger.get(&format!("{path}/tests/{test}")).send().await.refused(404, "not_found");
    client.get(&format!("/v1/campaigns/{test}/tests/{test}")).send().await.refused(404, "not_found");
    let again =
        client.post(&format!("{path}/test"), &json!({"emails": ["you@x.example"]})).send().await.expect(200).json();
    assert_eq!(again["results"][0]["cause"], "suppressed: hard_bounce", "{again}");
}
