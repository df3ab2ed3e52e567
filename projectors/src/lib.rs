//! Projections: what users read, made from the log.
//!
//! A [`record_view`] says in one small file how an aggregate's events become a record and where it stands in lists. A
//! [`lane`] follows the log for a group of views and writes rows and checkpoints together through the [`read_store`].
//! [`views`] is what the API asks.

pub mod analytics;
pub mod backend;
pub mod catalog;
pub mod cms;
pub mod crm;
pub mod generation;
#[cfg(test)]
mod harness;
pub mod identity;
pub mod lane;
pub mod learning;
pub mod listing;
pub mod mail;
pub mod platform;
mod positioned;
pub mod projection;
pub mod read_store;
pub mod record_view;
pub mod replay;
pub mod search;
pub mod search_lane;
pub mod shop;
pub mod skips;
pub mod sort_key;
pub mod views;

pub use projection::{Projection, ProjectionError, RowName, Rows};
pub use record_view::{Entry, Happening, Record, RecordView};
pub use views::{ViewError, Views};
