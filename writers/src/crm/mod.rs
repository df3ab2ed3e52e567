//! Customers.

pub mod contact;
