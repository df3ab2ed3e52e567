//! What is counted about a site's traffic.

pub mod visit;
