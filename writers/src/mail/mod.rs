//! Mail to many.

pub mod campaign;
pub mod chunk;
pub mod feedback;
pub mod recipients;
pub mod response;
pub mod suppression;
pub mod test_send;
pub mod tracking;
pub mod unsubscribe;
