//! Customers.

pub mod contacts;
