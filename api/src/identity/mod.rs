//! Who may do what: signing in, accounts, keys of programs, the tenant itself.

pub mod accounts;
pub mod api_keys;
pub mod me;
pub mod password_resets;
mod refusals;
pub mod sessions;
pub mod tenant;
