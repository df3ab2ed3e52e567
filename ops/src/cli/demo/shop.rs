//! 120 products and 600 orders in every state an order can be in.

use super::{
    DAYS, Demo, LAST_DAY, Rng, Step,
    people::{Contact, moment},
};
use crate::cli::client::CliError;
use serde_json::{Value, json};

const KINDS: &[(&str, &str, u64)] = &[
    ("Backpack", "BP", 8_900),
    ("Tent", "TT", 24_900),
    ("Sleeping bag", "SB", 16_900),
    ("Stove", "ST", 5_900),
    ("Jacket", "JK", 18_900),
    ("Boots", "BO", 17_900),
    ("Headlamp", "HL", 3_900),
    ("Rope", "RP", 14_900),
    ("Bottle", "BT", 1_900),
    ("Map", "MP", 1_290),
    ("Socks", "SO", 1_590),
    ("Gloves", "GL", 3_490),
];
const SERIES: &[&str] = &["Fjell", "Karst", "Lärche", "Moor", "Nebel", "Pass", "Quarz", "Rinne", "Schneise", "Tal"];

pub struct Product {
    pub id: String,
    price: u64,
}

pub async fn products(demo: &Demo) -> Result<Vec<Product>, CliError> {
    demo.all((0..120).map(|number| product(demo, number))).await
}

async fn product(demo: &Demo, number: usize) -> Result<Product, CliError> {
    let mut rng = Rng::of("product", number);
    let (kind, code, base) = KINDS[number % KINDS.len()];
    let series = SERIES[(number / KINDS.len()) % SERIES.len()];
    let price = base + 100 * rng.below(40) as u64;
    let at = LAST_DAY - DAYS as i64 * 86_400 + number as i64 * 600;
    let body = json!({
        "sku": format!("{code}-{:03}", number + 1),
        "name": format!("{kind} {series}"),
        "description": format!("{kind} of the {series} series. Repairable, spare parts in stock."),
        "price": { "amount": price, "currency": "EUR" },
        "on_hand": 200 * demo.scale + rng.below(300),
        "tags": [kind.to_lowercase(), series.to_lowercase()],
    });
    let key = |what: &str| format!("demo-product-{number}-{what}");
    let id = demo.run(Step::post(key("create"), "/v1/products", body).on(at)).await?;
    demo.run(Step::act(key("publish"), format!("/v1/products/{id}/publish")).on(at + 60)).await?;
    Ok(Product { id, price })
}

pub async fn orders(demo: &Demo, contacts: &[Contact], products: &[Product]) -> Result<usize, CliError> {
    let count = 600 * demo.scale;
    Ok(demo.all((0..count).map(|number| order(demo, number, count, contacts, products))).await?.len())
}

async fn order(
    demo: &Demo,
    number: usize,
    count: usize,
    contacts: &[Contact],
    products: &[Product],
) -> Result<(), CliError> {
    let mut rng = Rng::of("order", number);
    let buyer = &contacts[rng.below(contacts.len())];
    let at = moment(&mut rng, number, count).max(buyer.since + 3_600);
    let mut lines: Vec<Value> = Vec::new();
    let (mut total, first) = (0, rng.below(products.len()));
    for line in 0..1 + rng.below(4) {
        // Distinct products: a step that shares no factor with the length.
        let product = &products[(first + 7 * line) % products.len()];
        let quantity = 1 + rng.below(3) as u64;
        total += quantity * product.price;
        lines.push(json!({ "product": product.id, "quantity": quantity }));
    }
    let body = json!({
        "contact": buyer.id,
        "buyer": { "name": buyer.name, "email": buyer.email, "lines": ["Hauptstraße 1", buyer.city] },
        "currency": "EUR",
        "lines": lines,
    });
    let key = |what: &str| format!("demo-order-{number}-{what}");
    let money = |amount: u64| json!({ "amount": amount, "currency": "EUR" });
    let id = demo.run(Step::post(key("place"), "/v1/orders", body).on(at)).await?;
    let path = |what: &str| format!("/v1/orders/{id}/{what}");
    let fate = rng.below(100);
    if fate < 6 {
        demo.run(Step::post(key("cancel"), path("cancel"), json!({ "reason": "changed my mind" })).on(at + 7_200))
            .await?;
        return Ok(());
    }
    if fate < 10 {
        return Ok(());
    }
    let payment = json!({ "amount": money(total), "method": "invoice", "reference": format!("INV-{number:05}") });
    demo.run(Step::post(key("pay"), path("payments"), payment).on(at + 1_800)).await?;
    if fate < 16 {
        return Ok(());
    }
    let shipment = json!({ "carrier": "Parcel", "tracking": format!("TRK{number:07}") });
    demo.run(Step::post(key("ship"), path("ship"), shipment).on(at + 86_400)).await?;
    if fate >= 94 {
        let refund =
            json!({ "amount": money(total / 2), "reason": "damaged", "reference": format!("REF-{number:05}") });
        demo.run(Step::post(key("refund"), path("refunds"), refund).on(at + 6 * 86_400)).await?;
    }
    Ok(())
}
