//! The shop: products with their stock, and orders with their money.

pub mod fulfilment;
pub mod order;
pub mod product;
