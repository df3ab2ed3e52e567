//! Imports of contacts from files, and taking an import back.
//!
//! A file is read as a stream ([`csv_source`], [`ndjson_source`]), its columns are matched to fields ([`mapping`]), each
//! row becomes one command ([`engine`]) and one line of a [`report`]. [`undo`] reads that report and takes back what the
//! import did, as far as nobody built on it since.
//!
//! Memory does not grow with the file. Everything can be stopped at any moment and started again from the last
//! [`Checkpoint`]: the commands' ids follow from the import's id and the row's number, so a row that runs twice acts once.

mod apply;
mod checkpoint;
mod conveyor;
pub mod csv_source;
pub mod encoding;
pub mod engine;
mod headings;
pub mod mapping;
pub mod ndjson_source;
mod patience;
pub mod report;
mod revert;
pub mod row;
pub mod source;
pub mod undo;

pub use checkpoint::{Checkpoint, Next, Progress, ProgressError, Summary, Tally};
pub use conveyor::ImportError;

#[cfg(test)]
mod tests;
