//! The limits of what a course may hold.

use super::CourseRejection as R;
use crate::text;
use bus_schema::learning::course::{CourseDetails, Lesson};
use std::collections::HashSet;

/// Lessons of one course.
pub const MAX_LESSONS: usize = 500;
/// Limited places of one course; a course for more has no limit.
pub const MAX_SEATS: u32 = 10_000;
/// The longest lesson: a week.
const MAX_MINUTES: u32 = 7 * 24 * 60;

/// The details with every limit kept. A price of nothing is no price.
pub(super) fn valid_details(details: &CourseDetails) -> Result<CourseDetails, R> {
    if details.price.is_some_and(|price| price.amount < 0) {
        return Err(R::InvalidPrice);
    }
    if details.capacity.is_some_and(|seats| !(1..=MAX_SEATS).contains(&seats)) {
        return Err(R::InvalidCapacity);
    }
    Ok(CourseDetails {
        title: text::required_line("title", &details.title, 200)?,
        description: text::block("description", &details.description, 20_000)?,
        price: details.price.filter(|price| price.amount > 0),
        capacity: details.capacity,
    })
}

/// A lesson with every limit kept; `place` is where the command has it, for the pointer of a rejection.
pub(super) fn valid_lesson(lesson: &Lesson, place: &str) -> Result<Lesson, R> {
    let title = match text::required_line("title", &lesson.title, 200) {
        Ok(title) => title,
        Err(_) => return Err(R::InvalidLesson { place: format!("{place}/title") }),
    };
    if lesson.minutes > MAX_MINUTES {
        return Err(R::InvalidLesson { place: format!("{place}/minutes") });
    }
    Ok(Lesson { title, ..lesson.clone() })
}

/// The lessons a course begins with.
pub(super) fn valid_lessons(lessons: &[Lesson]) -> Result<Vec<Lesson>, R> {
    if lessons.len() > MAX_LESSONS {
        return Err(R::TooManyLessons);
    }
    let mut seen = HashSet::new();
    let valid = lessons.iter().enumerate().map(|(index, lesson)| {
        if seen.insert(lesson.id) { valid_lesson(lesson, &format!("/lessons/{index}")) } else { Err(R::LessonExists) }
    });
    valid.collect()
}
