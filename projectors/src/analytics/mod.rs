//! What happened on the sites, counted.

pub mod visits;
