//! Customers.

pub mod activity;
pub mod contacts;
pub mod imports;
pub mod segments;
pub mod subscription_form;
pub mod timeline;
