//! Mail: campaigns to many with the chunks in which they are sent, and messages to one.

pub mod campaign;
pub mod chunk;
pub mod message;
