//! Commands that ask a running platform over its API.

pub mod client;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod import;
mod position;
pub mod protection;
pub mod replay;
pub mod restore;
pub mod source;
pub mod views;
pub mod workers;
