//! Websites.

pub mod pages;
pub mod render;
