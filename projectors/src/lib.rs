//! Projections: what users read, made from the log.

pub mod backend;
pub mod read_store;
pub mod sort_key;
