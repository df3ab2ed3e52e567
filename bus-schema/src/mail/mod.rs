//! Mail to many: campaigns.

pub mod campaign;
