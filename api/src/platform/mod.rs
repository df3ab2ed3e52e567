//! Operating the platform: its workers.

pub mod workers;
