pub mod backend;
pub mod search;
