//! Enrolments: a learner is in a course once, does its lessons in any order and has completed it with the last required
//! one.
//!
//! The id follows from course and learner, so the creation, expected at position 0, is its own claim. What completes
//! the course is fixed when the learner is enrolled; later changes of the course do not take progress away.

mod service;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::learning::enrolment::{
    Enrolled, EnrolmentCompleted, EnrolmentEvent, EnrolmentSource, LessonCompleted, WithdrawalReason, Withdrawn,
};
use serde::{Deserialize, Serialize};
pub use service::{enrol, enrolment_id, withdraw};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

/// An enrolment: nothing before the first, then its newest round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Enrolment {
    round: Option<Round>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Round {
    begun: Arc<Enrolled>,
    status: EnrolmentStatus,
    /// The lessons done, with their best score.
    done: BTreeMap<Uuid, Option<u8>>,
}

/// How a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolmentStatus {
    Active,
    Completed,
    Withdrawn,
}

/// What can be asked of an enrolment. [`enrol`] and [`withdraw`] also keep the course's places.
#[derive(Clone, Debug)]
pub enum EnrolmentCommand {
    /// `required` and `optional` are the course's lessons as of now.
    Enrol {
        course: Uuid,
        contact: Uuid,
        required: Vec<Uuid>,
        optional: Vec<Uuid>,
        source: EnrolmentSource,
        seat: bool,
    },
    CompleteLesson {
        lesson: Uuid,
        score: Option<u8>,
    },
    Withdraw {
        reason: WithdrawalReason,
    },
}

rejections! {
    /// Why a command to an enrolment is refused.
    pub enum EnrolmentRejection {
        Unknown: Missing, "enrolment_not_found", "", "there is no such enrolment";
        AlreadyEnrolled: State, "already_enrolled", "/contact", "the learner is in the course already";
        AlreadyCompleted: State, "already_completed", "", "the learner has completed the course";
        NotEnrolled: State, "enrolment_withdrawn", "", "the learner has left the course";
        NoLessons: Invalid, "no_lessons", "/course", "the course has no lesson to complete it with";
        UnknownLesson: Missing, "lesson_not_found", "/lesson", "the lesson is not one of those the learner was enrolled for";
        InvalidScore: Invalid, "invalid_score", "/score", "a score is 0 to 100 percent";
    }
}

impl Enrolment {
    pub fn status(&self) -> Option<EnrolmentStatus> {
        self.round.as_ref().map(|round| round.status)
    }

    /// What the newest round began with.
    pub fn begun(&self) -> Option<&Enrolled> {
        self.round.as_ref().map(|round| &*round.begun)
    }

    /// How much of the required lessons is done, in percent rounded down.
    pub fn progress(&self) -> u8 {
        self.round.as_ref().map_or(0, Round::progress)
    }

    /// The lessons done, with their best score in percent.
    pub fn lessons_done(&self) -> impl Iterator<Item = (Uuid, Option<u8>)> {
        self.round.iter().flat_map(|round| round.done.iter().map(|(lesson, score)| (*lesson, *score)))
    }

    fn round(&self) -> Result<&Round, EnrolmentRejection> {
        self.round.as_ref().ok_or(EnrolmentRejection::Unknown)
    }
}

impl Round {
    fn progress(&self) -> u8 {
        self.progress_with(None)
    }

    /// The progress once `lesson` is done too.
    fn progress_with(&self, lesson: Option<Uuid>) -> u8 {
        let is_done = |id: &&Uuid| self.done.contains_key(*id) || lesson == Some(**id);
        let (done, all) = (self.begun.required.iter().filter(is_done).count(), self.begun.required.len());
        // At most 100, since the part is not larger than the whole.
        (done * 100).checked_div(all).map_or(0, |percent| percent as u8)
    }

    fn complete(&self, lesson: Uuid, score: Option<u8>) -> Result<Decision<EnrolmentEvent>, EnrolmentRejection> {
        if score.is_some_and(|score| score > 100) {
            return Err(EnrolmentRejection::InvalidScore);
        }
        if !self.begun.required.contains(&lesson) && !self.begun.optional.contains(&lesson) {
            return Err(EnrolmentRejection::UnknownLesson);
        }
        // A lesson done again counts only with a better score.
        if self.done.get(&lesson).is_some_and(|best| score <= *best) {
            return Ok(Decision::nothing());
        }
        let Enrolled { course, contact, round, .. } = *self.begun;
        let progress = self.progress_with(Some(lesson));
        let done = Decision::event(LessonCompleted { course, contact, round, lesson, score, progress });
        if progress == 100 && self.status == EnrolmentStatus::Active {
            return Ok(done.and(EnrolmentCompleted { course, contact, round }));
        }
        Ok(done)
    }
}

/// The lessons in their order, each once.
fn each_once(lessons: &[Uuid], seen: &mut BTreeSet<Uuid>) -> Vec<Uuid> {
    lessons.iter().copied().filter(|lesson| seen.insert(*lesson)).collect()
}

impl Decider for Enrolment {
    type Event = EnrolmentEvent;
    type Command = EnrolmentCommand;
    type Rejection = EnrolmentRejection;

    fn decide(&self, command: &EnrolmentCommand, _ctx: &Ctx) -> Result<Decision<EnrolmentEvent>, EnrolmentRejection> {
        use EnrolmentRejection as R;
        match command {
            EnrolmentCommand::Enrol { course, contact, required, optional, source, seat } => {
                match self.status() {
                    Some(EnrolmentStatus::Active) => return Err(R::AlreadyEnrolled),
                    Some(EnrolmentStatus::Completed) => return Err(R::AlreadyCompleted),
                    Some(EnrolmentStatus::Withdrawn) | None => {}
                }
                let mut seen = BTreeSet::new();
                let (required, optional) = (each_once(required, &mut seen), each_once(optional, &mut seen));
                if required.is_empty() {
                    return Err(R::NoLessons);
                }
                let round = self.begun().map_or(1, |begun| begun.round.saturating_add(1));
                let (course, contact, source, seat) = (*course, *contact, *source, *seat);
                Ok(Decision::event(Enrolled { course, contact, round, required, optional, source, seat }))
            }
            EnrolmentCommand::CompleteLesson { lesson, score } => {
                let round = self.round()?;
                if round.status == EnrolmentStatus::Withdrawn {
                    return Err(R::NotEnrolled);
                }
                round.complete(*lesson, *score)
            }
            EnrolmentCommand::Withdraw { reason } => {
                let round = self.round()?;
                let Enrolled { course, contact, round: number, .. } = *round.begun;
                match round.status {
                    EnrolmentStatus::Withdrawn => Ok(Decision::nothing()),
                    EnrolmentStatus::Completed => Err(R::AlreadyCompleted),
                    EnrolmentStatus::Active => {
                        Ok(Decision::event(Withdrawn { course, contact, round: number, reason: *reason }))
                    }
                }
            }
        }
    }

    fn evolve(&mut self, event: &EnrolmentEvent) {
        match (event, &mut self.round) {
            (EnrolmentEvent::Enrolled(enrolled), round) => {
                let begun = Arc::new(enrolled.clone());
                *round = Some(Round { begun, status: EnrolmentStatus::Active, done: BTreeMap::new() });
            }
            (EnrolmentEvent::LessonCompleted(done), Some(round)) => _ = round.done.insert(done.lesson, done.score),
            (EnrolmentEvent::Completed(_), Some(round)) => round.status = EnrolmentStatus::Completed,
            (EnrolmentEvent::Withdrawn(_), Some(round)) => round.status = EnrolmentStatus::Withdrawn,
            // Nothing else can be recorded of somebody who was never enrolled.
            (_, None) => {}
        }
    }

    fn creates(command: &EnrolmentCommand) -> bool {
        matches!(command, EnrolmentCommand::Enrol { .. })
    }

    /// An enrolment claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> EnrolmentRejection {
        EnrolmentRejection::AlreadyEnrolled
    }
}

#[cfg(test)]
mod tests;
