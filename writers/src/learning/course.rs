//! Courses: lessons in an order, open for enrolment once published, with a number of places if they are limited.

mod content;
mod service;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::TextFault,
};
use bus_schema::{
    CommandId,
    learning::course::{
        CourseChanged, CourseCreated, CourseDetails, CourseEvent, CoursePublished, CourseRetired, Lesson, LessonAdded,
        LessonChanged, LessonRemoved, LessonsReordered, SeatReleased, SeatTaken,
    },
};
pub use content::{MAX_LESSONS, MAX_SEATS};
use serde::{Deserialize, Serialize};
pub use service::{change, change_lesson, create};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};
use uuid::Uuid;

/// A course. Its parts are shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Course {
    status: CourseStatus,
    details: Arc<CourseDetails>,
    lessons: Arc<Vec<Lesson>>,
    /// The enrolments that hold one of the limited places.
    seats: Arc<BTreeSet<Uuid>>,
}

/// Whether somebody can be enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CourseStatus {
    #[default]
    Absent,
    Draft,
    Published,
    Retired,
}

/// What can be asked of a course.
#[derive(Clone, Debug)]
pub enum CourseCommand {
    /// Lessons come with ids of the caller's; [`lesson_id`] makes them.
    Create {
        details: CourseDetails,
        lessons: Vec<Lesson>,
    },
    Change {
        details: CourseDetails,
    },
    /// Puts a lesson at the end.
    AddLesson {
        lesson: Lesson,
    },
    ChangeLesson {
        lesson: Lesson,
    },
    RemoveLesson {
        lesson: Uuid,
    },
    /// `order` names every lesson once.
    Reorder {
        order: Vec<Uuid>,
    },
    /// Opens the course for enrolment, again too after it was retired.
    Publish,
    /// Closes it for enrolment; those who are in it go on.
    Retire,
    /// For an enrolment: one of the limited places.
    TakeSeat {
        enrolment: Uuid,
    },
    ReleaseSeat {
        enrolment: Uuid,
    },
}

/// The id of the `index`-th lesson a command brings.
pub fn lesson_id(command: CommandId, index: usize) -> Uuid {
    command.aggregate(index + 1)
}

rejections! {
    /// Why a command to a course is refused.
    pub enum CourseRejection {
        Unknown: Missing, "course_not_found", "", "there is no such course";
        Exists: State, "course_exists", "", "the course exists already";
        NotPublished: State, "course_not_published", "", "nobody can be enrolled: the course is not published or was retired";
        Full: State, "course_full", "", "every place of the course is taken";
        NoLessons: State, "no_lessons", "/lessons", "a published course has at least one lesson";
        UnknownLesson: Missing, "lesson_not_found", "/lesson", "the course has no such lesson";
        LessonExists: State, "lesson_exists", "/lesson", "the course has another lesson with this id";
        InvalidLesson { place: String }: Invalid, "invalid_lesson", "{place}", "a lesson has a title of 1 to 200 characters on one line and takes at most 10080 minutes";
        TooManyLessons: State, "too_many_lessons", "/lessons", "a course has at most 500 lessons";
        InvalidOrder: Invalid, "invalid_order", "/order", "an order names every lesson of the course exactly once";
        InvalidPrice: Invalid, "invalid_price", "/price/amount", "a price is not negative";
        InvalidCapacity: Invalid, "invalid_capacity", "/capacity", "a course has 1 to 10000 places, or no limit";
        SeatsTaken { taken: usize }: State, "capacity_below_taken", "/capacity", "{taken} places are taken already";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of the description, characters of the title)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed";
    }
}

impl From<TextFault> for CourseRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Course {
    pub fn status(&self) -> CourseStatus {
        self.status
    }

    pub fn details(&self) -> &CourseDetails {
        &self.details
    }

    pub fn lessons(&self) -> &[Lesson] {
        &self.lessons
    }

    pub fn seats_taken(&self) -> usize {
        self.seats.len()
    }

    pub fn has_seat(&self, enrolment: Uuid) -> bool {
        self.seats.contains(&enrolment)
    }

    /// Whether somebody can be enrolled now, the places aside.
    pub fn admits(&self) -> Result<(), CourseRejection> {
        match self.status {
            CourseStatus::Published => Ok(()),
            CourseStatus::Absent => Err(CourseRejection::Unknown),
            CourseStatus::Draft | CourseStatus::Retired => Err(CourseRejection::NotPublished),
        }
    }

    fn exists(&self) -> Result<(), CourseRejection> {
        if self.status == CourseStatus::Absent { Err(CourseRejection::Unknown) } else { Ok(()) }
    }

    fn lesson(&self, id: Uuid) -> Option<&Lesson> {
        self.lessons.iter().find(|lesson| lesson.id == id)
    }

    fn reordered(&self, order: &[Uuid]) -> Result<Decision<CourseEvent>, CourseRejection> {
        let named: HashSet<Uuid> = order.iter().copied().collect();
        let all = order.len() == self.lessons.len() && self.lessons.iter().all(|lesson| named.contains(&lesson.id));
        if !all {
            return Err(CourseRejection::InvalidOrder);
        }
        if self.lessons.iter().map(|lesson| &lesson.id).eq(order) {
            return Ok(Decision::nothing());
        }
        Ok(Decision::event(LessonsReordered { order: order.to_vec() }))
    }
}

impl Decider for Course {
    type Event = CourseEvent;
    type Command = CourseCommand;
    type Rejection = CourseRejection;

    /// A course with limited places has two events for everybody who ever came and left.
    const SNAPSHOTS: bool = true;

    fn decide(&self, command: &CourseCommand, _ctx: &Ctx) -> Result<Decision<CourseEvent>, CourseRejection> {
        use CourseRejection as R;
        if !matches!(command, CourseCommand::Create { .. }) {
            self.exists()?;
        }
        match command {
            CourseCommand::Create { details, lessons } => {
                let (details, lessons) = (content::valid_details(details)?, content::valid_lessons(lessons)?);
                if self.status != CourseStatus::Absent {
                    return Err(R::Exists);
                }
                Ok(Decision::event(CourseCreated { details, lessons }))
            }
            CourseCommand::Change { details } => {
                let details = content::valid_details(details)?;
                let taken = self.seats.len();
                if details.capacity.is_some_and(|seats| (seats as usize) < taken) {
                    return Err(R::SeatsTaken { taken });
                }
                if details == *self.details {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(CourseChanged { details }))
            }
            CourseCommand::AddLesson { lesson } => {
                let lesson = content::valid_lesson(lesson, "")?;
                match self.lesson(lesson.id) {
                    Some(present) if *present == lesson => Ok(Decision::nothing()),
                    Some(_) => Err(R::LessonExists),
                    None if self.lessons.len() >= MAX_LESSONS => Err(R::TooManyLessons),
                    None => Ok(Decision::event(LessonAdded { lesson })),
                }
            }
            CourseCommand::ChangeLesson { lesson } => {
                let lesson = content::valid_lesson(lesson, "")?;
                match self.lesson(lesson.id) {
                    Some(present) if *present == lesson => Ok(Decision::nothing()),
                    Some(_) => Ok(Decision::event(LessonChanged { lesson })),
                    None => Err(R::UnknownLesson),
                }
            }
            CourseCommand::RemoveLesson { lesson } => {
                self.lesson(*lesson).ok_or(R::UnknownLesson)?;
                if self.status == CourseStatus::Published && self.lessons.len() == 1 {
                    return Err(R::NoLessons);
                }
                Ok(Decision::event(LessonRemoved { lesson: *lesson }))
            }
            CourseCommand::Reorder { order } => self.reordered(order),
            CourseCommand::Publish if self.status == CourseStatus::Published => Ok(Decision::nothing()),
            CourseCommand::Publish if self.lessons.is_empty() => Err(R::NoLessons),
            CourseCommand::Publish => Ok(Decision::event(CoursePublished {})),
            CourseCommand::Retire if self.status == CourseStatus::Retired => Ok(Decision::nothing()),
            CourseCommand::Retire => Ok(Decision::event(CourseRetired {})),
            CourseCommand::TakeSeat { enrolment } => {
                if self.has_seat(*enrolment) {
                    return Ok(Decision::nothing());
                }
                self.admits()?;
                if self.details.capacity.is_some_and(|seats| self.seats.len() >= seats as usize) {
                    return Err(R::Full);
                }
                Ok(Decision::event(SeatTaken { enrolment: *enrolment }))
            }
            CourseCommand::ReleaseSeat { enrolment } => {
                if !self.has_seat(*enrolment) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(SeatReleased { enrolment: *enrolment }))
            }
        }
    }

    fn evolve(&mut self, event: &CourseEvent) {
        match event {
            CourseEvent::Created(created) => {
                self.status = CourseStatus::Draft;
                self.details = Arc::new(created.details.clone());
                self.lessons = Arc::new(created.lessons.clone());
            }
            CourseEvent::Changed(changed) => self.details = Arc::new(changed.details.clone()),
            CourseEvent::LessonAdded(added) => Arc::make_mut(&mut self.lessons).push(added.lesson.clone()),
            CourseEvent::LessonChanged(changed) => {
                let lessons = Arc::make_mut(&mut self.lessons).iter_mut();
                for lesson in lessons.filter(|lesson| lesson.id == changed.lesson.id) {
                    *lesson = changed.lesson.clone();
                }
            }
            CourseEvent::LessonRemoved(removed) => {
                Arc::make_mut(&mut self.lessons).retain(|lesson| lesson.id != removed.lesson);
            }
            CourseEvent::LessonsReordered(reordered) => {
                let place = |id: Uuid| reordered.order.iter().position(|named| *named == id);
                Arc::make_mut(&mut self.lessons).sort_by_cached_key(|lesson| place(lesson.id));
            }
            CourseEvent::Published(_) => self.status = CourseStatus::Published,
            CourseEvent::Retired(_) => self.status = CourseStatus::Retired,
            CourseEvent::SeatTaken(taken) => _ = Arc::make_mut(&mut self.seats).insert(taken.enrolment),
            CourseEvent::SeatReleased(released) => _ = Arc::make_mut(&mut self.seats).remove(&released.enrolment),
        }
    }

    fn creates(command: &CourseCommand) -> bool {
        matches!(command, CourseCommand::Create { .. })
    }

    /// A course claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> CourseRejection {
        CourseRejection::Exists
    }
}

#[cfg(test)]
mod tests;
