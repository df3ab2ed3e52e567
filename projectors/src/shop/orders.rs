//! Orders as people look at them: what was bought, the money that came and went back, and where the goods are.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    KeyId, Keyring, Micros, Revealed, Sealed, TenantId,
    shop::order::{BuyerDetails, OrderEvent, OrderLine, OrderProgress},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Orders;

/// An order; who bought is sealed. Its size is bounded: lines, payments and refunds have limits, and of what came back
/// only the sums are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderRow {
    /// The buyer is then sealed under the contact's key.
    pub contact: Option<Uuid>,
    /// `None` after the buyer without contact was erased.
    pub buyer: Option<Sealed<BuyerDetails>>,
    pub lines: Vec<OrderLine>,
    pub progress: OrderProgress,
    pub payments: Vec<Payment>,
    pub refunds: Vec<Refund>,
    pub shipment: Option<Shipment>,
    pub cancellation: Option<Cancellation>,
    /// Pieces that came back, by product.
    pub returned: BTreeMap<Uuid, u32>,
}

/// Captured money, in minor units of the order's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub at: Micros,
    pub amount: i64,
    pub method: String,
    pub reference: String,
}

/// Money given back, in minor units of the order's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub at: Micros,
    pub amount: i64,
    pub reason: String,
    pub reference: String,
}

/// The goods left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    pub at: Micros,
    pub carrier: String,
    pub tracking: String,
}

/// The goods stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    pub at: Micros,
    pub reason: String,
}

impl OrderRow {
    /// The buyer in the clear, `None` after erasure.
    pub fn reveal(&self, keys: &Keyring) -> Option<BuyerDetails> {
        match self.buyer.as_ref()?.open(keys) {
            Ok(Revealed::Known(buyer)) => Some(buyer),
            Ok(Revealed::Erased) | Err(_) => None,
        }
    }
}

impl RecordView for Orders {
    const NAME: &'static str = "orders";
    const VERSION: u32 = 1;
    type Event = OrderEvent;
    type Row = OrderRow;

    fn fold(row: Option<OrderRow>, event: &OrderEvent, happening: &Happening) -> Option<OrderRow> {
        if let OrderEvent::Placed(placed) = event {
            return Some(OrderRow {
                contact: placed.contact,
                buyer: Some(placed.buyer.clone()),
                lines: placed.lines.clone(),
                progress: placed.progress,
                payments: Vec::new(),
                refunds: Vec::new(),
                shipment: None,
                cancellation: None,
                returned: BTreeMap::new(),
            });
        }
        // Nothing else can be recorded of an order that was not placed.
        let mut row = row?;
        let at = happening.at;
        row.progress = match event {
            OrderEvent::Placed(placed) => placed.progress,
            OrderEvent::Paid(paid) => {
                let (method, reference) = (paid.method.clone(), paid.reference.clone());
                row.payments.push(Payment { at, amount: paid.amount.amount, method, reference });
                paid.progress
            }
            OrderEvent::Refunded(refunded) => {
                let (reason, reference) = (refunded.reason.clone(), refunded.reference.clone());
                row.refunds.push(Refund { at, amount: refunded.amount.amount, reason, reference });
                refunded.progress
            }
            OrderEvent::Shipped(shipped) => {
                let (carrier, tracking) = (shipped.carrier.clone(), shipped.tracking.clone());
                row.shipment = Some(Shipment { at, carrier, tracking });
                shipped.progress
            }
            OrderEvent::Cancelled(cancelled) => {
                row.cancellation = Some(Cancellation { at, reason: cancelled.reason.clone() });
                cancelled.progress
            }
            OrderEvent::Returned(returned) => {
                for piece in &returned.pieces {
                    let sum = row.returned.entry(piece.product).or_default();
                    *sum = sum.saturating_add(piece.quantity);
                }
                returned.progress
            }
            OrderEvent::BuyerErased(erased) => {
                row.buyer = None;
                erased.progress
            }
        };
        Some(row)
    }

    fn keys(row: &OrderRow) -> Vec<KeyId> {
        row.buyer.iter().map(Sealed::key).collect()
    }

    /// The words of a buyer are found only for an order without contact, because only the erasure of that buyer is an
    /// event of the order and takes them out of the index again. A contact's orders are found by `contact`.
    fn document(tenant: &TenantId, id: Uuid, record: &Record<OrderRow>, keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let progress = &row.progress;
        let buyer = if row.contact.is_none() { row.reveal(keys) } else { None };
        let heading = buyer.map(|buyer| format!("{} {}", buyer.name, buyer.email)).unwrap_or_default();
        let goods = row.lines.iter().flat_map(|line| [line.sku.as_str(), line.name.as_str()]);
        let references = row.payments.iter().map(|payment| payment.reference.as_str());
        let tracking = row.shipment.iter().map(|shipment| shipment.tracking.as_str());
        let body = goods.chain(references).chain(tracking).collect::<Vec<_>>().join(" ");
        let text = |value: &str| FieldValue::Str(value.to_owned());
        let of_lines = |of: fn(&OrderLine) -> String| FieldValue::Strs(row.lines.iter().map(of).collect());
        let mut fields: Vec<(String, FieldValue)> = [
            ("status", text(progress.status().as_str())),
            ("currency", text(progress.currency.as_str())),
            ("total.amount", FieldValue::I64(progress.total)),
            ("captured", FieldValue::I64(progress.captured)),
            ("refunded", FieldValue::I64(progress.refunded)),
            ("refundable", FieldValue::I64(progress.refundable())),
            ("sku", of_lines(|line| line.sku.clone())),
            ("product", of_lines(|line| line.product.to_string())),
            ("placed_at", FieldValue::Time(record.created_at.0)),
            ("created_at", FieldValue::Time(record.created_at.0)),
            ("updated_at", FieldValue::Time(record.updated_at.0)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        fields.extend(row.contact.map(|contact| ("contact".to_owned(), text(&contact.to_string()))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: heading },
                TextPart { weight: Weight::Body, text: body },
            ],
            fields,
        })
    }
}

#[cfg(test)]
mod tests;
