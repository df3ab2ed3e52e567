//! Deciding and appending: every action of the platform becomes events here.
//!
//! A [`decider`] is pure. The [`writer`] loads it, lets it decide, appends through the [`store`] and starts again when
//! somebody else was first. One file per aggregate (`crm/contact.rs`).

pub mod analytics;
pub mod backend;
pub mod cms;
pub mod crm;
pub mod decider;
pub mod facts;
pub mod harness;
pub mod identity;
pub mod learning;
pub mod mail;
pub mod platform;
pub mod rejection;
pub mod rejection_catalog;
pub mod shop;
pub mod store;
pub mod text;
pub mod writer;

pub use decider::{ClaimChange, Ctx, Decider, Decision, KeyNeed};
pub use rejection::{Class, Rejected, Rejection};
pub use store::{EventStore, StoreError};
pub use writer::{Meta, Receipt, Tx, WriteError, Writer};
