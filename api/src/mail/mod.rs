//! Campaigns.

pub mod campaigns;
