//! Customers: contacts, their consents and tags, and imports of them.

pub mod contact;
pub mod import;
pub mod segment;
