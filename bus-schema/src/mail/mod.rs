//! Mail to many: campaigns, and the chunks in which they are sent.

pub mod campaign;
pub mod chunk;
