//! The website: pages with drafts, revisions and addresses.

pub mod page;
