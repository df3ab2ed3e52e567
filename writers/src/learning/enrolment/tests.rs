use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    harness::given,
    learning::course::{Course, CourseCommand},
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    Cell, CommandId, TenantId,
    keys::KeyDirectory,
    learning::course::{CourseDetails, Lesson, LessonKind},
    time::Clock,
};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

const COURSE: u128 = 0xc0;
const ADA: u128 = 0xa;

/// Three required lessons, 1 to 3, and the optional lesson 9.
fn enrolled(round: u32) -> EnrolmentEvent {
    Enrolled {
        course: id(COURSE),
        contact: id(ADA),
        round,
        required: vec![id(1), id(2), id(3)],
        optional: vec![id(9)],
        source: EnrolmentSource::Manual,
        seat: false,
    }
    .into()
}

fn done(lesson: u128, score: Option<u8>, progress: u8) -> EnrolmentEvent {
    let (course, contact, lesson) = (id(COURSE), id(ADA), id(lesson));
    LessonCompleted { course, contact, round: 1, lesson, score, progress }.into()
}

fn completed() -> EnrolmentEvent {
    EnrolmentCompleted { course: id(COURSE), contact: id(ADA), round: 1 }.into()
}

fn withdrawn() -> EnrolmentEvent {
    Withdrawn { course: id(COURSE), contact: id(ADA), round: 1, reason: WithdrawalReason::Requested }.into()
}

fn enrol(required: &[u128], optional: &[u128]) -> EnrolmentCommand {
    let ids = |lessons: &[u128]| lessons.iter().map(|n| id(*n)).collect();
    let (required, optional, source) = (ids(required), ids(optional), EnrolmentSource::Manual);
    EnrolmentCommand::Enrol { course: id(COURSE), contact: id(ADA), required, optional, source, seat: false }
}

fn complete(lesson: u128, score: Option<u8>) -> EnrolmentCommand {
    EnrolmentCommand::CompleteLesson { lesson: id(lesson), score }
}

fn leave() -> EnrolmentCommand {
    EnrolmentCommand::Withdraw { reason: WithdrawalReason::Requested }
}

#[test]
fn a_learner_is_in_a_course_once_and_can_come_back_after_leaving() {
    given::<Enrolment>([]).when(enrol(&[1, 2, 3, 1], &[9, 2])).then([enrolled(1)]);
    given::<Enrolment>([]).when(enrol(&[], &[9])).then_rejected(EnrolmentRejection::NoLessons);
    given::<Enrolment>([enrolled(1)]).when(enrol(&[1], &[])).then_rejected(EnrolmentRejection::AlreadyEnrolled);
    let again = given::<Enrolment>([enrolled(1), done(1, None, 33), withdrawn()])
        .when(enrol(&[1, 2, 3], &[9]))
        .then([enrolled(2)]);
    assert_eq!(again.progress(), 0, "a new round begins from nothing");
    given::<Enrolment>([enrolled(1), completed()])
        .when(enrol(&[1], &[]))
        .then_rejected(EnrolmentRejection::AlreadyCompleted);
}

#[test]
fn the_last_required_lesson_completes_the_course_in_the_same_commit() {
    given::<Enrolment>([enrolled(1)]).when(complete(2, None)).then([done(2, None, 33)]);
    given::<Enrolment>([enrolled(1), done(2, None, 33)]).when(complete(9, Some(50))).then([done(9, Some(50), 33)]);
    let two = [enrolled(1), done(2, None, 33), done(1, None, 66)];
    let state = given::<Enrolment>(two).when(complete(3, Some(90))).then([done(3, Some(90), 100), completed()]);
    assert_eq!((state.status(), state.progress()), (Some(EnrolmentStatus::Completed), 100));
}

#[test]
fn a_lesson_counts_once_and_keeps_its_best_score() {
    let all = [enrolled(1), done(1, Some(60), 33), done(2, None, 66), done(3, None, 100), completed()];
    given::<Enrolment>(all.clone()).when(complete(1, Some(60))).then([]);
    given::<Enrolment>(all.clone()).when(complete(1, Some(10))).then([]);
    given::<Enrolment>(all.clone()).when(complete(1, None)).then([]);
    let state = given::<Enrolment>(all).when(complete(1, Some(95))).then([done(1, Some(95), 100)]);
    assert!(state.lessons_done().any(|lesson| lesson == (id(1), Some(95))));
    assert_eq!(state.status(), Some(EnrolmentStatus::Completed), "completion comes once and never goes back");
}

#[test]
fn lessons_of_others_and_impossible_scores_are_refused() {
    given::<Enrolment>([enrolled(1)]).when(complete(4, None)).then_rejected(EnrolmentRejection::UnknownLesson);
    given::<Enrolment>([enrolled(1)]).when(complete(1, Some(101))).then_rejected(EnrolmentRejection::InvalidScore);
    given::<Enrolment>([]).when(complete(1, None)).then_rejected(EnrolmentRejection::Unknown);
    given::<Enrolment>([enrolled(1), withdrawn()])
        .when(complete(1, None))
        .then_rejected(EnrolmentRejection::NotEnrolled);
}

#[test]
fn leaving_is_possible_until_the_course_is_complete() {
    given::<Enrolment>([enrolled(1)]).when(leave()).then([withdrawn()]);
    given::<Enrolment>([enrolled(1), withdrawn()]).when(leave()).then([]);
    given::<Enrolment>([enrolled(1), completed()]).when(leave()).then_rejected(EnrolmentRejection::AlreadyCompleted);
    given::<Enrolment>([]).when(leave()).then_rejected(EnrolmentRejection::Unknown);
}

struct World {
    writer: Writer,
    tenant: TenantId,
    log: MemoryStore,
    course: Uuid,
}

/// A published course with lessons 1 (required) and 2.
async fn world(capacity: Option<u32>) -> World {
    let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let writer = Writer::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()), keys, Clock::System);
    let world = World { writer, tenant, log, course: id(COURSE) };
    let lesson = |n, required| Lesson { id: id(n), title: "One".into(), kind: LessonKind::Page, minutes: 5, required };
    let details = CourseDetails { title: "First aid".into(), capacity, ..CourseDetails::default() };
    world.course(CourseCommand::Create { details, lessons: vec![lesson(1, true), lesson(2, false)] }).await;
    world.course(CourseCommand::Publish).await;
    world
}

fn meta() -> Meta {
    Meta::system("test", CommandId::random())
}

type Enrolling = Result<(Uuid, Receipt<Loaded<Enrolment>>), WriteError>;

impl World {
    async fn course(&self, command: CourseCommand) {
        self.writer.execute::<Course>(&self.tenant, self.course, &meta(), &command).await.unwrap();
    }

    async fn enrol(&self, contact: u128) -> Enrolling {
        self.enrol_as(&meta(), contact).await
    }

    async fn enrol_as(&self, meta: &Meta, contact: u128) -> Enrolling {
        let source = EnrolmentSource::Oneself;
        super::enrol(&self.writer, &self.tenant, meta, self.course, id(contact), source).await
    }

    async fn withdraw(&self, meta: &Meta, enrolment: Uuid) -> Result<Receipt<Loaded<Enrolment>>, WriteError> {
        super::withdraw(&self.writer, &self.tenant, enrolment, meta, WithdrawalReason::Requested).await
    }

    async fn seats(&self) -> usize {
        self.writer.load::<Course>(&self.tenant, self.course).await.unwrap().state.seats_taken()
    }

    async fn revision(&self, enrolment: Uuid) -> u64 {
        self.writer.load::<Enrolment>(&self.tenant, enrolment).await.unwrap().revision
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, WriteError>, code: &str) {
    match outcome {
        Err(WriteError::Rejected(rejected)) => assert_eq!(rejected.code, code),
        other => panic!("expected {code}, got {other:?}"),
    }
}

#[tokio::test]
async fn a_course_without_limit_costs_one_event_a_learner() {
    let world = world(None).await;
    let before = world.log.events().len();
    let (ada, receipt) = world.enrol(ADA).await.unwrap();
    assert_eq!(world.log.events().len(), before + 1);
    assert_eq!(receipt.value.revision, receipt.position);
    let begun = receipt.value.state.begun().unwrap().clone();
    assert_eq!((begun.required, begun.optional, begun.seat), (vec![id(1)], vec![id(2)], false));
    refused(world.enrol(ADA).await, "already_enrolled");
    let done = EnrolmentCommand::CompleteLesson { lesson: id(1), score: None };
    world.writer.execute::<Enrolment>(&world.tenant, ada, &meta(), &done).await.unwrap();
    refused(world.withdraw(&meta(), ada).await, "already_completed");
}

#[tokio::test]
async fn places_are_given_back_and_taken_again() {
    let world = world(Some(1)).await;
    let (ada, receipt) = world.enrol(ADA).await.unwrap();
    assert_eq!((world.seats().await, receipt.value.revision), (1, world.revision(ada).await));
    assert_eq!(receipt.position, receipt.value.revision, "a reader at the receipt sees the place taken too");
    refused(world.enrol(0xb).await, "course_full");
    let receipt = world.withdraw(&meta(), ada).await.unwrap();
    assert_eq!((world.seats().await, receipt.value.revision), (0, world.revision(ada).await));
    let receipt = world.withdraw(&meta(), ada).await.unwrap();
    assert_eq!(receipt.value.revision, world.revision(ada).await);
    world.enrol(0xb).await.unwrap();
    refused(world.enrol(ADA).await, "course_full");
    assert_eq!(world.seats().await, 1);
}

#[tokio::test]
async fn a_course_that_is_not_open_takes_nobody() {
    let world = world(None).await;
    let command = meta();
    let (ada, first) = world.enrol_as(&command, ADA).await.unwrap();
    world.course(CourseCommand::Retire).await;
    refused(world.enrol(0xb).await, "course_not_published");
    let again = world.enrol_as(&command, ADA).await.unwrap();
    assert!(again.0 == ada && again.1.replayed && again.1.value.revision == first.value.revision);
    let elsewhere = super::enrol(&world.writer, &world.tenant, &meta(), id(7), id(ADA), EnrolmentSource::Order).await;
    refused(elsewhere, "course_not_found");
}

#[tokio::test]
async fn a_course_closed_by_another_process_takes_nobody() {
    let world = world(None).await;
    world.enrol(ADA).await.unwrap();
    let store = EventStore::Memory(world.log.clone());
    let other = Writer::new(world.writer.cell().clone(), store, world.writer.keys().clone(), Clock::System);
    other.execute::<Course>(&world.tenant, world.course, &meta(), &CourseCommand::Retire).await.unwrap();
    refused(world.enrol(0xb).await, "course_not_published");
}

#[tokio::test]
async fn a_place_that_another_process_gave_is_given_back() {
    let world = world(Some(1)).await;
    let store = EventStore::Memory(world.log.clone());
    let writer = Writer::new(world.writer.cell().clone(), store, world.writer.keys().clone(), Clock::System);
    let other = World { writer, tenant: world.tenant.clone(), log: world.log.clone(), course: world.course };
    // This process has the course in memory without it.
    let (ada, _) = other.enrol(ADA).await.unwrap();
    world.withdraw(&meta(), ada).await.unwrap();
    assert_eq!(other.seats().await, 0);
    other.enrol(0xb).await.unwrap();
}

#[tokio::test]
async fn retries_never_touch_places_twice() {
    let world = world(None).await;
    let (first, leaving) = (meta(), meta());
    let (ada, _) = world.enrol_as(&first, ADA).await.unwrap();
    world.withdraw(&leaving, ada).await.unwrap();
    // From now on places are limited, and she is back with one.
    let details = CourseDetails { title: "First aid".into(), capacity: Some(1), ..CourseDetails::default() };
    world.course(CourseCommand::Change { details }).await;
    world.enrol(ADA).await.unwrap();
    let stored = world.log.events().len();
    assert!(world.enrol_as(&first, ADA).await.unwrap().1.replayed);
    assert!(world.withdraw(&leaving, ada).await.unwrap().replayed);
    assert_eq!((world.log.events().len(), world.seats().await), (stored, 1));
}

#[tokio::test]
async fn concurrent_learners_never_outnumber_the_places() {
    let world = world(Some(3)).await;
    let outcomes = futures::future::join_all((1..=20).map(|contact| world.enrol(contact))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    outcomes.into_iter().filter(Result::is_err).for_each(|outcome| refused(outcome, "course_full"));
    assert_eq!(world.seats().await, 3);
    let twice = futures::future::join_all((0..5).map(|_| world.enrol(1))).await;
    assert!(twice.iter().all(Result::is_err));
}
