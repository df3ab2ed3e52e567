//! Mail to many and to one: campaigns, their recipients, messages.

pub mod campaigns;
pub mod messages;
pub mod recipients;
