//! Mail: campaigns to many with the chunks in which they are sent, messages to one, and the addresses that get none.

pub mod campaign;
pub mod chunk;
pub mod message;
pub mod settings;
pub mod suppression;
