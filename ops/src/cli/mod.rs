//! Commands that ask a running platform over its API.

pub mod client;
pub mod doctor;
pub mod events;
pub mod import;
pub mod views;
