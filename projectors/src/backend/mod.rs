//! Backends of the ports of this layer; the only place that names their client crates.

pub mod fjall;
pub mod memory;
pub mod scylla;
pub mod tantivy;
