//! Mail to many: campaigns, the chunks in which they are sent, what receivers do with them and what comes back, and the addresses that get none.

pub mod campaign;
pub mod chunk;
pub mod feedback;
pub mod response;
pub mod suppression;
pub mod test_send;
