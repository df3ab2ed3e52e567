//! What operators look at.

pub mod board;
