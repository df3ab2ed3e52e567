//! Mail: campaigns to many with the chunks in which they are sent, what receivers do with them and what comes back, messages
//! to one, and the addresses that get none.

pub mod campaign;
pub mod chunk;
pub mod feedback;
pub mod message;
pub mod response;
pub mod settings;
pub mod suppression;
pub mod test_send;
