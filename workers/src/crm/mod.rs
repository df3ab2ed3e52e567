//! Work for the customers of a tenant.

pub mod contact_import;
pub mod eraser;
pub mod import_desk;
pub mod import_worker;
