//! Customers.

pub mod contact;
pub mod import;
pub mod segment;
