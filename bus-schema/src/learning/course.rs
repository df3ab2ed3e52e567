//! A course: what is taught in which order, what it costs and how many can take it.

use crate::{events, money::Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a course.
    pub enum CourseEvent {
        Created(CourseCreated) = "course.created" @ 1,
        Changed(CourseChanged) = "course.changed" @ 1,
        LessonAdded(LessonAdded) = "course.lesson_added" @ 1,
        LessonChanged(LessonChanged) = "course.lesson_changed" @ 1,
        LessonRemoved(LessonRemoved) = "course.lesson_removed" @ 1,
        LessonsReordered(LessonsReordered) = "course.lessons_reordered" @ 1,
        Published(CoursePublished) = "course.published" @ 1,
        Retired(CourseRetired) = "course.retired" @ 1,
        SeatTaken(SeatTaken) = "course.seat_taken" @ 1,
        SeatReleased(SeatReleased) = "course.seat_released" @ 1,
    }
}

/// What is said about a course, beside its lessons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseDetails {
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Absent for a course that costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// How many can be enrolled at the same time; absent for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

/// What a lesson is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonKind {
    Video,
    Page,
    Quiz,
    File,
}

/// One lesson. Its id is unique within the course and stays with it through changes and reordering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    pub id: Uuid,
    pub title: String,
    pub kind: LessonKind,
    /// How long it takes, in minutes.
    pub minutes: u32,
    /// Whether the course is complete only with it.
    pub required: bool,
}

/// A course exists, open to editors only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourseCreated {
    pub details: CourseDetails,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons: Vec<Lesson>,
}

/// The details are now these, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourseChanged {
    pub details: CourseDetails,
}

/// The lesson stands at the end of the course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonAdded {
    pub lesson: Lesson,
}

/// The lesson is now this, whole, at its old place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonChanged {
    pub lesson: Lesson,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonRemoved {
    pub lesson: Uuid,
}

/// All lessons in their new order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonsReordered {
    pub order: Vec<Uuid>,
}

/// People can be enrolled from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoursePublished {}

/// Nobody can be enrolled any more; those who are go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourseRetired {}

/// One of the limited places is this enrolment's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatTaken {
    pub enrolment: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeatReleased {
    pub enrolment: Uuid,
}
