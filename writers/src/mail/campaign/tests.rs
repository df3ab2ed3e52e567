use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    harness::{NOW, given},
    writer::{Meta, WriteError, Writer},
};
use bus_schema::{Cell, CommandId, TenantId, keys::KeyDirectory, mail::campaign::ConsentPurpose, time::Clock};

fn segment() -> Segment {
    Segment { filter: r#"{"tag": "newsletter"}"#.into(), purpose: ConsentPurpose::Marketing }
}

fn content() -> CampaignContent {
    CampaignContent {
        subject: "Spring is here".into(),
        preheader: "And so are we".into(),
        from_name: "Garden shop".into(),
        from_email: "news@garden.example".into(),
        html: "<p>Hello</p>".into(),
        text: None,
    }
}

fn created() -> CampaignEvent {
    CampaignCreated { name: "Spring".into() }.into()
}

fn complete() -> Vec<CampaignEvent> {
    vec![created(), AudienceSet { segment: segment() }.into(), ContentSet { content: content() }.into()]
}

fn scheduled(at: Micros) -> CampaignEvent {
    CampaignScheduled { at, time_zone: "Europe/Berlin".into() }.into()
}

fn with(mut events: Vec<CampaignEvent>, event: impl Into<CampaignEvent>) -> Vec<CampaignEvent> {
    events.push(event.into());
    events
}

fn schedule(at: Micros) -> CampaignCommand {
    CampaignCommand::Schedule { at, time_zone: "europe/berlin".into() }
}

const HOUR: i64 = 3_600;
const YEAR: i64 = 366 * 24 * HOUR;

#[test]
fn a_campaign_begins_with_a_name() {
    let create = |name: &str| CampaignCommand::Create { name: name.into() };
    given::<Campaign>([]).when(create(" Spring ")).then([created()]);
    given::<Campaign>([]).when(create(" ")).then_rejected(CampaignRejection::Required { field: "name" });
    given::<Campaign>([created()]).when(create("Spring")).then_rejected(CampaignRejection::Exists);
}

#[test]
fn an_audience_is_a_json_object() {
    let set = |filter: &str| CampaignCommand::SetAudience { segment: Segment { filter: filter.into(), ..segment() } };
    given::<Campaign>([created()]).when(set(&segment().filter)).then([AudienceSet { segment: segment() }.into()]);
    given::<Campaign>(complete()).when(set(&segment().filter)).then([]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    for bad in ["", "[]", "{", "1", "{\"a\":1} x", &deep] {
        given::<Campaign>([created()]).when(set(bad)).then_rejected(CampaignRejection::InvalidFilter);
    }
    let fault = CampaignRejection::TooLong { field: "segment/filter", max: MAX_FILTER };
    given::<Campaign>([created()]).when(set(&" ".repeat(MAX_FILTER + 1))).then_rejected(fault);
    given::<Campaign>([]).when(set("{}")).then_rejected(CampaignRejection::Unknown);
}

#[test]
fn headers_cannot_be_injected() {
    let set = |content| CampaignCommand::SetContent { content };
    given::<Campaign>([created()]).when(set(content())).then([ContentSet { content: content() }.into()]);
    given::<Campaign>(complete()).when(set(content())).then([]);
    let injected = |text: &str| format!("{text}\r\nBcc: everybody@example.org");
    let bad = [
        ("content/subject", CampaignContent { subject: injected("Hi"), ..content() }),
        ("content/subject", CampaignContent { subject: "Hi\nX: y".into(), ..content() }),
        ("content/from_name", CampaignContent { from_name: injected("Shop"), ..content() }),
        ("content/from_email", CampaignContent { from_email: injected("a@b.example"), ..content() }),
        ("content/preheader", CampaignContent { preheader: "a\rb".into(), ..content() }),
        ("content/html", CampaignContent { html: "a\u{0}".into(), ..content() }),
    ];
    for (field, content) in bad {
        given::<Campaign>([created()]).when(set(content)).then_rejected(CampaignRejection::InvalidText { field });
    }
    let nobody = CampaignContent { from_email: "nobody".into(), ..content() };
    given::<Campaign>([created()]).when(set(nobody)).then_rejected(CampaignRejection::InvalidAddress);
    let long = CampaignContent { html: "x".repeat(MAX_HTML + 1), ..content() };
    let fault = CampaignRejection::TooLong { field: "content/html", max: MAX_HTML };
    given::<Campaign>([created()]).when(set(long)).then_rejected(fault);
}

#[test]
fn scheduling_needs_audience_content_and_a_time_ahead() {
    let soon = NOW.plus_seconds(HOUR);
    given::<Campaign>(complete()).when(schedule(soon)).then([scheduled(soon)]);
    given::<Campaign>(complete()).when(schedule(NOW)).then_rejected(CampaignRejection::TimePast);
    given::<Campaign>(complete()).when(schedule(NOW.plus_seconds(YEAR))).then([scheduled(NOW.plus_seconds(YEAR))]);
    let far = NOW.plus_seconds(YEAR + 1);
    given::<Campaign>(complete()).when(schedule(far)).then_rejected(CampaignRejection::TimeTooFar);
    let nowhere = CampaignCommand::Schedule { at: soon, time_zone: "Mars/Olympus".into() };
    given::<Campaign>(complete()).when(nowhere).then_rejected(CampaignRejection::InvalidZone);
    given::<Campaign>([created()]).when(schedule(soon)).then_rejected(CampaignRejection::NoAudience);
    let audience_only: Vec<_> = complete().into_iter().take(2).collect();
    let fault = CampaignRejection::ContentIncomplete { field: "subject" };
    given::<Campaign>(audience_only).when(schedule(soon)).then_rejected(fault);
    let unsigned = ContentSet { content: CampaignContent { html: " ".into(), ..content() } };
    let fault = CampaignRejection::ContentIncomplete { field: "html" };
    given::<Campaign>(with(complete(), unsigned)).when(schedule(soon)).then_rejected(fault);
}

#[test]
fn a_scheduled_campaign_is_frozen_until_it_is_taken_back() {
    let (soon, later) = (NOW.plus_seconds(HOUR), NOW.plus_seconds(2 * HOUR));
    let frozen = with(complete(), scheduled(soon));
    let given_frozen = || given::<Campaign>(frozen.clone());
    given_frozen().when(CampaignCommand::SetContent { content: content() }).then_rejected(CampaignRejection::Scheduled);
    given_frozen()
        .when(CampaignCommand::SetAudience { segment: segment() })
        .then_rejected(CampaignRejection::Scheduled);
    given_frozen().when(schedule(soon)).then([]);
    given_frozen().when(schedule(later)).then([scheduled(later)]);
    given_frozen().when(CampaignCommand::Unschedule).then([CampaignUnscheduled {}.into()]);
    given::<Campaign>(complete()).when(CampaignCommand::Unschedule).then([]);
    let other = CampaignContent { subject: "Summer".into(), ..content() };
    given::<Campaign>(with(frozen.clone(), CampaignUnscheduled {}))
        .when(CampaignCommand::SetContent { content: other.clone() })
        .then([ContentSet { content: other }.into()]);
}

#[test]
fn a_cancelled_campaign_is_over() {
    let frozen = with(complete(), scheduled(NOW.plus_seconds(HOUR)));
    given::<Campaign>(frozen).when(CampaignCommand::Cancel).then([CampaignCancelled {}.into()]);
    given::<Campaign>([created()]).when(CampaignCommand::Cancel).then([CampaignCancelled {}.into()]);
    let over = || given::<Campaign>(with(complete(), CampaignCancelled {}));
    over().when(CampaignCommand::Cancel).then([]);
    over().when(schedule(NOW.plus_seconds(HOUR))).then_rejected(CampaignRejection::Cancelled);
    over().when(CampaignCommand::Unschedule).then_rejected(CampaignRejection::Cancelled);
}

#[tokio::test]
async fn content_and_schedule_meet_in_the_log_in_one_order() {
    let (keys, tenant) = (KeyDirectory::in_memory(), TenantId::try_new("demo").unwrap());
    keys.create_tenant(&tenant).await.unwrap();
    let store = EventStore::Memory(MemoryStore::default());
    let writer = Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::manual(NOW));
    let id = CommandId::random().aggregate(0);
    let run = async |command: CampaignCommand| {
        let meta = Meta::system("test", CommandId::random());
        writer.execute::<Campaign>(&tenant, id, &meta, &command).await
    };
    run(CampaignCommand::Create { name: "Spring".into() }).await.unwrap();
    run(CampaignCommand::SetAudience { segment: segment() }).await.unwrap();
    run(CampaignCommand::SetContent { content: content() }).await.unwrap();
    let other = CampaignContent { subject: "Summer".into(), ..content() };
    let (set, timed) =
        tokio::join!(run(CampaignCommand::SetContent { content: other }), run(schedule(NOW.plus_seconds(HOUR))));
    timed.unwrap();
    let subject = writer.load::<Campaign>(&tenant, id).await.unwrap().state.content().unwrap().subject.clone();
    match set {
        Ok(_) => assert_eq!(subject, "Summer"),
        Err(WriteError::Rejected(rejected)) => {
            assert_eq!((rejected.code, &*subject), ("campaign_scheduled", "Spring is here"))
        }
        Err(error) => panic!("{error}"),
    }
}
