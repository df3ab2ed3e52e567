//! Websites.

pub mod pages;
pub mod routes;
