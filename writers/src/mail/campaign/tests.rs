use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    harness::{NOW, given},
    writer::{Meta, WriteError, Writer},
};
use bus_schema::{Cell, CommandId, TenantId, keys::KeyDirectory, mail::campaign::ConsentPurpose, time::Clock};

fn launch() -> CampaignCommand {
    CampaignCommand::Launch { filter: None }
}

fn segment() -> Segment {
    Segment { filter: r#"{"tag": "newsletter"}"#.into(), purpose: ConsentPurpose::Marketing, saved: None }
}

fn content() -> CampaignContent {
    CampaignContent {
        subject: "Spring is here".into(),
        preheader: "And so are we".into(),
        from_name: "Garden shop".into(),
        from_email: "news@garden.example".into(),
        html: "<p>Hello</p>".into(),
        ..CampaignContent::default()
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
    CampaignCommand::Schedule { at: Some(at), time_zone: Some("europe/berlin".into()) }
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
    let at_once = || CampaignCommand::Schedule { at: None, time_zone: None };
    let in_utc = CampaignScheduled { at: NOW, time_zone: "UTC".into() };
    given::<Campaign>(complete()).when(at_once()).then([in_utc.into()]);
    given::<Campaign>(with(complete(), scheduled(soon))).when(at_once()).then([scheduled(NOW)]);
    given::<Campaign>(with(complete(), scheduled(NOW))).when(at_once()).then([]);
    given::<Campaign>([created()]).when(at_once()).then_rejected(CampaignRejection::NoAudience);
    let nowhere = CampaignCommand::Schedule { at: Some(soon), time_zone: Some("Mars/Olympus".into()) };
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

fn launched() -> Vec<CampaignEvent> {
    let at = NOW.plus_seconds(-5);
    with(with(complete(), scheduled(at)), CampaignLaunched { scheduled: at, at: NOW, filter: None })
}

fn frozen() -> Vec<CampaignEvent> {
    with(launched(), AudienceFrozen { chunks: 2, recipients: 600 })
}

fn counts(unknown: u64) -> SendCounts {
    SendCounts { accepted: 600 - unknown, unknown, ..SendCounts::default() }
}

#[test]
fn a_campaign_is_launched_when_its_time_has_come() {
    let (past, soon) = (NOW.plus_seconds(-5), NOW.plus_seconds(1));
    let launched_now = CampaignLaunched { scheduled: past, at: NOW, filter: None };
    given::<Campaign>(with(complete(), scheduled(past))).when(launch()).then([launched_now.into()]);
    let early = given::<Campaign>(with(complete(), scheduled(soon)));
    early.when(launch()).then_rejected(CampaignRejection::NotDue);
    given::<Campaign>(complete()).when(launch()).then_rejected(CampaignRejection::NotDue);
    given::<Campaign>(launched()).when(launch()).then([]);
}

#[test]
fn a_launched_campaign_is_frozen_for_good() {
    for events in [launched(), with(launched(), CampaignPaused { trouble: None })] {
        for command in [
            CampaignCommand::SetContent { content: content() },
            CampaignCommand::SetAudience { segment: segment() },
            schedule(NOW.plus_seconds(HOUR)),
            CampaignCommand::Unschedule,
        ] {
            given::<Campaign>(events.clone()).when(command).then_rejected(CampaignRejection::Launched);
        }
    }
    let audience = |recipients| CampaignCommand::Freeze { audience: Audience { chunks: 2, recipients } };
    given::<Campaign>(launched()).when(audience(600)).then([AudienceFrozen { chunks: 2, recipients: 600 }.into()]);
    given::<Campaign>(frozen()).when(audience(600)).then([]);
    given::<Campaign>(frozen()).when(audience(601)).then_rejected(CampaignRejection::Launched);
    given::<Campaign>(complete()).when(audience(600)).then_rejected(CampaignRejection::NotLaunched);
}

#[test]
fn what_is_on_its_way_is_paused_resumed_and_cancelled() {
    let paused = |trouble: Option<&str>| CampaignPaused { trouble: trouble.map(str::to_owned) };
    let pause = |trouble: Option<&str>| CampaignCommand::Pause { trouble: trouble.map(str::to_owned) };
    given::<Campaign>(frozen()).when(pause(Some("no"))).then([paused(Some("no")).into()]);
    let resting = || given::<Campaign>(with(frozen(), paused(None)));
    resting().when(pause(None)).then([]);
    resting().when(CampaignCommand::Resume).then([CampaignResumed {}.into()]);
    resting().when(CampaignCommand::Cancel).then([CampaignCancelled {}.into()]);
    given::<Campaign>(frozen()).when(CampaignCommand::Resume).then([]);
    given::<Campaign>(frozen()).when(CampaignCommand::Cancel).then([CampaignCancelled {}.into()]);
    for command in [pause(None), CampaignCommand::Resume] {
        given::<Campaign>(complete()).when(command).then_rejected(CampaignRejection::NotLaunched);
    }
}

#[test]
fn a_campaign_is_finished_when_everybody_has_an_end() {
    let finish = |counts| CampaignCommand::Finish { counts };
    let finished = CampaignFinished { counts: counts(2) };
    given::<Campaign>(frozen()).when(finish(counts(2))).then([finished.clone().into()]);
    given::<Campaign>(launched()).when(finish(counts(0))).then_rejected(CampaignRejection::NotFrozen);
    let short = SendCounts { accepted: 599, ..SendCounts::default() };
    given::<Campaign>(frozen()).when(finish(short)).then_rejected(CampaignRejection::WrongCounts);
    let over = || given::<Campaign>(with(frozen(), finished.clone()));
    over().when(finish(counts(2))).then([]);
    over().when(launch()).then([]);
    for command in [
        CampaignCommand::Cancel,
        CampaignCommand::Resume,
        CampaignCommand::Unschedule,
        schedule(NOW.plus_seconds(HOUR)),
    ] {
        over().when(command).then_rejected(CampaignRejection::Finished);
    }
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

#[test]
fn the_filter_of_a_saved_segment_is_frozen_at_the_launch() {
    let past = NOW.plus_seconds(-1);
    let changed = r#"{"tag": "vip"}"#;
    let launch = CampaignCommand::Launch { filter: Some(changed.into()) };
    let launched = CampaignLaunched { scheduled: past, at: NOW, filter: Some(changed.into()) };
    let state = given::<Campaign>(with(complete(), scheduled(past))).when(launch).then([launched.into()]);
    assert_eq!(state.segment().map(|segment| segment.filter.as_str()), Some(changed));
    let same = CampaignCommand::Launch { filter: Some(segment().filter) };
    let launched = CampaignLaunched { scheduled: past, at: NOW, filter: None };
    given::<Campaign>(with(complete(), scheduled(past))).when(same).then([launched.into()]);
}

#[test]
fn a_finished_campaign_goes_out_again_to_those_it_did_not_reach() {
    use bus_schema::mail::campaign::{CampaignRetried, RetriedEnd};
    let retry = |ends: &[RetriedEnd]| CampaignCommand::Retry { ends: ends.to_vec() };
    let retried = |round, ends: &[RetriedEnd]| CampaignRetried { round, ends: ends.to_vec() };
    let finished = || with(frozen(), CampaignFinished { counts: counts(2) });
    let (deferred, rejected) = (RetriedEnd::Deferred, RetriedEnd::Rejected);
    given::<Campaign>(finished()).when(retry(&[rejected, deferred, rejected])).then([retried(
        1,
        &[deferred, rejected],
    )
    .into()]);
    given::<Campaign>(finished()).when(retry(&[])).then_rejected(CampaignRejection::NoEnds);
    given::<Campaign>(frozen()).when(retry(&[deferred])).then_rejected(CampaignRejection::NotFinished);
    let under_way = || with(finished(), retried(1, &[deferred]));
    given::<Campaign>(under_way()).when(retry(&[deferred])).then_rejected(CampaignRejection::NotFinished);
    given::<Campaign>(under_way()).when(CampaignCommand::Cancel).then([CampaignCancelled {}.into()]);
    let again = with(under_way(), CampaignFinished { counts: counts(2) });
    given::<Campaign>(again).when(retry(&[rejected])).then([retried(2, &[rejected]).into()]);
}
