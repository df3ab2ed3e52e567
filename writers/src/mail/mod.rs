//! Mail to many.

pub mod campaign;
pub mod chunk;
pub mod suppression;
pub mod test_send;
pub mod unsubscribe;
