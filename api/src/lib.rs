//! The HTTP API: commands to the writers, reads from the views, the log as a feed.
//!
//! [`http`] knows no aggregate. [`resource`] makes a collection's reads out of one small declaration; a file per endpoint
//! group (`crm/contacts.rs`) adds its commands.

pub mod admin;
pub mod analytics;
pub mod app;
pub mod caller;
mod catch_up;
pub mod cms;
pub mod command;
pub mod crm;
pub mod describe;
pub mod docs;
pub mod errors;
pub mod feed;
pub mod health;
pub mod history;
pub mod http;
pub mod identity;
pub mod learning;
pub mod letters;
pub mod listing;
pub mod mail;
pub mod money;
pub mod people;
pub mod platform;
mod preferences;
pub mod protection;
mod public_page;
pub mod quotas;
pub mod replays;
pub mod resource;
pub mod router;
pub mod search;
pub mod shop;
pub mod site;
mod subscribe;

pub use app::App;
pub use router::router;
