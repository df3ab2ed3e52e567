//! Work for the websites of a tenant.

pub mod file_intake;
pub mod file_sweeper;
pub mod location;
