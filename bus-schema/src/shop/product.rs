//! A product with its price and its stock. Every change of stock carries the level it led to, so a reader never needs
//! an earlier event to show it; the history of prices is this stream.

use crate::{events, money::Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a product.
    pub enum ProductEvent {
        Created(ProductCreated) = "product.created" @ 1,
        Described(ProductDescribed) = "product.described" @ 1,
        Repriced(ProductRepriced) = "product.repriced" @ 1,
        Published(ProductPublished) = "product.published" @ 1,
        Retired(ProductRetired) = "product.retired" @ 1,
        StockReceived(StockReceived) = "product.stock_received" @ 1,
        StockAdjusted(StockAdjusted) = "product.stock_adjusted" @ 1,
        StockReserved(StockReserved) = "product.stock_reserved" @ 1,
        StockReleased(StockReleased) = "product.stock_released" @ 1,
        StockShipped(StockShipped) = "product.stock_shipped" @ 1,
        StockReturned(StockReturned) = "product.stock_returned" @ 1,
    }
}

/// What a buyer reads about a product, and what it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDetails {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Normal form, sorted, none twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The course its buyer is enrolled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Uuid>,
}

/// Whether a product is on sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    /// Not yet on sale.
    #[default]
    Draft,
    Published,
    /// Not on sale any more; open orders are still served.
    Retired,
}

/// Pieces in the store, and how many of them are promised to open orders. `reserved <= on_hand` always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevel {
    pub on_hand: u32,
    pub reserved: u32,
}

impl StockLevel {
    /// Pieces that can still be sold.
    pub fn available(self) -> u32 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

/// A product was set up. It is a draft until it is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductCreated {
    /// As it was typed; uniqueness is decided on its upper-case form. It never changes.
    pub sku: String,
    pub details: ProductDetails,
    pub price: Money,
    pub stock: StockLevel,
}

/// The details are now these, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductDescribed {
    pub details: ProductDetails,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductRepriced {
    pub before: Money,
    pub price: Money,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductPublished {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductRetired {}

/// Pieces came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockReceived {
    pub quantity: u32,
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub stock: StockLevel,
}

/// The store was counted and held another number of pieces than was known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockAdjusted {
    pub before: u32,
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub stock: StockLevel,
}

/// Pieces are promised to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockReserved {
    pub order: Uuid,
    pub quantity: u32,
    pub stock: StockLevel,
}

/// The order was cancelled and its pieces are free again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockReleased {
    pub order: Uuid,
    pub quantity: u32,
    pub stock: StockLevel,
}

/// The order was shipped and its pieces left the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockShipped {
    pub order: Uuid,
    pub quantity: u32,
    pub stock: StockLevel,
}

/// Pieces of a shipped order came back and can be sold again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockReturned {
    pub order: Uuid,
    pub quantity: u32,
    pub stock: StockLevel,
}
