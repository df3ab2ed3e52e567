//! Who may work for a tenant, as those who administer it see it.

pub mod accounts;
pub mod api_keys;
