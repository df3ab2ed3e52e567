//! What comes back from a campaign's mails: bounces by SMTP and by HTTP, complaints, refusals while it was sent.

use super::tenant_of;
use crate::support::{Client, Platform, eventually, mailing};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use uuid::Uuid;
use workers::smtp::sink::{Sink, SinkOptions};

/// A report that a mail could not be delivered, or what else the fields say.
pub(super) fn dsn(to: &str, fields: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example\r\nTo: {to}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\nContent-Type: \
         multipart/report; report-type=delivery-status; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; \
         somebody@x.example\r\n{fields}\r\n\r\n--b1--\r\n"
    )
}

/// A report of a mailbox about the mail with this header.
pub(super) fn arf(kind: &str, mail: &str) -> String {
    format!(
        "From: fbl@mailbox.example\r\nTo: fbl@garden.example\r\nSubject: FW\r\nMIME-Version: 1.0\r\nContent-Type: \
         multipart/report; report-type=feedback-report; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nA report.\r\n\
         --b2\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nVersion: 1\r\n\r\n--b2\r\nContent-Type: \
         message/rfc822\r\n\r\nFrom: news@garden.example\r\nX-Millrace-Mail: {mail}\r\nSubject: Hello\r\n\r\nHello\r\n--b2--\r\n"
    )
}

/// Speaks SMTP and gives the last answer to each command.
pub(super) struct Peer(BufReader<TcpStream>);

impl Peer {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self(BufReader::new(TcpStream::connect(address).await.expect("it listens")));
        assert!(peer.answer().await.starts_with("220"));
        assert!(peer.say("EHLO mx.example").await.starts_with("250"));
        peer
    }

    async fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.expect("an answer");
            if line.get(3..4) != Some("-") {
                return line;
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.expect("it is taken");
        self.answer().await
    }

    pub(super) async fn deliver(&mut self, to: &str, message: &str) -> String {
        assert!(self.say("MAIL FROM:<>").await.starts_with("250"));
        let answer = self.say(&format!("RCPT TO:<{to}>")).await;
        if !answer.starts_with("250") {
            self.say("RSET").await;
            return answer;
        }
        assert!(self.say("DATA").await.starts_with("354"));
        self.say(&format!("{message}.")).await
    }
}

impl Peer {
    /// Delivers what is taken.
    pub(super) async fn hand_in(&mut self, to: &str, message: &str) {
        let answer = self.deliver(to, message).await;
        assert!(answer.starts_with("250"), "{answer}");
    }
}

/// The address each mail comes back to, by receiver.
fn senders(sink: &Sink) -> BTreeMap<String, String> {
    sink.taken().expect("the ledger").into_iter().map(|taken| (taken.recipient, taken.sender)).collect()
}

pub(super) async fn hand_in(client: &Client, message: String) -> Value {
    let ask = client.ask(reqwest::Method::POST, "/v1/mail/inbound").body("message/rfc822", message);
    ask.send().await.expect(200).json()
}

pub(super) async fn suppressed(client: &Client) -> Vec<(String, String)> {
    let items = client.all("/v1/suppressions").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = |item: &Value| item["reasons"].as_array().cloned().unwrap_or_default();
    let entry = |item: &Value| -> Vec<(String, String)> {
        reasons(item).iter().map(|reason| (text(&item["email"]), text(&reason["reason"]))).collect()
    };
    items.iter().flat_map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bounces_and_complaints_come_back_and_keep_addresses_from_more_mail() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    // A free port, given back at once.
    let bounces = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut environment = mailing::outlet(sink.address(), 4);
    environment.push(("MILLRACE_BOUNCE_LISTEN", bounces.to_string()));
    let platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "back", 6).await;
    let campaign = mailing::launch(&client, "back", "<p>Hello</p>").await;
    mailing::finished(&client, campaign, 60).await;
    let senders = senders(&sink);
    let people: Vec<(Uuid, String, String)> =
        audience.iter().map(|(id, email)| (*id, email.clone(), senders[email].clone())).collect();
    let failed = "Action: failed\r\nStatus: 5.1.1";

    // Check 3: only addresses of mails that were sent are taken.
    let mut peer = Peer::connect(bounces).await;
    let forged = format!("b-{}{}", "a".repeat(30), &people[0].2[32..]);
    for nobody in ["news@garden.example", "b-x@garden.example", forged.as_str()] {
        assert!(peer.deliver(nobody, "").await.starts_with("550 5.1.1"), "{nobody}");
    }
    // Checks 54 and 57: the same report twice has one effect; what is delayed or an answer has none.
    for _ in 0..2 {
        peer.hand_in(&people[0].2, &dsn(&people[0].2, failed)).await;
    }
    let delayed = dsn(&people[1].2, "Action: delayed\r\nStatus: 4.4.1");
    peer.hand_in(&people[1].2, &delayed).await;
    let away =
        format!("From: ada@x.example\r\nTo: {}\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n", people[1].2);
    peer.hand_in(&people[1].2.to_uppercase(), &away).await;
    let large = format!("Subject: x\r\n\r\n{}", "x\r\n".repeat(500_000));
    assert!(peer.deliver(&people[1].2, &large).await.starts_with("552"));
    assert!(peer.say("QUIT").await.starts_with("221"));

    // By HTTP; check 58: a full mailbox, then for good, then a late delivery.
    let noted = hand_in(&client, dsn(&people[2].2, "Action: failed\r\nStatus: 4.2.2")).await;
    assert_eq!(
        (&noted["outcome"], &noted["kind"], &noted["status"]),
        (&json!("recorded"), &json!("transient"), &json!("4.2.2"))
    );
    assert_eq!(noted["contact"], people[2].0.to_string());
    assert_eq!(hand_in(&client, dsn(&people[2].2, failed)).await["outcome"], "recorded");
    assert_eq!(hand_in(&client, dsn(&people[2].2, failed)).await["outcome"], "known");
    let delivered = hand_in(&client, dsn(&people[2].2, "Action: delivered\r\nStatus: 2.1.5")).await;
    assert_eq!((&delivered["outcome"], &delivered["said"]), (&json!("recorded"), &json!("delivered")));
    // Check 55: complaints are matched by the header of the mail; one is taken back.
    let token = |sender: &str| sender.trim_start_matches("b-").split('@').next().expect("a local part").to_owned();
    for person in &people[3..5] {
        assert_eq!(hand_in(&client, arf("abuse", &token(&person.2))).await["said"], "complained");
    }
    assert_eq!(hand_in(&client, arf("not-spam", &token(&people[4].2))).await["said"], "not_spam");
    assert_eq!(hand_in(&client, dsn("postmaster@garden.example", failed)).await["outcome"], "unmatched");
    assert_eq!(hand_in(&client, away).await["outcome"], "no_report");

    let path = format!("/v1/campaigns/{campaign}");
    let report = async || client.read(&format!("{path}/report")).await.expect(200).json()["feedback"].clone();
    let expected =
        json!({"bounced": {"permanent": 2, "transient": 0, "undetermined": 0}, "delivered": 1, "complained": 1});
    eventually("everything is counted", 20, async || report().await == expected).await;
    let (hard, complaint) = ("hard_bounce".to_owned(), "complaint".to_owned());
    let mut wanted =
        vec![(people[0].1.clone(), hard.clone()), (people[2].1.clone(), hard), (people[3].1.clone(), complaint)];
    wanted.sort();
    eventually("they are on the list", 20, async || {
        let mut listed = suppressed(&client).await;
        listed.sort();
        listed == wanted
    })
    .await;
    let items = client.all(&format!("{path}/recipients")).await;
    let mine = items.iter().find(|item| item["contact"] == people[0].0.to_string().as_str()).expect("listed");
    assert_eq!(mine["feedback"]["bounce"]["status"], "5.1.1", "{mine}");
    let table = client.read(&format!("{path}/recipients.csv")).await.expect(200).text();
    assert!(table.contains(",permanent,5.1.1,"), "{table}");

    // Another tenant's key finds nothing of it; a key without the right may not; another form is refused.
    let stranger = tenant_of(&client).await;
    assert_eq!(hand_in(&stranger, dsn(&people[5].2, failed)).await["outcome"], "unmatched");
    assert_eq!(report().await, expected);
    let made =
        client.post("/v1/api-keys", &json!({"name": "r", "scopes": ["mail.campaign:read"]})).send().await.expect(201);
    let reader = client.with_key(made.json()["token"].as_str().expect("a token"));
    let ask = reader.ask(reqwest::Method::POST, "/v1/mail/inbound").body("message/rfc822", "x");
    ask.send().await.refused(403, "forbidden");
    client.post("/v1/mail/inbound", &json!({})).send().await.refused(415, "unsupported_media_type");

    // The next campaign leaves out who bounced or complained.
    let next = mailing::launch(&client, "back", "<p>Again</p>").await;
    mailing::finished(&client, next, 60).await;
    let again = sink.taken().expect("the ledger").len();
    assert_eq!(again, 6 + 3);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_56_a_message_of_sns_is_not_believed_by_its_word() {
    let owner = super::tenant().await;
    let anybody = owner.with_key("");
    let path = "/v1/mail/sns/main";
    let message = json!({"Type": "Notification", "MessageId": "m1", "TopicArn": "arn:aws:sns:eu-west-1:1:mails",
        "Message": "{}", "Timestamp": "2026-01-01T00:00:00Z", "SignatureVersion": "2", "Signature": "AAAA",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem"});
    // Nobody named a topic on this platform.
    let refused = anybody.post(path, &message).send().await.refused(403, "forbidden");
    assert!(refused.text().contains("--sns-topic"), "{}", refused.text());

    let dir = tempfile::tempdir().expect("a temporary folder");
    let topics = [("MILLRACE_SNS_TOPICS", "main=arn:aws:sns:eu-west-1:1:mails".to_owned())];
    let platform = Platform::open_with(dir.path(), &topics);
    let anybody = platform.client().with_key("");
    let now = bus_schema::time::Clock::System.now().to_string();
    let with = |field: &str, value: &str| {
        let mut message = message.clone();
        message["Timestamp"] = json!(now);
        message[field] = json!(value);
        message
    };
    for (sent, why) in [
        (message.clone(), "older than an hour"),
        (with("TopicArn", "arn:aws:sns:eu-west-1:1:others"), "--sns-topic"),
        (with("SignatureVersion", "1"), "--sns-sha1"),
        (with("SigningCertURL", "https://evil.example/SimpleNotificationService-0.pem"), "certificate is not at"),
        (json!({"eventType": "Bounce"}), "not a message of SNS"),
    ] {
        let refused = anybody.post(path, &sent).send().await.refused(403, "forbidden");
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
    }
    let raw = anybody.post(path, &message).header("x-amz-sns-rawdelivery", "true").send().await;
    assert!(raw.refused(403, "forbidden").text().contains("raw"));
    anybody.post("/v1/mail/sns/other", &with("Subject", "x")).send().await.refused(403, "forbidden");
    assert!(platform.log().contains("a message of SNS is not taken"), "{}", platform.log());
}
