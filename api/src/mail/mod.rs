//! Mail to many, campaigns, and to one, messages.

pub mod attempts;
pub mod campaigns;
pub mod desk;
pub mod links;
pub mod messages;
pub mod providers;
pub mod recipients;
pub mod report;
pub mod responses;
pub mod retries;
pub mod settings;
pub mod suppressions;
pub mod templates;
pub mod unsubscribe;
