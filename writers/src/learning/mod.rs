//! Courses and those who take them.

pub mod course;
pub mod enrolment;
