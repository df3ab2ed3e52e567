//! Mail to many: campaigns.

pub mod attempts;
pub mod campaigns;
pub mod inbound;
pub mod links;
pub mod providers;
pub mod recipients;
pub mod report;
pub mod responses;
pub mod retries;
pub mod sns;
pub mod suppressions;
pub mod unsubscribe;
