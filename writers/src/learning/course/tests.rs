use super::*;
use crate::harness::given;
use bus_schema::{Currency, Money, learning::course::LessonKind};

fn details() -> CourseDetails {
    CourseDetails {
        title: "First aid".into(),
        description: "For\neverybody".into(),
        price: Some(Money::new(4_900, Currency::EUR)),
        capacity: Some(2),
    }
}

fn lesson(n: u128) -> Lesson {
    Lesson { id: id(n), title: format!("Lesson {n}"), kind: LessonKind::Video, minutes: 10, required: true }
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn created(lessons: &[u128]) -> CourseEvent {
    CourseCreated { details: details(), lessons: lessons.iter().map(|n| lesson(*n)).collect() }.into()
}

fn published() -> CourseEvent {
    CoursePublished {}.into()
}

fn retired() -> CourseEvent {
    CourseRetired {}.into()
}

fn seat(n: u128) -> CourseEvent {
    SeatTaken { enrolment: id(n) }.into()
}

fn create(details: CourseDetails, lessons: Vec<Lesson>) -> CourseCommand {
    CourseCommand::Create { details, lessons }
}

#[test]
fn a_course_is_made_within_its_limits() {
    given::<Course>([]).when(create(details(), vec![lesson(1), lesson(2)])).then([created(&[1, 2])]);
    given::<Course>([created(&[])]).when(create(details(), vec![])).then_rejected(CourseRejection::Exists);
    let refuse =
        |details, lessons, rejection| given::<Course>([]).when(create(details, lessons)).then_rejected(rejection);
    let price = Some(Money::new(-1, Currency::EUR));
    refuse(CourseDetails { price, ..details() }, vec![], CourseRejection::InvalidPrice);
    for capacity in [Some(0), Some(10_001)] {
        refuse(CourseDetails { capacity, ..details() }, vec![], CourseRejection::InvalidCapacity);
    }
    let title = |title: String| CourseDetails { title, ..details() };
    refuse(title(" ".into()), vec![], CourseRejection::Required { field: "title" });
    refuse(title("x".repeat(201)), vec![], CourseRejection::TooLong { field: "title", max: 200 });
    refuse(title("a\nb".into()), vec![], CourseRejection::InvalidText { field: "title" });
    refuse(details(), vec![lesson(1), lesson(1)], CourseRejection::LessonExists);
    refuse(details(), (0..501).map(lesson).collect(), CourseRejection::TooManyLessons);
    let long = Lesson { minutes: 10_081, ..lesson(2) };
    refuse(details(), vec![lesson(1), long], CourseRejection::InvalidLesson { place: "/lessons/1/minutes".into() });
}

#[test]
fn a_price_of_nothing_is_no_price() {
    let free = |price| CourseCommand::Change { details: CourseDetails { price, ..details() } };
    let changed = CourseChanged { details: CourseDetails { price: None, ..details() } };
    given::<Course>([created(&[])]).when(free(Some(Money::new(0, Currency::EUR)))).then([changed.into()]);
    given::<Course>([created(&[])]).when(CourseCommand::Change { details: details() }).then([]);
    given::<Course>([]).when(free(None)).then_rejected(CourseRejection::Unknown);
}

#[test]
fn lessons_are_added_changed_moved_and_removed() {
    let add = |n| CourseCommand::AddLesson { lesson: lesson(n) };
    given::<Course>([created(&[1])]).when(add(2)).then([LessonAdded { lesson: lesson(2) }.into()]);
    given::<Course>([created(&[1])]).when(add(1)).then([]);
    let other = Lesson { required: false, ..lesson(1) };
    given::<Course>([created(&[1])])
        .when(CourseCommand::AddLesson { lesson: other.clone() })
        .then_rejected(CourseRejection::LessonExists);
    let all: Vec<u128> = (0..500).collect();
    given::<Course>([created(&all)]).when(add(1_000)).then_rejected(CourseRejection::TooManyLessons);

    let change = |lesson| CourseCommand::ChangeLesson { lesson };
    given::<Course>([created(&[1])]).when(change(other.clone())).then([LessonChanged { lesson: other }.into()]);
    given::<Course>([created(&[1])]).when(change(lesson(2))).then_rejected(CourseRejection::UnknownLesson);
    let untitled = Lesson { title: String::new(), ..lesson(1) };
    let fault = CourseRejection::InvalidLesson { place: "/title".into() };
    given::<Course>([created(&[1])]).when(change(untitled)).then_rejected(fault);

    let reorder = |order: &[u128]| CourseCommand::Reorder { order: order.iter().map(|n| id(*n)).collect() };
    let state = given::<Course>([created(&[1, 2, 3])])
        .when(reorder(&[3, 1, 2]))
        .then([LessonsReordered { order: vec![id(3), id(1), id(2)] }.into()]);
    assert_eq!(state.lessons(), [lesson(3), lesson(1), lesson(2)]);
    given::<Course>([created(&[1, 2])]).when(reorder(&[1, 2])).then([]);
    for bad in [&[1_u128][..], &[1, 1], &[1, 2, 2], &[1, 3]] {
        given::<Course>([created(&[1, 2])]).when(reorder(bad)).then_rejected(CourseRejection::InvalidOrder);
    }

    let remove = || CourseCommand::RemoveLesson { lesson: id(1) };
    given::<Course>([created(&[1])]).when(remove()).then([LessonRemoved { lesson: id(1) }.into()]);
    given::<Course>([created(&[1]), published()]).when(remove()).then_rejected(CourseRejection::NoLessons);
    given::<Course>([created(&[2])]).when(remove()).then_rejected(CourseRejection::UnknownLesson);
}

#[test]
fn a_course_opens_with_a_lesson_and_closes() {
    given::<Course>([created(&[])]).when(CourseCommand::Publish).then_rejected(CourseRejection::NoLessons);
    given::<Course>([created(&[1])]).when(CourseCommand::Publish).then([published()]);
    given::<Course>([created(&[1]), published()]).when(CourseCommand::Publish).then([]);
    given::<Course>([created(&[1]), published()]).when(CourseCommand::Retire).then([retired()]);
    given::<Course>([created(&[1]), retired()]).when(CourseCommand::Retire).then([]);
    given::<Course>([created(&[1]), retired()]).when(CourseCommand::Publish).then([published()]);
}

#[test]
fn places_are_limited_and_come_back() {
    let take = |n| CourseCommand::TakeSeat { enrolment: id(n) };
    let release = |n| CourseCommand::ReleaseSeat { enrolment: id(n) };
    let open = [created(&[1]), published(), seat(1)];
    given::<Course>(open.clone()).when(take(2)).then([seat(2)]);
    given::<Course>(open.clone()).when(take(1)).then([]);
    let full = [open.to_vec(), vec![seat(2)]].concat();
    given::<Course>(full.clone()).when(take(3)).then_rejected(CourseRejection::Full);
    given::<Course>(full.clone()).when(release(1)).then([SeatReleased { enrolment: id(1) }.into()]);
    given::<Course>(full.clone()).when(release(3)).then([]);
    given::<Course>([created(&[1])]).when(take(1)).then_rejected(CourseRejection::NotPublished);
    given::<Course>([created(&[1]), retired()]).when(take(1)).then_rejected(CourseRejection::NotPublished);
    let one = CourseDetails { capacity: Some(1), ..details() };
    given::<Course>(full)
        .when(CourseCommand::Change { details: one })
        .then_rejected(CourseRejection::SeatsTaken { taken: 2 });
}

#[test]
fn a_snapshot_holds_the_whole_course() {
    let events = [created(&[1, 2]), published(), seat(1), seat(2)];
    let mut course = Course::default();
    events.iter().for_each(|event| course.evolve(event));
    let snapshot = bus_schema::codec::encode(&course).unwrap();
    let back: Course = bus_schema::codec::decode(&snapshot).unwrap();
    assert_eq!(bus_schema::codec::encode(&back).unwrap(), snapshot);
    assert_eq!((back.lessons(), back.seats_taken(), back.admits()), (course.lessons(), 2, Ok(())));
}
