//! Websites.

pub mod files;
pub mod pages;
pub mod render;
