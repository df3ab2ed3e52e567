//! Customers: contacts, their consents and tags, and imports of them, how somebody subscribes.

pub mod contact;
pub mod import;
pub mod segment;
pub mod subscription_form;
