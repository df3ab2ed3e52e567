//! Mail to many.

pub mod campaign;
