//! What comes back from a campaign: opens and clicks by signed links, people and programs apart, the report.

use crate::support::{Client, Platform, eventually, mailing};
use reqwest::{Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;
use workers::smtp::sink::{Sink, SinkOptions};

pub(super) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// After it a click may be a person's, and a burst is over.
pub(super) const A_WHILE: Duration = Duration::from_millis(2_300);

/// Somebody, or something, that asks as told and follows no redirect.
pub(super) struct Visitor(reqwest::Client, String);

impl Visitor {
    pub(super) fn new(platform: &Client, agent: &str) -> Self {
        let builder = reqwest::Client::builder().redirect(Policy::none()).user_agent(agent);
        Self(builder.build().expect("a client"), platform.url().to_owned())
    }

    pub(super) async fn ask(&self, method: Method, path: &str) -> reqwest::Response {
        self.0.request(method, format!("{}{path}", self.1)).send().await.expect("an answer")
    }

    pub(super) async fn follow(&self, path: &str) -> String {
        let answer = self.ask(Method::GET, path).await;
        assert_eq!(answer.status(), StatusCode::FOUND, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.headers()["location"].to_str().expect("a target").to_owned()
    }
}

/// A mail as its receiver has it: the addresses of its own links, as paths, and of its picture.
pub(super) struct Received {
    pub(super) links: Vec<String>,
    pub(super) pixel: Option<String>,
    pub(super) message: String,
}

/// The mails of a sink by receiver; quoted-printable is undone as far as links need it.
pub(super) fn received(sink: &Sink) -> BTreeMap<String, Received> {
    let mailbox = sink.mailbox();
    let read = |number: u64| {
        let kept = mailbox.read(number).expect("a message").expect("it is kept");
        let message = String::from_utf8_lossy(&kept.message).replace("=\r\n", "").replace("=3D", "=");
        let html = message.split("Content-Type: text/html").nth(1).unwrap_or_default().to_owned();
        let path = |rest: &str| rest.split(['"', '\'', '<', ' ']).next().map(str::to_owned);
        let all = |mark: &str| -> Vec<String> {
            html.split("https://garden.example")
                .skip(1)
                .filter(|rest| rest.starts_with(mark))
                .filter_map(path)
                .collect()
        };
        let received = Received { links: all("/v1/l/"), pixel: all("/v1/o/").pop(), message: message.clone() };
        (kept.envelope[0].recipient.clone(), received)
    };
    mailbox.numbers().expect("messages").into_iter().map(read).collect()
}

const HTML: &str = "<html><body><p>Hello {{ first_name | default('you') }}</p>\
    <a href=\"https://shop.example/a?x=1&amp;y=%26amp%3B#frag\">One</a> <a href='https://shop.example/b'>Two</a> \
    <a href=\"https://shop.example/c\">Three</a> <a data-no-track href=\"https://plain.example/\">Plain</a> \
    <a href=\"mailto:a@shop.example\">Mail</a></body></html>";

pub(super) async fn launch(client: &Client, tag: &str, purpose: &str, tracking: Value) -> Uuid {
    let segment = json!({"filter": {"tags": {"_eq": tag}}, "purpose": purpose});
    launch_to(client, &segment, tracking).await
}

/// A campaign to a segment that goes out in a second.
pub(super) async fn launch_to(client: &Client, segment: &Value, tracking: Value) -> Uuid {
    let campaign = client.make("/v1/campaigns", &json!({"name": "Links"})).await;
    let path = format!("/v1/campaigns/{campaign}");
    client.put(&format!("{path}/audience"), &json!({"segment": segment})).send().await.expect(200);
    let content = json!({"subject": "Hello", "from_name": "Garden", "from_email": "news@garden.example", "html": HTML,
        "tracking": tracking});
    client.put(&format!("{path}/content"), &content).send().await.expect(200);
    let at = bus_schema::time::Clock::System.now().plus_seconds(1).to_string();
    mailing::postal_address(client).await;
    client.post(&format!("{path}/schedule"), &json!({"at": at, "time_zone": "UTC"})).send().await.expect(200);
    campaign
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_and_clicks_come_back_and_programs_are_told_from_people() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = Sink::start(&dir.path().join("sink"), SinkOptions::default()).await.expect("a sink");
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 4));
    let client = platform.client();
    let audience = mailing::audience(&client, "spring", 6).await;
    let tracking = json!({"opens": true, "clicks": true, "honeypot": true, "utm": {"source": "news"}});
    let campaign = launch(&client, "spring", "marketing", tracking).await;
    mailing::finished(&client, campaign, 60).await;
    let mails = received(&sink);
    let people: Vec<(&Uuid, &Received)> = audience.iter().map(|(id, email)| (id, &mails[email])).collect();
    for (_, mail) in &people {
        // Three links, one that nobody sees; the others are as their author wrote them.
        assert_eq!(mail.links.len(), 4, "{}", mail.message);
        assert!(mail.pixel.is_some() && mail.message.contains("href=\"https://plain.example/\""), "{}", mail.message);
        assert!(mail.message.contains("mailto:a@shop.example") && mail.message.contains("/v1/unsubscribe/"));
    }
    let (browser, scanner) = (Visitor::new(&client, BROWSER), Visitor::new(&client, "curl/8.9"));
    let apple = Visitor::new(&client, "Mozilla/5.0");

    // Check 48: byte for byte, with the words for statistics before the fragment.
    tokio::time::sleep(A_WHILE).await;
    let target = browser.follow(&people[0].1.links[0]).await;
    assert_eq!(target, "https://shop.example/a?x=1&y=%26amp%3B&utm_source=news#frag");
    let pixel = browser.ask(Method::GET, people[0].1.pixel.as_deref().expect("a picture")).await;
    assert_eq!(
        (pixel.status(), &pixel.headers()["content-type"]),
        (StatusCode::OK, &"image/gif".parse().expect("a type"))
    );
    // Three links at once, the link nobody sees, a HEAD and a program by its name.
    for link in &people[1].1.links[..3] {
        browser.follow(link).await;
    }
    browser.follow(&people[2].1.links[0]).await;
    browser.follow(&people[2].1.links[3]).await;
    assert_eq!(browser.ask(Method::HEAD, &people[3].1.links[0]).await.status(), StatusCode::FOUND);
    scanner.follow(&people[3].1.links[1]).await;
    apple.ask(Method::GET, people[4].1.pixel.as_deref().expect("a picture")).await;

    // Check 49: nothing unsigned is redirected to, and a link is no picture.
    let forged = people[0].1.links[0].replace("/v1/l/AQ", "/v1/l/AR");
    for wrong in [forged.as_str(), "/v1/l/https://evil.example", "/v1/l/x", "/v1/o/x.gif"] {
        assert_eq!(browser.ask(Method::GET, wrong).await.status(), StatusCode::NOT_FOUND, "{wrong}");
    }
    let crossed = people[0].1.links[0].replace("/v1/l/", "/v1/o/");
    assert_eq!(browser.ask(Method::GET, &crossed).await.status(), StatusCode::NOT_FOUND);

    let path = format!("/v1/campaigns/{campaign}");
    let report = async || client.read(&format!("{path}/report")).await.expect(200).json();
    eventually("all hits are counted", 20, async || {
        let clicks = report().await["clicks"]["hits"].clone();
        clicks["human"].as_u64().unwrap_or(0) + clicks["scanner"].as_u64().unwrap_or(0) == 8
    })
    .await;
    // A second click of the same person, and one receiver leaves.
    browser.follow(&people[0].1.links[0]).await;
    let link = people[0].1.message.split("/v1/unsubscribe/").nth(1).expect("a link");
    let link = link.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().expect("a token");
    assert_eq!(browser.ask(Method::POST, &format!("/v1/unsubscribe/{link}")).await.status(), StatusCode::OK);
    eventually("the second click is counted", 20, async || report().await["unsubscribed"] == 1).await;
    let report = report().await;
    assert_eq!(report["recipients"]["accepted"], 6, "{report}");
    assert_eq!((&report["clicks"]["unique"], &report["clicks"]["hits"]["human"]), (&json!(1), &json!(2)), "{report}");
    assert_eq!((&report["clicks"]["unique_machine"], &report["clicks"]["hits"]["scanner"]), (&json!(3), &json!(7)));
    assert_eq!(
        (&report["opens"]["unique"], &report["opens"]["hits"]["machine_mpp"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(report["links"][0]["target"], "https://shop.example/a");
    assert_eq!((&report["links"][0]["unique"], &report["links"][0]["hits"]["scanner"]), (&json!(1), &json!(3)));
    assert_eq!(
        report["hours"].as_array().map(|hours| hours.iter().filter_map(|hour| hour["clicked"].as_u64()).sum()),
        Some(1)
    );
    let items = client.all(&format!("{path}/recipients")).await;
    let who = people[0].0.to_string();
    let mine = items.iter().find(|item| item["contact"] == who.as_str()).expect("listed")["response"].clone();
    assert!(
        mine["clicked_at"].is_string() && mine["opened_at"].is_string() && mine["unsubscribed_at"].is_string(),
        "{mine}"
    );
    assert_eq!(items.iter().filter(|item| item["response"]["clicked_at"].is_string()).count(), 1);
    let table = client.read(&format!("{path}/recipients.csv")).await.expect(200).text();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(table.lines().any(|line| line.starts_with(&format!("{who},accepted,"))), "{table}");
    client.with_key("").get(&format!("{path}/report")).send().await.refused(401, "unauthenticated");
    let stranger = super::tenant_of(&client).await;
    for hidden in ["report", "recipients.csv", "recipients"] {
        stranger.read(&format!("{path}/{hidden}")).await.refused(404, "not_found");
    }

    // Check 50: without the setting, and in service mail always, nothing is watched.
    for contact in audience.keys() {
        let consent = format!("/v1/contacts/{contact}/consents/service");
        client.put(&consent, &json!({"source": "a form", "text_version": "1"})).send().await.expect(200);
    }
    let service = launch(&client, "spring", "service", json!({"opens": true, "clicks": true})).await;
    mailing::finished(&client, service, 60).await;
    let plain = launch(&client, "spring", "marketing", json!({})).await;
    mailing::finished(&client, plain, 60).await;
    let mailbox = sink.mailbox();
    let message = |number| mailbox.read(number).expect("a message").expect("it is kept").message;
    let messages: Vec<Vec<u8>> = mailbox.numbers().expect("messages").into_iter().map(message).collect();
    let watched = |message: &&Vec<u8>| {
        let message = String::from_utf8_lossy(message).replace("=\r\n", "");
        message.contains("/v1/l/") || message.contains("/v1/o/")
    };
    // Six by the first campaign, six by service, five by marketing: one had left.
    assert_eq!((messages.len(), messages.iter().filter(watched).count()), (17, 6));
    let alone = json!({"subject": "x", "tracking": {"honeypot": true}});
    let draft = client.make("/v1/campaigns", &json!({"name": "draft"})).await;
    client.put(&format!("/v1/campaigns/{draft}/content"), &alone).send().await.refused(422, "honeypot_alone");
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
