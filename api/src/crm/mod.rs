//! Customers.

pub mod contacts;
pub mod imports;
