//! Mail to many and to one.

pub mod campaign;
pub mod chunk;
pub mod feedback;
pub mod message;
pub mod recipients;
pub mod response;
pub mod settings;
pub mod suppression;
pub mod test_send;
pub mod tracking;
pub mod unsubscribe;
