//! Mail to many, campaigns, and to one, messages.

pub mod campaigns;
pub mod messages;
pub mod recipients;
pub mod suppressions;
pub mod unsubscribe;
