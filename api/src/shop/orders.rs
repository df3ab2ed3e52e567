//! `/v1/orders`: what is seen of an order. Its commands are in [`commands`].

mod commands;

use crate::{http::list::ListSpec, money::MoneyJson, resource::Resource};
use bus_schema::{
    Keyring, Money,
    shop::order::{BuyerDetails, OrderLine},
};
pub use commands::routes;
use projectors::{
    Record,
    search::literal::FieldType,
    shop::orders::{OrderRow, Orders},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: &[&str] = &["placed", "partially_paid", "paid", "shipped", "cancelled", "refunded"];

pub struct OrderResource;

/// An order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderJson {
    pub id: Uuid,
    pub revision: u64,
    /// `placed`, `partially_paid`, `paid`, `shipped`, `cancelled` or `refunded`; follows from money and goods.
    pub status: &'static str,
    pub contact: Option<Uuid>,
    /// null after erasure.
    pub buyer: Option<BuyerJson>,
    pub currency: String,
    pub lines: Vec<OrderLineJson>,
    pub total: MoneyJson,
    pub captured: MoneyJson,
    pub refunded: MoneyJson,
    /// What is still to be paid; nothing once the order is cancelled.
    pub due: MoneyJson,
    /// What can still be given back.
    pub refundable: MoneyJson,
    pub payments: Vec<PaymentJson>,
    pub refunds: Vec<RefundJson>,
    pub shipment: Option<ShipmentJson>,
    pub cancellation: Option<CancellationJson>,
    pub placed_at: String,
    pub created_at: String,
    pub updated_at: String,
}

/// Who bought.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuyerJson {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    /// As printed on the parcel, one line each.
    pub address: Vec<String>,
    pub note: Option<String>,
}

/// One product of an order, with name and price of the moment it was placed.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderLineJson {
    pub product: Uuid,
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price: MoneyJson,
    pub total: MoneyJson,
    /// Pieces that came back.
    pub returned: u32,
    /// The course this line enrols its buyer in.
    pub course: Option<Uuid>,
}

/// Captured money.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentJson {
    pub at: String,
    pub amount: MoneyJson,
    pub method: String,
    pub reference: String,
}

/// Money given back.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundJson {
    pub at: String,
    pub amount: MoneyJson,
    pub reason: String,
    pub reference: String,
}

/// The parcel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShipmentJson {
    pub at: String,
    pub carrier: String,
    pub tracking: String,
}

/// Why the goods stay.
#[derive(Debug, Serialize, ToSchema)]
pub struct CancellationJson {
    pub at: String,
    pub reason: String,
}

impl Resource for OrderResource {
    type View = Orders;
    type Json = OrderJson;
    const NOUN: &'static str = "order";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("status", FieldType::Choice(STATUSES)),
            ("contact", FieldType::Id),
            ("currency", FieldType::Keyword),
            ("total.amount", FieldType::Integer),
            ("captured", FieldType::Integer),
            ("refunded", FieldType::Integer),
            ("refundable", FieldType::Integer),
            ("sku", FieldType::Keyword),
            ("product", FieldType::Id),
            ("placed_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &[
            "status",
            "currency",
            "total.amount",
            "captured",
            "refunded",
            "refundable",
            "placed_at",
            "created_at",
            "updated_at",
        ],
        default_sort: "-created_at",
        facetable: &["status"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<OrderRow>, keys: &Keyring) -> OrderJson {
        let row = &record.row;
        let progress = &row.progress;
        let money = |amount| MoneyJson::from(Money::new(amount, progress.currency));
        let payment = |payment: &projectors::shop::orders::Payment| PaymentJson {
            at: payment.at.to_string(),
            amount: money(payment.amount),
            method: payment.method.clone(),
            reference: payment.reference.clone(),
        };
        let refund = |refund: &projectors::shop::orders::Refund| RefundJson {
            at: refund.at.to_string(),
            amount: money(refund.amount),
            reason: refund.reason.clone(),
            reference: refund.reference.clone(),
        };
        OrderJson {
            id,
            revision: record.revision,
            status: progress.status().as_str(),
            contact: row.contact,
            buyer: row.reveal(keys).map(buyer),
            currency: progress.currency.to_string(),
            lines: row.lines.iter().map(|line| order_line(line, row)).collect(),
            total: money(progress.total),
            captured: money(progress.captured),
            refunded: money(progress.refunded),
            due: money(if progress.cancelled { 0 } else { progress.due() }),
            refundable: money(progress.refundable()),
            payments: row.payments.iter().map(payment).collect(),
            refunds: row.refunds.iter().map(refund).collect(),
            shipment: row.shipment.as_ref().map(|shipment| ShipmentJson {
                at: shipment.at.to_string(),
                carrier: shipment.carrier.clone(),
                tracking: shipment.tracking.clone(),
            }),
            cancellation: row.cancellation.as_ref().map(|cancellation| CancellationJson {
                at: cancellation.at.to_string(),
                reason: cancellation.reason.clone(),
            }),
            placed_at: record.created_at.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

fn buyer(buyer: BuyerDetails) -> BuyerJson {
    let BuyerDetails { name, email, address, phone, note } = buyer;
    BuyerJson { name, email, phone, address, note }
}

fn order_line(line: &OrderLine, row: &OrderRow) -> OrderLineJson {
    let OrderLine { product, sku, name, quantity, unit_price, course } = line.clone();
    // The total of the order, which is at least this, fits.
    let total = unit_price.times(quantity).unwrap_or(unit_price);
    let returned = row.returned.get(&product).copied().unwrap_or(0);
    let (unit_price, total) = (unit_price.into(), total.into());
    OrderLineJson { product, sku, name, quantity, unit_price, total, returned, course }
}

#[cfg(test)]
mod tests;
