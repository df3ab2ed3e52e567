//! An order: what was bought at which price, the money that came and went back, and where the goods are. Who bought is
//! sealed; with a contact under the contact's key, so that erasing the contact erases the buyer of its orders.

use crate::{
    events,
    ids::KeyId,
    money::{Currency, Money},
    sealed::{Personal, Sealed},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to an order.
    pub enum OrderEvent {
        Placed(OrderPlaced) = "order.placed" @ 1,
        Paid(OrderPaid) = "order.paid" @ 1,
        Shipped(OrderShipped) = "order.shipped" @ 1,
        Cancelled(OrderCancelled) = "order.cancelled" @ 1,
        Refunded(OrderRefunded) = "order.refunded" @ 1,
        Returned(OrderReturned) = "order.returned" @ 1,
        BuyerErased(BuyerErased) = "order.buyer_erased" @ 1,
    }
}

/// Who bought, and what they wrote to the shop. Empty fields are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuyerDetails {
    pub name: String,
    pub email: String,
    /// As printed on the parcel, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// What the buyer wants to tell the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Personal for BuyerDetails {
    const LABEL: &'static str = "shop.order.buyer";
}

/// One product of an order, with its name and price as they were when the order was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    pub product: Uuid,
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price: Money,
    /// The course this line enrols its buyer in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Uuid>,
}

/// Where an order stands as a whole. Computed, never set: see [`OrderProgress::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    Placed,
    PartiallyPaid,
    /// Everything is captured (or nothing was to be paid), nothing shipped yet.
    Paid,
    Shipped,
    /// Not to be shipped. Captured money that is not refunded yet is [`OrderProgress::refundable`].
    Cancelled,
    /// Everything captured went back.
    Refunded,
}

impl OrderStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::PartiallyPaid => "partially_paid",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}

/// The money and the goods of an order, in minor units of its currency. `0 <= refunded <= captured <= total` always.
/// Every event carries it as it is afterwards, so the last event alone shows where the order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderProgress {
    pub currency: Currency,
    pub total: i64,
    pub captured: i64,
    pub refunded: i64,
    pub shipped: bool,
    pub cancelled: bool,
}

impl OrderProgress {
    /// An order just placed.
    pub fn new(total: Money) -> Self {
        let Money { amount: total, currency } = total;
        Self { currency, total, captured: 0, refunded: 0, shipped: false, cancelled: false }
    }

    pub fn status(&self) -> OrderStatus {
        if self.captured > 0 && self.refunded == self.captured {
            OrderStatus::Refunded
        } else if self.cancelled {
            OrderStatus::Cancelled
        } else if self.shipped {
            OrderStatus::Shipped
        } else if self.captured >= self.total {
            OrderStatus::Paid
        } else if self.captured > 0 {
            OrderStatus::PartiallyPaid
        } else {
            OrderStatus::Placed
        }
    }

    /// What is still to be paid.
    pub fn due(&self) -> i64 {
        self.total - self.captured
    }

    /// What can still be given back.
    pub fn refundable(&self) -> i64 {
        self.captured - self.refunded
    }
}

/// Somebody ordered. The stock is reserved in the same commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The contact who bought; the buyer is then sealed under the contact's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Uuid>,
    pub buyer: Sealed<BuyerDetails>,
    pub lines: Vec<OrderLine>,
    pub progress: OrderProgress,
}

/// Money was captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderPaid {
    pub amount: Money,
    /// How: `card`, `invoice`, `bank-transfer`.
    pub method: String,
    /// The payment's id at whoever captured it; unique within the order. Never a card number.
    pub reference: String,
    pub progress: OrderProgress,
}

/// The goods left; the stock is deducted in the same commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderShipped {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub carrier: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tracking: String,
    pub progress: OrderProgress,
}

/// The order will not be shipped; the stock is released in the same commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub progress: OrderProgress,
}

/// Money went back to the buyer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderRefunded {
    pub amount: Money,
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The refund's id; unique within the order. Never a card number.
    pub reference: String,
    /// The pieces this is the money of, when that was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Pieces>,
    pub progress: OrderProgress,
}

/// Pieces of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    pub product: Uuid,
    pub quantity: u32,
}

/// Goods came back; the stock is raised in the same commit. Money goes back by a refund of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderReturned {
    pub pieces: Vec<Pieces>,
    /// No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub progress: OrderProgress,
}

/// A buyer without contact asked to be forgotten: the order's own key is destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuyerErased {
    pub key: KeyId,
    pub progress: OrderProgress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_money_and_goods() {
        let placed = OrderProgress::new(Money::new(1_000, Currency::EUR));
        let with = |captured, refunded, shipped, cancelled| {
            OrderProgress { captured, refunded, shipped, cancelled, ..placed }.status()
        };
        assert_eq!(with(0, 0, false, false), OrderStatus::Placed);
        assert_eq!(with(400, 0, false, false), OrderStatus::PartiallyPaid);
        assert_eq!(with(1_000, 300, false, false), OrderStatus::Paid);
        assert_eq!(with(1_000, 300, true, false), OrderStatus::Shipped);
        assert_eq!(with(400, 0, false, true), OrderStatus::Cancelled);
        assert_eq!(with(400, 400, false, true), OrderStatus::Refunded);
        assert_eq!(with(1_000, 1_000, true, false), OrderStatus::Refunded);
        let free = OrderProgress::new(Money::new(0, Currency::EUR));
        assert_eq!(free.status(), OrderStatus::Paid, "nothing is to be paid");
    }
}
