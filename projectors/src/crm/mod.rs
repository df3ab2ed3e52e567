//! Customers.

pub mod contacts;
pub mod imports;
pub mod timeline;
