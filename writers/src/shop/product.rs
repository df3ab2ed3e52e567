//! Products: what is sold, at which price, and how many pieces of it there are.
//!
//! **Whose is an SKU?** A product's id follows from its SKU (see [`id_of`]), so its creation, expected at position 0, is
//! its own claim and costs one durable write. An SKU therefore never changes.
//!
//! **Stock** is `on_hand` and, of those, `reserved` pieces promised to open orders; what is left can be sold and is never
//! negative. Each open order's reservation is known by the order's id, so reserving, releasing or shipping twice changes
//! nothing. Only the functions of `checkout` reserve, because an order and its reservations are committed together.

mod details;
mod service;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    shop::text::{self, BadText},
};
use bus_schema::{
    Money,
    shop::product::{
        ProductCreated, ProductDescribed, ProductDetails, ProductEvent, ProductPublished, ProductRepriced,
        ProductRetired, ProductStatus, StockAdjusted, StockLevel, StockReceived, StockReleased, StockReserved,
        StockReturned, StockShipped,
    },
};
pub use details::{MAX_DESCRIPTION, MAX_PRICE, MAX_STOCK, MAX_TAGS, normal_sku, normal_tag, valid_details};
use serde::{Deserialize, Serialize};
pub use service::{change, create, id_of};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// Orders that may hold reservations of one product at the same time; keeps a snapshot under the size of a message.
pub const MAX_RESERVATIONS: usize = 10_000;

/// A product. Large parts are shared between copies of the state, because a copy is made for every command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Product {
    listing: Option<Arc<Listing>>,
    stock: StockLevel,
    /// Pieces promised, by order.
    reservations: Arc<BTreeMap<Uuid, u32>>,
}

/// What a product is, apart from its stock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    pub sku: String,
    pub details: ProductDetails,
    pub price: Money,
    pub status: ProductStatus,
}

/// What can be asked of a product. `line` is the order line that asks, for the pointer of a rejection.
#[derive(Clone, Debug)]
pub enum ProductCommand {
    /// Use [`create`], which knows the id.
    Create {
        sku: String,
        details: ProductDetails,
        price: Money,
        on_hand: u32,
    },
    Change {
        details: ProductDetails,
    },
    Reprice {
        price: Money,
    },
    Publish,
    Retire,
    ReceiveStock {
        quantity: u32,
        reason: String,
    },
    /// The store was counted.
    AdjustStock {
        on_hand: u32,
        reason: String,
    },
    Reserve {
        order: Uuid,
        quantity: u32,
        line: usize,
    },
    Release {
        order: Uuid,
    },
    /// The order's pieces leave the store.
    Deduct {
        order: Uuid,
    },
    /// Pieces of a shipped order come back; the order knows how many can.
    Restock {
        order: Uuid,
        quantity: u32,
    },
}

rejections! {
    /// Why a command to a product is refused.
    pub enum ProductRejection {
        Unknown: Missing, "product_not_found", "", "there is no such product";
        SkuTaken: State, "sku_taken", "/sku", "another product has this SKU (upper and lower case are the same)";
        InvalidSku: Invalid, "invalid_sku", "/sku", "an SKU has 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'";
        Required { field: &'static str }: Invalid, "required", "/{field}", "this must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters are allowed";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed";
        InvalidTag: Invalid, "invalid_tag", "/tags", "a tag has 1 to 60 characters of a-z, 0-9, space, '-', '_', '.', ':' and letters of other scripts";
        TooManyTags: Invalid, "too_many_tags", "/tags", "a product has at most {MAX_TAGS} tags";
        InvalidPrice: Invalid, "invalid_price", "/price", "a price is 0 to {MAX_PRICE} minor units";
        InvalidQuantity: Invalid, "invalid_quantity", "/quantity", "a quantity is 1 to {MAX_STOCK} pieces";
        StockLimit { field: &'static str }: State, "stock_limit", "/{field}", "a product has at most {MAX_STOCK} pieces on hand";
        BelowReserved { reserved: u32 }: State, "below_reserved", "/on_hand", "{reserved} pieces are promised to open orders, so at least as many must be on hand; cancel orders first";
        NoSuchProduct { line: usize }: Invalid, "unknown_product", "/lines/{line}/product", "there is no such product";
        LineQuantity { line: usize }: Invalid, "invalid_quantity", "/lines/{line}/quantity", "a quantity is at least 1 piece";
        NotSellable { line: usize }: State, "not_sellable", "/lines/{line}/product", "the product is not on sale";
        OutOfStock { line: usize, available: u32 }: State, "out_of_stock", "/lines/{line}/quantity", "only {available} pieces are available";
        ReservedOtherwise { line: usize, reserved: u32 }: State, "reserved_otherwise", "/lines/{line}/quantity", "the order has reserved {reserved} pieces already";
        TooManyReservations { line: usize }: State, "too_many_reservations", "/lines/{line}/product", "{MAX_RESERVATIONS} open orders wait for this product; ship or cancel some first";
        NotReserved: State, "not_reserved", "", "the order has no pieces of this product reserved";
    }
}

impl From<BadText> for ProductRejection {
    fn from(bad: BadText) -> Self {
        match bad {
            BadText::Missing { field } => Self::Required { field },
            BadText::TooLong { field, max } => Self::TooLong { field, max },
            BadText::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Product {
    /// What it is; `None` when nothing was ever created here.
    pub fn listing(&self) -> Option<&Listing> {
        self.listing.as_deref()
    }

    pub fn stock(&self) -> StockLevel {
        self.stock
    }

    /// Pieces promised to an order.
    pub fn reserved_for(&self, order: Uuid) -> Option<u32> {
        self.reservations.get(&order).copied()
    }

    /// Orders with reservations.
    pub fn open_orders(&self) -> usize {
        self.reservations.len()
    }

    fn known(&self) -> Result<&Listing, ProductRejection> {
        self.listing().ok_or(ProductRejection::Unknown)
    }

    /// The level after `quantity` more pieces came into the store.
    fn raised(&self, quantity: u32) -> Result<StockLevel, ProductRejection> {
        if !(1..=MAX_STOCK).contains(&quantity) {
            return Err(ProductRejection::InvalidQuantity);
        }
        let on_hand = self.stock.on_hand.checked_add(quantity).filter(|on_hand| *on_hand <= MAX_STOCK);
        let on_hand = on_hand.ok_or(ProductRejection::StockLimit { field: "quantity" })?;
        Ok(StockLevel { on_hand, ..self.stock })
    }

    fn reserve(&self, order: Uuid, quantity: u32, line: usize) -> Result<Decision<ProductEvent>, ProductRejection> {
        use ProductRejection as R;
        let listing = self.listing().ok_or(R::NoSuchProduct { line })?;
        match self.reserved_for(order) {
            Some(reserved) if reserved == quantity => return Ok(Decision::nothing()),
            Some(reserved) => return Err(R::ReservedOtherwise { line, reserved }),
            None => {}
        }
        if listing.status != ProductStatus::Published {
            return Err(R::NotSellable { line });
        }
        if quantity == 0 {
            return Err(R::LineQuantity { line });
        }
        let available = self.stock.available();
        if quantity > available {
            return Err(R::OutOfStock { line, available });
        }
        if self.reservations.len() >= MAX_RESERVATIONS {
            return Err(R::TooManyReservations { line });
        }
        let stock = StockLevel { reserved: self.stock.reserved + quantity, ..self.stock };
        Ok(Decision::event(StockReserved { order, quantity, stock }))
    }
}

impl Decider for Product {
    type Event = ProductEvent;
    type Command = ProductCommand;
    type Rejection = ProductRejection;

    const SNAPSHOTS: bool = true;

    fn decide(&self, command: &ProductCommand, _ctx: &Ctx) -> Result<Decision<ProductEvent>, ProductRejection> {
        use ProductRejection as R;
        let status = |listing: &Listing| listing.status;
        match command {
            ProductCommand::Create { sku, details, price, on_hand } => {
                normal_sku(sku)?;
                if self.listing.is_some() {
                    return Err(R::SkuTaken);
                }
                let (details, price) = (valid_details(details)?, details::valid_price(*price)?);
                if *on_hand > MAX_STOCK {
                    return Err(R::StockLimit { field: "on_hand" });
                }
                let stock = StockLevel { on_hand: *on_hand, reserved: 0 };
                Ok(Decision::event(ProductCreated { sku: sku.clone(), details, price, stock }))
            }
            ProductCommand::Change { details } => {
                let (listing, details) = (self.known()?, valid_details(details)?);
                if listing.details == details {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ProductDescribed { details }))
            }
            ProductCommand::Reprice { price } => {
                let (before, price) = (self.known()?.price, details::valid_price(*price)?);
                if before == price {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ProductRepriced { before, price }))
            }
            ProductCommand::Publish => match self.known().map(status)? {
                ProductStatus::Published => Ok(Decision::nothing()),
                ProductStatus::Draft | ProductStatus::Retired => Ok(Decision::event(ProductPublished {})),
            },
            ProductCommand::Retire => match self.known().map(status)? {
                ProductStatus::Retired => Ok(Decision::nothing()),
                ProductStatus::Draft | ProductStatus::Published => Ok(Decision::event(ProductRetired {})),
            },
            ProductCommand::ReceiveStock { quantity, reason } => {
                self.known()?;
                let (stock, reason) = (self.raised(*quantity)?, text::line("reason", reason, 500)?);
                Ok(Decision::event(StockReceived { quantity: *quantity, reason, stock }))
            }
            ProductCommand::AdjustStock { on_hand, reason } => {
                self.known()?;
                let reason = text::line("reason", reason, 500)?;
                let StockLevel { on_hand: before, reserved } = self.stock;
                if *on_hand == before {
                    return Ok(Decision::nothing());
                }
                if *on_hand > MAX_STOCK {
                    return Err(R::StockLimit { field: "on_hand" });
                }
                if *on_hand < reserved {
                    return Err(R::BelowReserved { reserved });
                }
                let stock = StockLevel { on_hand: *on_hand, reserved };
                Ok(Decision::event(StockAdjusted { before, reason, stock }))
            }
            ProductCommand::Reserve { order, quantity, line } => self.reserve(*order, *quantity, *line),
            ProductCommand::Release { order } => {
                self.known()?;
                let Some(quantity) = self.reserved_for(*order) else { return Ok(Decision::nothing()) };
                let stock = StockLevel { reserved: self.stock.reserved.saturating_sub(quantity), ..self.stock };
                Ok(Decision::event(StockReleased { order: *order, quantity, stock }))
            }
            ProductCommand::Deduct { order } => {
                self.known()?;
                let quantity = self.reserved_for(*order).ok_or(R::NotReserved)?;
                let StockLevel { on_hand, reserved } = self.stock;
                let stock = StockLevel {
                    on_hand: on_hand.saturating_sub(quantity),
                    reserved: reserved.saturating_sub(quantity),
                };
                Ok(Decision::event(StockShipped { order: *order, quantity, stock }))
            }
            ProductCommand::Restock { order, quantity } => {
                self.known()?;
                let stock = self.raised(*quantity)?;
                Ok(Decision::event(StockReturned { order: *order, quantity: *quantity, stock }))
            }
        }
    }

    fn evolve(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Created(created) => {
                let ProductCreated { sku, details, price, stock } = created.clone();
                self.listing = Some(Arc::new(Listing { sku, details, price, status: ProductStatus::Draft }));
                self.stock = stock;
            }
            ProductEvent::Described(described) => self.relist(|listing| listing.details = described.details.clone()),
            ProductEvent::Repriced(repriced) => self.relist(|listing| listing.price = repriced.price),
            ProductEvent::Published(_) => self.relist(|listing| listing.status = ProductStatus::Published),
            ProductEvent::Retired(_) => self.relist(|listing| listing.status = ProductStatus::Retired),
            ProductEvent::StockReceived(received) => self.stock = received.stock,
            ProductEvent::StockAdjusted(adjusted) => self.stock = adjusted.stock,
            ProductEvent::StockReserved(reserved) => {
                self.stock = reserved.stock;
                Arc::make_mut(&mut self.reservations).insert(reserved.order, reserved.quantity);
            }
            ProductEvent::StockReleased(released) => self.settle(released.order, released.stock),
            ProductEvent::StockShipped(shipped) => self.settle(shipped.order, shipped.stock),
            ProductEvent::StockReturned(returned) => self.stock = returned.stock,
        }
    }

    fn creates(command: &ProductCommand) -> bool {
        matches!(command, ProductCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> ProductRejection {
        ProductRejection::SkuTaken
    }
}

impl Product {
    fn relist(&mut self, edit: impl FnOnce(&mut Listing)) {
        if let Some(listing) = &mut self.listing {
            edit(Arc::make_mut(listing));
        }
    }

    /// An order holds nothing any more.
    fn settle(&mut self, order: Uuid, stock: StockLevel) {
        self.stock = stock;
        Arc::make_mut(&mut self.reservations).remove(&order);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::Dice;
