//! An enrolment: one learner in one course, with the lessons as they were when it began.

use crate::events;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to an enrolment. Every event names course and learner, who are known by id only.
    pub enum EnrolmentEvent {
        Enrolled(Enrolled) = "enrolment.enrolled" @ 1,
        LessonCompleted(LessonCompleted) = "enrolment.lesson_completed" @ 1,
        Completed(EnrolmentCompleted) = "enrolment.completed" @ 1,
        Withdrawn(Withdrawn) = "enrolment.withdrawn" @ 1,
    }
}

/// How somebody came into a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentSource {
    /// By somebody who runs the course.
    Manual,
    /// By buying it.
    Order,
    /// By the learner.
    #[serde(rename = "self")]
    Oneself,
}

/// Why somebody left a course. A list and not a text: a text would hold personal data in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// The learner asked for it.
    Requested,
    /// What was paid for it was given back.
    Refunded,
    /// It was a mistake.
    Mistaken,
    /// The learner is no longer with the organisation.
    Departed,
    Other,
}

/// The learner is in the course. `round` counts: 2 is the first time again after a withdrawal, from nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    pub course: Uuid,
    pub contact: Uuid,
    pub round: u32,
    /// The lessons that complete the course, as of now: later changes of the course do not move the goal.
    pub required: Vec<Uuid>,
    /// Lessons that can be taken beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<Uuid>,
    pub source: EnrolmentSource,
    /// Whether one of the course's limited places was taken.
    #[serde(default)]
    pub seat: bool,
}

/// A lesson is done, or done again with a better score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonCompleted {
    pub course: Uuid,
    pub contact: Uuid,
    pub round: u32,
    pub lesson: Uuid,
    /// In percent, for lessons that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// How much of the required lessons is done now, 0 to 100.
    pub progress: u8,
}

/// Every required lesson is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolmentCompleted {
    pub course: Uuid,
    pub contact: Uuid,
    pub round: u32,
}

/// The learner left before the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub course: Uuid,
    pub contact: Uuid,
    pub round: u32,
    pub reason: WithdrawalReason,
}
