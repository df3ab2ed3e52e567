//! Courses and those who take them.

pub mod courses;
pub mod enrolments;
