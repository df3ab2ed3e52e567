//! Who may do what: tenants, accounts with their passwords, sessions and keys of programs.
//!
//! [`sign_in`] turns an e-mail address and a password into a session's token; [`authenticate`] turns a token into who
//! calls and what they may do, with every request.

pub mod account;
pub mod api_key;
pub mod authenticate;
pub mod lockout;
pub mod password;
pub mod password_hash;
pub mod password_reset;
pub mod session;
pub mod sign_in;
pub mod tenant;
pub mod token;

#[cfg(test)]
mod testing;
