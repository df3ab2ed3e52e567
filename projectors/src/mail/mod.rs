//! Mail to many and to one: campaigns, their recipients, messages, and the addresses that get none.

pub mod campaigns;
pub mod feedback;
pub mod messages;
mod receivers;
pub mod recipients;
pub mod responses;
pub mod suppressions;
