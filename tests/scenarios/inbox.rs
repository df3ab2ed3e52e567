//! `millrace up --local-inbox`: a campaign with a picture ends in the inbox of this machine, where its links work.

use crate::support::{Client, Platform, eventually, mailing, only_embedded};
use serde_json::json;

/// The address behind the first `marker` in a text, up to a quote, a bracket or a space.
fn link(text: &str, marker: &str) -> String {
    let at = text.find(marker).unwrap_or_else(|| panic!("no {marker} in {text}"));
    text[at..].split(['"', '\'', '>', ' ', '<', '\n']).next().unwrap_or_default().replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_ends_in_the_local_inbox_and_its_links_work() {
    if only_embedded("`--local-inbox` is of `millrace up`") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = [("MILLRACE_LOCAL_INBOX", "true".to_owned()), ("MILLRACE_INBOX_LISTEN", "127.0.0.1:0".to_owned())];
    let platform = Platform::open_with(dir.path(), &settings);
    let client = platform.client();
    let inbox = Client::new(platform.ready.inbox.as_deref().expect("the inbox's address"), "");
    assert!(inbox.get("/").send().await.expect(200).text().contains("No mails yet"));

    let mut dot = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x04\0\0\0\x04\x08\x02\0\0\0\0\0\0\0".to_vec();
    dot.extend(b"\0\0\0\0IEND\xaeB`\x82");
    let uploaded = client.ask(reqwest::Method::POST, "/v1/files?name=dot.png").body("image/png", dot.clone());
    let file = uploaded.send().await.expect(201).id();
    let url =
        client.read(&format!("/v1/files/{file}")).await.expect(200).json()["url"].as_str().expect("url").to_owned();

    let audience = mailing::audience(&client, "local", 3).await;
    mailing::postal_address(&client).await;
    let campaign = client.make("/v1/campaigns", &json!({"name": "local"})).await;
    let path = format!("/v1/campaigns/{campaign}");
    let segment = json!({"segment": {"filter": {"tags": {"_eq": "local"}}, "purpose": "marketing"}});
    client.put(&format!("{path}/audience"), &segment).send().await.expect(200);
    let content = json!({"subject": "Hello {{ first_name | default('you') }}", "from_name": "Demo", "from_email": "news@demo.example",
        "html": format!("<p>Hello</p><img src=\"{url}\" alt=\"a dot\"><a href=\"{{{{ unsubscribe_url }}}}\">leave</a>")});
    client.put(&format!("{path}/content"), &content).send().await.expect(200);
    let at = bus_schema::time::Clock::System.now().plus_seconds(1).to_string();
    client.post(&format!("{path}/schedule"), &json!({"at": at, "time_zone": "UTC"})).send().await.expect(200);
    mailing::finished(&client, campaign, 60).await;

    eventually("all mails are listed", 20, async || inbox.get("/").send().await.text().contains("3 mails")).await;
    let list = inbox.get("/").send().await.expect(200).text();
    assert!(audience.values().all(|address| list.contains(address.as_str())), "{list}");
    let one = inbox.get("/?to=LOCAL-1@").send().await.expect(200).text();
    assert_eq!(one.matches("/mails/").count(), 1, "{one}");
    let mail = link(&one, "/mails/");
    let shown = inbox.get(&mail).send().await.expect(200).text();
    assert!(shown.contains("Hello No1") && shown.contains("<iframe") && shown.contains("List-Unsubscribe"), "{shown}");
    let html = inbox.get(&format!("{mail}/html")).send().await.expect(200);
    assert!(html.header("content-security-policy").is_some_and(|policy| policy.starts_with("sandbox")));
    let html = html.text();

    // The picture and the way out lead to this platform, from wherever the mail is read.
    let base = client.url().to_owned();
    let picture = link(&html, &format!("{base}/sites/main/files/"));
    let answer = Client::new(&base, "").get(picture.strip_prefix(&base).expect("an address here")).send().await;
    assert_eq!(answer.expect(200).body, dot);
    let leave = link(&html, &format!("{base}/v1/unsubscribe/"));
    let click = Client::new(&base, "").ask(reqwest::Method::POST, leave.strip_prefix(&base).expect("an address here"));
    click.body("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").send().await.expect(200);
    let leaver = audience.iter().find(|(_, address)| address.starts_with("local-1@")).expect("known").0;
    eventually("the consent is gone", 10, async || {
        client.read(&format!("/v1/contacts/{leaver}")).await.json()["consents"]["marketing"].is_null()
    })
    .await;

    // Mails survive a restart; another site's page cannot delete them.
    platform.kill();
    let platform = Platform::open_with(dir.path(), &settings);
    let inbox = Client::new(platform.ready.inbox.as_deref().expect("the inbox's address"), "");
    let delete = |origin: &str| inbox.ask(reqwest::Method::POST, "/delete-all").header("origin", origin).send();
    delete("https://evil.example").await.expect(403);
    assert!(inbox.get("/").send().await.expect(200).text().contains("3 mails"));
    delete(inbox.url()).await.expect(200);
    assert!(inbox.get("/").send().await.expect(200).text().contains("No mails yet"));
}
