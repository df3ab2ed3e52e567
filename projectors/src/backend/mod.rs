//! The only place where client crates of stores and indexes are named.

pub mod tantivy;
