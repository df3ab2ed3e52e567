//! The shop: products and orders.

pub mod orders;
pub mod products;
