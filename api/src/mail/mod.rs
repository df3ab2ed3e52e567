//! Mail to many: campaigns, what their authors need around them, and the addresses that get none; and to one: messages.

pub mod attempts;
pub mod authoring;
pub mod campaigns;
pub mod desk;
pub mod inbound;
pub mod links;
pub mod message_desk;
pub mod messages;
pub mod preferences;
pub mod providers;
pub mod recipients;
pub mod report;
pub mod responses;
pub mod retries;
pub mod settings;
pub mod sns;
pub mod suppressions;
pub mod templates;
pub mod unsubscribe;
