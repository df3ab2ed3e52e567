//! Work for the customers of a tenant.

pub mod contact_import;
