//! Campaigns and messages through SES, as a double of its interface (SES cannot run here), with an SMTP provider behind it.

use crate::support::{
    Platform, binary, mailing, posting,
    ses::{SesDouble, SesFault, keys},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path, process::Command};
use workers::smtp::sink::{Sink, SinkOptions};

/// A platform whose first provider is SES and whose second is a sink.
async fn started(dir: &Path, ses: &SesDouble) -> (Sink, Platform) {
    let sink = Sink::start(&dir.join("sink"), SinkOptions::default()).await.expect("a sink");
    let relay =
        json!({"name": "relay", "host": "127.0.0.1", "port": sink.address().port(), "security": "plain-loopback"});
    let environment = providers(dir, &[ses.entry(dir), relay]);
    (sink, Platform::open_with(dir, &environment))
}

fn providers(dir: &Path, list: &[Value]) -> Vec<(&'static str, String)> {
    let path = dir.join("providers.json");
    std::fs::write(&path, json!({"providers": list}).to_string()).expect("the file of providers");
    vec![
        ("MILLRACE_MAIL_PROVIDERS", path.display().to_string()),
        ("MILLRACE_MAIL_FROM_DOMAIN", "garden.example".into()),
        ("MILLRACE_PUBLIC_URL", "https://garden.example".into()),
    ]
}

/// Every fifth mail is taken and never answered, every seventh is throttled: the first kind is unknown and goes nowhere else, the
/// second goes to the relay.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_through_ses_never_sends_twice_what_ses_may_have_taken() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ses = SesDouble::start(|number| match number {
        _ if number % 5 == 4 => SesFault::ClosesAfter,
        _ if number % 7 == 6 => SesFault::Refuses(429, "TooManyRequestsException", "slow down"),
        _ => SesFault::Takes,
    })
    .await;
    let (sink, platform) = started(dir.path(), &ses).await;
    let client = platform.client();
    let audience = mailing::audience(&client, "ses", 60).await;
    let html = "<p>Hello {{ first_name | default('you') }}, <a href=\"https://garden.example/x\">look</a></p>";
    let campaign = mailing::launch(&client, "ses", html).await;
    let done = mailing::finished(&client, campaign, 90).await;
    let taken = ses.taken();
    let recipients: BTreeSet<String> = taken.iter().map(|mail| mail.recipient.clone()).collect();
    assert_eq!(recipients.len(), taken.len(), "SES got one of them twice");
    let relayed: BTreeSet<String> = sink.taken().expect("a ledger").into_iter().map(|mail| mail.recipient).collect();
    assert!(relayed.is_disjoint(&recipients), "what SES has went to the relay too");
    assert_eq!(relayed.len() + recipients.len(), audience.len(), "somebody got nothing");
    let items = client.all(&format!("/v1/campaigns/{campaign}/recipients")).await;
    let mut unknown = 0;
    for item in &items {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let email = &audience[&text("contact").parse().expect("an id")];
        match (text("state"), text("provider")) {
            ("accepted", "ses") => assert!(recipients.contains(email), "{item}"),
            ("accepted", "relay") => assert!(relayed.contains(email), "{item}"),
            ("unknown", "ses") => {
                unknown += 1;
                assert!(recipients.contains(email) && text("cause") == "request: connection lost", "{item}");
            }
            _ => panic!("{item}"),
        }
    }
    assert!(unknown >= 8 && done["journey"]["counts"]["unknown"] == unknown, "{unknown} {done}");
    assert!(!relayed.is_empty(), "nothing was throttled");

    // The headers and the address for bounces are those that go over SMTP, and the tag names the mail as they do.
    let mailbox = sink.mailbox();
    let kept = mailbox.read(mailbox.numbers().expect("messages")[0]).expect("a message").expect("it is kept");
    let names = |message: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(message).into_owned();
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        let lines = head.lines().filter(|line| !line.starts_with([' ', '\t']));
        lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    for mail in &taken {
        assert_eq!(names(&mail.message), names(&kept.message));
        let text = String::from_utf8_lossy(&mail.message);
        let intent = &mail.tags["intent"];
        assert_eq!(mail.feedback, format!("b-{intent}@garden.example"), "check 3");
        assert!(
            text.contains(&format!("X-Millrace-Mail: {intent}")) && text.contains("List-Unsubscribe-Post:"),
            "{text}"
        );
        assert_eq!((&*mail.tags["tenant"], &*mail.tags["class"]), (&*platform.ready.tenant, "marketing"));
    }
    let log = platform.log();
    assert!(!log.contains("panicked") && !log.contains("wJalr") && !log.contains("x.example"), "{log}");
}

/// What nobody can tell of a message is sent again, by the next provider, under the same Message-ID.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_through_ses_is_sent_at_least_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ses = SesDouble::start(|number| if number == 0 { SesFault::Takes } else { SesFault::ClosesAfter }).await;
    let (sink, platform) = started(dir.path(), &ses).await;
    let client = platform.client();
    for (email, count, at_relay) in [("ada@x.example", 1, 0), ("eve@x.example", 2, 1)] {
        let contact = client.make("/v1/contacts", &json!({"email": email, "first_name": "Ada"})).await;
        let message = posting::send(&client, contact, "Your table").await;
        posting::in_state(&client, message, "accepted", 60).await;
        assert_eq!((ses.taken().len(), posting::mails(&sink, email).len()), (count, at_relay), "{email}");
    }
    let taken = ses.taken();
    assert_eq!((&*taken[1].tags["class"], &*taken[1].tags["tenant"]), ("transactional", &*platform.ready.tenant));
    let id = |message: &[u8]| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.lines().find(|line| line.starts_with("Message-ID:")).expect("it has one").to_owned()
    };
    let intent = &taken[1].tags["intent"];
    assert!(String::from_utf8_lossy(&taken[1].message).contains(&format!("X-Millrace-Mail: {intent}")), "{intent}");
    assert_eq!(taken[1].feedback, format!("b-{intent}@garden.example"), "check 3");
    assert_eq!(id(&taken[1].message), id(&posting::mails(&sink, "eve@x.example")[0].message), "one Message-ID");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_wrong_credentials_the_start_says_which_provider_and_what_it_answered() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ses = SesDouble::start(|_| SesFault::Takes).await;
    let entry = ses.entry(dir.path());
    keys(dir.path(), "AKIDSTRANGER");
    let environment = providers(dir.path(), &[entry]);
    let mut command = Command::new(binary());
    command.args(["up", "--no-demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
    let run = tokio::task::spawn_blocking(move || command.envs(environment).output().expect("it runs"));
    let output = run.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("the mail provider ses refuses") && said.contains("403 UnrecognizedClientException"),
        "{said}"
    );
    assert!(!said.contains("wJalr") && !said.contains("AKIDSTRANGER"), "{said}");
}
