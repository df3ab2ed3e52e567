//! Mail to many: campaigns, what their authors need around them, and the addresses that get none.

pub mod attempts;
pub mod authoring;
pub mod campaigns;
pub mod desk;
pub mod inbound;
pub mod links;
pub mod preferences;
pub mod providers;
pub mod recipients;
pub mod report;
pub mod responses;
pub mod retries;
pub mod sns;
pub mod suppressions;
pub mod unsubscribe;
