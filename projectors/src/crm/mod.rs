//! Customers.

pub mod contacts;
pub mod imports;
pub mod segments;
pub mod timeline;
