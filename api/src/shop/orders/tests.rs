use super::*;
use crate::resource::missing_from_search;
use bus_schema::{Currency, KeyId, Micros, Sealed, SealingKey, shop::order::OrderProgress};
use projectors::shop::orders::{Payment, Refund};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const INK: Uuid = Uuid::from_u128(0x1f);

fn key() -> Arc<SealingKey> {
    Arc::new(SealingKey::new(KeyId(Uuid::from_u128(0x4e)), [7; 32]))
}

fn record() -> Record<OrderRow> {
    let buyer = BuyerDetails { name: "Ada".into(), email: "ada@example.org".into(), ..BuyerDetails::default() };
    let euros = |amount| Money::new(amount, Currency::EUR);
    let line = |product, quantity, amount| {
        let (sku, name) = ("INK-1".into(), "Ink".into());
        OrderLine { product, sku, name, quantity, unit_price: euros(amount), course: None }
    };
    let at = Micros(1_769_903_910_000_000);
    let row = OrderRow {
        contact: Some(Uuid::from_u128(0xc0)),
        buyer: Some(Sealed::seal(&key(), "test", &buyer).unwrap()),
        lines: vec![line(INK, 3, 500), line(Uuid::from_u128(2), 1, 0)],
        progress: OrderProgress { captured: 900, refunded: 200, ..OrderProgress::new(euros(1_500)) },
        payments: vec![Payment { at, amount: 900, method: "card".into(), reference: "p1".into() }],
        refunds: vec![Refund { at, amount: 200, reason: String::new(), reference: "r1".into() }],
        shipment: None,
        cancellation: None,
        returned: BTreeMap::from([(INK, 1)]),
    };
    Record { revision: 9, first: 5, created_at: at, updated_at: at, row }
}

fn shown(record: &Record<OrderRow>, keys: &Keyring) -> serde_json::Value {
    serde_json::to_value(OrderResource::present(Uuid::from_u128(1), record, keys)).unwrap()
}

#[test]
fn an_order_shows_its_money_and_goods() {
    let order = shown(&record(), &Keyring::default().with(key()));
    let euros = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    assert_eq!((&order["status"], &order["currency"]), (&json!("partially_paid"), &json!("EUR")));
    for (field, amount) in [("total", 1_500), ("captured", 900), ("refunded", 200), ("refundable", 700), ("due", 600)] {
        assert_eq!(order[field], euros(amount), "{field}");
    }
    assert_eq!(order["lines"][0]["total"], euros(1_500));
    assert_eq!((&order["lines"][0]["returned"], &order["lines"][1]["returned"]), (&json!(1), &json!(0)));
    assert_eq!((&order["payments"][0]["amount"], &order["refunds"][0]["amount"]), (&euros(900), &euros(200)));
    assert_eq!(order["buyer"]["name"], "Ada");
}

#[test]
fn nothing_is_due_of_a_cancelled_order_and_an_erased_buyer_is_null() {
    let mut record = record();
    record.row.progress.cancelled = true;
    let order = shown(&record, &Keyring::default());
    assert_eq!((&order["due"]["amount"], &order["refundable"]["amount"]), (&json!(0), &json!(700)));
    assert_eq!((&order["buyer"], &order["status"]), (&json!(null), &json!("cancelled")));
}

#[test]
fn search_knows_every_field_a_list_names() {
    assert_eq!(missing_from_search::<OrderResource>(&record(), &Keyring::default()), Vec::<&str>::new());
}
