//! What is counted about a site's traffic. Facts only: nobody decides them and no person is in them.

pub mod visit;
