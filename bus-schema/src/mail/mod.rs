//! Mail: campaigns to many with the chunks in which they are sent and what receivers do with them, messages to one, and the
//! addresses that get none.

pub mod campaign;
pub mod chunk;
pub mod message;
pub mod response;
pub mod settings;
pub mod suppression;
pub mod test_send;
