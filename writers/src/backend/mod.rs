//! The stores behind the port.

pub mod memory;
pub mod nats;
