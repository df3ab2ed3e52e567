//! The shop: products, orders, and the checkout that changes both together.

pub mod checkout;
pub mod fulfilment;
pub mod order;
pub mod product;

mod card;
mod text;
