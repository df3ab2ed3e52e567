//! Customers.

pub mod contact;
pub mod import;
