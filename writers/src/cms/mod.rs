//! The website.

pub mod file;
pub mod page;
