//! What happened on the sites.

pub mod visits;
