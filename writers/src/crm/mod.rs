//! Customers.

pub mod contact;
pub mod import;
pub mod segment;
pub mod subscription;
pub mod subscription_form;
