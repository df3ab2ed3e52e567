//! The shop: products and orders.

pub mod fulfilments;
pub mod orders;
pub mod products;
