//! Clients of services that belong to others, each behind the port it serves.

pub(crate) mod aws;
pub mod ses;
