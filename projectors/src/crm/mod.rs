//! Customers.

pub mod activities;
pub mod contact_source;
pub mod contacts;
pub mod engagements;
pub mod imports;
pub mod segments;
pub mod timeline;
