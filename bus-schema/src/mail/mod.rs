//! Mail to many: campaigns, the chunks in which they are sent, and what receivers do with them.

pub mod campaign;
pub mod chunk;
pub mod response;
