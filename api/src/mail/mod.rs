//! Mail to many: campaigns.

pub mod campaigns;
pub mod inbound;
pub mod links;
pub mod recipients;
pub mod report;
pub mod responses;
pub mod sns;
pub mod suppressions;
pub mod unsubscribe;
