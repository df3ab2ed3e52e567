//! Mail to many: campaigns.

pub mod attempts;
pub mod campaigns;
pub mod providers;
pub mod recipients;
pub mod retries;
pub mod suppressions;
pub mod unsubscribe;
