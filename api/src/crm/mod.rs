//! Customers.

pub mod activity;
pub mod contacts;
pub mod imports;
pub mod segments;
pub mod timeline;
