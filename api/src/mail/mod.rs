//! Mail to many: campaigns.

pub mod campaigns;
pub mod recipients;
pub mod suppressions;
pub mod unsubscribe;
