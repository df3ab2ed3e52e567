//! The website: pages with drafts, revisions and addresses, and the files they show.

pub mod file;
pub mod media;
pub mod page;
