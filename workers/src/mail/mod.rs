//! Mails: who they go to, what kind they are.

pub mod address;
mod class;

pub use address::{AddressError, Domain, MailAddress};
pub use class::Class;
