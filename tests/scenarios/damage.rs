//! Messages in the log that are no events: the views that meet them stand still and say so; nothing else does.

use super::unique;
use crate::support::{Client, Platform, eventually, millrace};
use bus_schema::{
    Actor, Address, CommandId, Envelope, Micros, Subject, TenantId,
    bus::{Bus, Outgoing},
    subject::Family,
};
use serde_json::{Value, json};

/// Puts a message where a contact's events are; gives its position.
async fn damage(bus: &Bus, platform: &Platform, envelope: Option<Envelope>) -> u64 {
    let tenant = TenantId::try_new(&platform.ready.tenant).expect("a tenant");
    let address = Address::new("crm", "contact", bus_schema::ids::random_uuid());
    let subject = Subject::event(bus.cell(), &tenant, address).to_string();
    let outgoing = Outgoing { subject, envelope, body: b"\xc1 no event".to_vec().into(), expect: Some(0) };
    bus.publish(outgoing).await.expect("stored").last_seq
}

pub(super) fn envelope() -> Envelope {
    let command = CommandId::random();
    Envelope {
        event_id: command.event(0),
        kind: "contact.tagged".into(),
        schema: 1,
        at: Micros(1_790_000_000_000_000),
        actor: Actor::System("chaos".into()),
        correlation: command.0,
        cause: command,
        fingerprint: None,
        key: None,
        trace: None,
    }
}

async fn readiness(client: &Client) -> (u16, Value) {
    let answer = client.get("/readyz").send().await;
    (answer.status, answer.json())
}

async fn make(client: &Client) -> String {
    let id = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    format!("/v1/contacts/{id}")
}

/// What a command of the binary says of this platform, and whether it was content.
pub(super) fn cli(platform: &Platform, arguments: &[&str]) -> (bool, String) {
    let data_dir = platform.data_dir.to_str().expect("UTF-8");
    let output = millrace(&[arguments, &["--data-dir", data_dir]].concat(), &[]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_pauses_its_view_until_it_is_passed_over() {
    let platform = Platform::own();
    let client = platform.client();
    let bus = platform.bus().await;
    let before = make(&client).await;
    client.read(&before).await.expect(200);
    // One body that cannot be decoded, one message without the headers of an event.
    for envelope in [Some(envelope()), None] {
        let seq = damage(&bus, &platform, envelope).await;
        let after = make(&client).await;
        eventually("the view stands still", 30, async || readiness(&client).await.0 == 503).await;
        let (_, ready) = readiness(&client).await;
        let problem =
            ready["problems"].as_array().expect("problems").iter().filter_map(Value::as_str).collect::<String>();
        for part in ["contacts", "paused", &seq.to_string(), "millrace views resume contacts"] {
            assert!(problem.contains(part), "`{part}` is missing in {problem}");
        }
        let views = ready["views"].as_array().expect("views");
        let paused: Vec<&str> =
            views.iter().filter(|v| v["paused"].is_object()).filter_map(|v| v["view"].as_str()).collect();
        assert_eq!(paused, ["contacts", "timeline"], "only the views the event concerns");
        // What was read before is still read; what comes after waits and says so.
        client.get(&before).send().await.expect(200);
        let token = format!("eu1:{}", client.seen());
        let late = client.get(&format!("{after}?wait_ms=50")).header("consistency-token", &token).send().await;
        late.refused(503, "view_behind");
        // The feed does not end at it.
        let feed = client.get(&format!("/v1/events?since={}&limit=1000", seq - 1)).send().await.expect(200).json();
        let positions: Vec<&str> =
            feed["items"].as_array().expect("items").iter().filter_map(|event| event["position"].as_str()).collect();
        assert!(positions.contains(&token.as_str()), "{feed:#}");
        let lines = client.get(&format!("/v1/changes?since={}", seq - 1)).header("accept", "application/x-ndjson");
        assert!(lines.send().await.expect(200).text().contains(&token));

        let (content, said) = cli(&platform, &["doctor"]);
        assert!(!content && said.contains("paused") && said.contains(&seq.to_string()), "{said}");
        let (_, json) = cli(&platform, &["doctor", "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}"));
        assert!(json.to_string().contains("paused"), "{json}");
        let (content, said) = cli(&platform, &["views", "list"]);
        assert!(content && said.contains(&format!("paused before {seq}")), "{said}");
        // Trying again does not help; passing over does.
        let (content, said) = cli(&platform, &["views", "resume", "contacts"]);
        assert!(content, "{said}");
        let still = || format!("contacts_v2_g0 is paused before event {seq}");
        eventually("the view stands still again", 30, async || {
            readiness(&client).await.1.to_string().contains(&still())
        })
        .await;
        for view in ["contacts", "timeline"] {
            let (content, said) = cli(&platform, &["views", "resume", view, "--skip", &seq.to_string()]);
            assert!(content, "{said}");
        }
        client.read(&after).await.expect(200);
        eventually("ready", 30, async || readiness(&client).await.0 == 200).await;
        let listed = client.read("/v1/contacts?sort=created_at&total=true").await.expect(200);
        assert!(listed.text().contains(after.rsplit('/').next().unwrap_or_default()), "search goes on too");
    }
    assert!(bus.last_seq(Family::Events).await.expect("the log answers") > 4);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_spoils_only_the_record_it_belongs_to() {
    let platform = Platform::own();
    let client = platform.client();
    let bus = platform.bus().await;
    let path = make(&client).await;
    let revision = client.read(&path).await.expect(200).revision();
    let tenant = TenantId::try_new(&platform.ready.tenant).expect("a tenant");
    let id: uuid::Uuid = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    let subject = Subject::event(bus.cell(), &tenant, Address::new("crm", "contact", id)).to_string();
    let body = b"\xc1 no event".to_vec().into();
    let outgoing = Outgoing { subject, envelope: Some(envelope()), body, expect: Some(revision) };
    bus.publish(outgoing).await.expect("stored");
    // The cache may answer for the damaged record; nothing may be lost or panic.
    let answer = client.put(&format!("{path}/tags/x"), &json!({})).send().await;
    assert!(matches!(answer.status, 500 | 503), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let history = client.get(&format!("{path}/history")).send().await.expect(200).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2), "{history:#}");
    let other = make(&client).await;
    client.put(&format!("{other}/tags/x"), &json!({})).send().await.expect(200);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
