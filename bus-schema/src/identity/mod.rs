//! Who may do what: tenants, accounts, sessions, keys of programs, and the scopes they hold.

pub mod account;
pub mod api_key;
pub mod role;
pub mod scope;
pub mod session;
pub mod tenant;
