//! Mail to many: campaigns.

pub mod campaigns;
