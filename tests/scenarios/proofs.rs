//! What nobody could tell is told by whatever comes back: a mail that bounced, was opened, followed or called spam was taken
//! (spec/EMAIL.md 5.1).

use super::{
    bounces::{arf, dsn, hand_in},
    feedback::{BROWSER, Visitor, launch, received},
    tenant_of,
};
use crate::support::{Platform, eventually, mailing};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use workers::smtp::sink::{Act, Faults, Point, Sink, SinkOptions};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_mail_becomes_accepted_when_something_comes_back() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Every mail is taken and never answered.
    let options = SinkOptions { faults: Faults::always(Point::Taken, Act::Drop), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    let audience = mailing::audience(&client, "proof", 7).await;
    let campaign = launch(&client, "proof", "marketing", json!({"opens": true, "clicks": true})).await;
    let done = mailing::finished(&client, campaign, 90).await;
    assert_eq!(done["journey"]["counts"]["unknown"], 7, "{done}");
    let senders: BTreeMap<String, String> =
        sink.taken().expect("the ledger").into_iter().map(|taken| (taken.recipient, taken.sender)).collect();
    let mails = received(&sink);
    let people: Vec<_> = audience.iter().map(|(id, email)| (*id, &senders[email], &mails[email])).collect();
    let stranger = tenant_of(&client).await;
    let visitor = Visitor::new(&client, BROWSER);

    // A bounce, a delivery and a complaint; another tenant proves nothing.
    assert_eq!(hand_in(&stranger, dsn(people[0].1, "Action: failed\r\nStatus: 5.1.1")).await["outcome"], "unmatched");
    assert_eq!(mailing::states(&client, campaign).await[&people[0].0].0, "unknown");
    assert_eq!(hand_in(&client, dsn(people[0].1, "Action: failed\r\nStatus: 5.1.1")).await["outcome"], "recorded");
    assert_eq!(hand_in(&client, dsn(people[1].1, "Action: delivered\r\nStatus: 2.1.5")).await["outcome"], "recorded");
    let token = people[2].1.trim_start_matches("b-").split('@').next().expect("a local part");
    assert_eq!(hand_in(&client, arf("abuse", token)).await["said"], "complained");
    // A picture, a link, the link to leave; a forged one proves nothing.
    visitor.ask(Method::GET, people[3].2.pixel.as_deref().expect("a picture")).await;
    visitor.follow(&people[4].2.links[0]).await;
    let leave = people[5].2.message.split("/v1/unsubscribe/").nth(1).expect("a link");
    let leave = leave.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().expect("a token");
    visitor.ask(Method::POST, &format!("/v1/unsubscribe/{leave}")).await;
    let forged = people[6].2.links[0].replace("/v1/l/AQ", "/v1/l/AR");
    visitor.ask(Method::GET, &forged).await;

    let proofs = ["bounce", "bounce", "complaint", "open", "click", "unsubscribe"];
    for ((contact, ..), proof) in people.iter().zip(proofs) {
        eventually(&format!("{proof} proves it"), 30, async || {
            mailing::states(&client, campaign).await[contact].0 == "accepted"
        })
        .await;
        let history = client.read(&format!("/v1/campaigns/{campaign}/recipients/{contact}")).await.expect(200).json();
        let steps = history["steps"].as_array().expect("steps");
        let last = steps.last().expect("a step");
        assert_eq!(last["cause"], proof, "{history}");
        assert!(steps.iter().any(|step| step["cause"] == "dot: connection lost"), "{history}");
    }
    let states = mailing::states(&client, campaign).await;
    assert_eq!(states[&people[6].0].0, "unknown", "nobody knows of this one");
    // Nobody was written to again, and what was proven is not sent once more.
    client
        .post(&format!("/v1/campaigns/{campaign}/unknown/resend"), &json!({"at_once": true}))
        .send()
        .await
        .expect(200);
    eventually("the last one is sent again", 60, async || sink.taken().expect("the ledger").len() == 8).await;
    let count = |email: &str| sink.taken().expect("the ledger").iter().filter(|taken| taken.recipient == email).count();
    for (at, (id, ..)) in people.iter().enumerate() {
        assert_eq!(count(&audience[id]), if at == 6 { 2 } else { 1 });
    }
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
