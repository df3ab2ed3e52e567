//! A campaign to a sink: who gets it, who does not and why, and how a receiver leaves.

use crate::support::{Platform, eventually, mailing};
use serde_json::json;
use std::time::Duration;
use workers::smtp::sink::{Act, Faults, Point, Sink, SinkOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_reaches_those_who_want_it_and_a_fault_of_one_is_only_theirs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 4));
    let client = platform.client();
    let audience = mailing::audience(&client, "spring", 40).await;
    // One has no city, where the words need one of those who are called so: that depends on what a field holds.
    let nameless = json!({"email": "nameless@x.example", "first_name": "Nobody", "tags": ["spring"]});
    let nameless = client.make("/v1/contacts", &nameless).await;
    mailing::consent(&client, nameless).await;
    let campaign = mailing::launch(
        &client,
        "spring",
        "<p>Hello {{ first_name | default('you') }}{% if first_name and first_name == 'Nobody' %}{{ city }}{% endif %}</p>",
    )
    .await;
    let done = mailing::finished(&client, campaign, 60).await;
    assert_eq!(done["journey"]["counts"]["accepted"], 40);
    assert_eq!(done["journey"]["counts"]["rejected"], 1);
    let (state, cause) = mailing::states(&client, campaign).await.remove(&nameless).expect("listed");
    assert_eq!(state, "rejected");
    assert!(cause.contains("html, line 1"), "{cause}");
    let rejected = client.read(&format!("/v1/campaigns/{campaign}/recipients?state=rejected")).await.expect(200).json();
    assert_eq!(rejected["items"].as_array().map(Vec::len), Some(1));
    client.read(&format!("/v1/campaigns/{campaign}/recipients?state=lost")).await.refused(400, "invalid_value");
    let taken = sink.taken().expect("the ledger");
    assert_eq!(taken.len(), audience.len());

    // Checks 38 to 41: looking changes nothing, one click does, again changes nothing.
    let mailbox = sink.mailbox();
    let number = mailbox.numbers().expect("messages")[0];
    let kept = mailbox.read(number).expect("a message").expect("it is kept");
    let message = String::from_utf8_lossy(&kept.message).replace("\r\n ", "").replace("\r\n\t", "");
    assert!(message.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{message}");
    let begin = message.find("List-Unsubscribe: <https://garden.example").expect("a link")
        + "List-Unsubscribe: <https://garden.example".len();
    let link = message[begin..].split('>').next().expect("an end").replace(char::is_whitespace, "");
    let leaver = *audience.iter().find(|(_, email)| **email == kept.envelope[0].recipient).expect("in the audience").0;
    let consent = async || client.read(&format!("/v1/contacts/{leaver}")).await.json()["consents"]["marketing"].clone();
    let anybody = client.with_key("");
    assert!(anybody.get(&link).send().await.expect(200).text().contains("<form method=\"post\">"));
    assert!(consent().await.is_object(), "a look has no effect");
    for _ in 0..2 {
        let click = anybody.ask(reqwest::Method::POST, &link);
        let click = click.body("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click");
        click.send().await.expect(200);
    }
    eventually("the consent is gone", 10, async || consent().await.is_null()).await;
    let (before, at) = link.split_at(link.len() - 20);
    let forged = format!("{before}{}{}", if at.starts_with('A') { 'B' } else { 'A' }, &at[1..]);
    anybody.get(&forged).send().await.expect(404);
    anybody.post(&forged, &json!({})).send().await.expect(404);

    // The next campaign leaves them out.
    let next = mailing::launch(&client, "spring", "<p>Again</p>").await;
    mailing::finished(&client, next, 60).await;
    let states = mailing::states(&client, next).await;
    assert!(!states.contains_key(&leaver) && states.len() == 40, "{states:?}");
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_paused_resumed_and_who_leaves_meanwhile_gets_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let faults = Faults::always(Point::Dot, Act::Wait(Duration::from_millis(100)));
    let options = SinkOptions { faults, ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    let audience = mailing::audience(&client, "slow", 120).await;
    let campaign = mailing::launch(&client, "slow", "<p>Hello</p>").await;
    let path = format!("/v1/campaigns/{campaign}");
    eventually("mails go out", 60, async || sink.counts().taken > 5).await;
    client.post(&format!("{path}/pause"), &json!({})).send().await.expect(200);
    // What is under way ends.
    let counts = async || client.read(&format!("{path}/progress")).await.expect(200).json()["counts"].clone();
    eventually("nothing is under way", 30, async || counts().await["attempting"] == 0).await;
    let taken = sink.counts().taken;
    assert!(taken < 100, "{taken} were sent before the pause");
    let states = mailing::states(&client, campaign).await;
    let planned = || states.iter().filter(|(_, (state, _))| state == "planned").map(|(contact, _)| *contact);
    let (leaver, erased) = (planned().next().expect("one left"), planned().nth(1).expect("another"));
    client
        .delete(&format!("/v1/contacts/{leaver}/consents/marketing"))
        .json(&json!({"source": "a call"}))
        .send()
        .await
        .expect(200);
    client.delete(&format!("/v1/contacts/{erased}")).send().await.expect(200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sink.counts().taken, taken, "a paused campaign sends nothing");
    client.post(&format!("{path}/resume"), &json!({})).send().await.expect(200);
    let done = mailing::finished(&client, campaign, 60).await;
    assert_eq!(done["journey"]["counts"]["skipped"], 2);
    let states = mailing::states(&client, campaign).await;
    assert_eq!(states[&leaver], ("skipped".into(), "no consent any more".into()));
    assert_eq!(states[&erased], ("skipped".into(), "the contact is gone or erased".into()));
    assert_eq!(sink.taken().expect("the ledger").len(), audience.len() - 2);
    client.post(&format!("{path}/pause"), &json!({})).send().await.refused(409, "campaign_finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_a_campaign_stays_scheduled_and_says_why() {
    let client = super::tenant().await;
    let campaign = mailing::launch(&client, "grounded", "<p>Hello</p>").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let progress = client.read(&format!("/v1/campaigns/{campaign}/progress")).await.expect(200).json();
    assert_eq!(progress["status"], "scheduled");
    assert!(progress["obstacle"].as_str().is_some_and(|why| why.contains("--mail-host")), "{progress}");
}
