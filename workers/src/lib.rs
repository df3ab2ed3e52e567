//! What acts on the log and on behalf of it: everything with side effects. One module per context.
//!
//! A [`worker`] runs until it is asked to stop, says how it stands through [`runtime`] and reads the log through a
//! [`log_reader`]; files are in [`blob`]. Mails are
//! composed by [`mail`] and handed to a provider by [`smtp`].

pub mod archive;
pub mod backend;
pub mod blob;
pub mod cms;
pub mod crm;
mod history;
pub mod log_reader;
pub mod mail;
mod place;
pub mod process;
pub mod runtime;
pub mod shop;
pub mod smtp;
pub mod worker;

pub use worker::{Stop, Worker};
