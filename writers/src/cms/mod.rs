//! The website.

pub mod page;
