//! Mail to many: campaigns, and the addresses that get none.

pub mod campaigns;
pub mod feedback;
pub mod recipients;
pub mod responses;
pub mod suppressions;
