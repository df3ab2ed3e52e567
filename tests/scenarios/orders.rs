//! Selling: stock is never sold twice, money never goes back twice.

use super::{tenant, unique};
use crate::support::{Answer, Client};
use serde_json::{Value, json};
use uuid::Uuid;

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

/// A product on sale.
async fn product(client: &Client, price: i64, on_hand: u32) -> Uuid {
    let body = json!({"sku": unique("SKU-"), "name": "Ink", "price": eur(price), "on_hand": on_hand});
    let id = client.make("/v1/products", &body).await;
    client.post(&format!("/v1/products/{id}/publish"), &json!({})).send().await.expect(200);
    id
}

fn wanted(lines: &[(Uuid, u32)]) -> Value {
    let lines: Vec<Value> = lines.iter().map(|(id, quantity)| json!({"product": id, "quantity": quantity})).collect();
    json!({"buyer": {"name": "Ada Lovelace", "email": format!("{}@x.example", unique("b"))},
           "currency": "EUR", "lines": lines})
}

async fn place(client: &Client, lines: &[(Uuid, u32)]) -> Answer {
    client.post("/v1/orders", &wanted(lines)).send().await
}

/// Pieces on hand and reserved.
async fn stock(client: &Client, product: Uuid) -> (u64, u64) {
    let product = client.read(&format!("/v1/products/{product}")).await.expect(200).json();
    let number = |name: &str| find(&product, name).as_u64().unwrap_or_else(|| panic!("no {name} in {product}"));
    (number("on_hand"), number("reserved"))
}

/// A field at the top or in an object below.
fn find(record: &Value, name: &str) -> Value {
    let below = || record.as_object().into_iter().flatten().find_map(|(_, inner)| inner.get(name));
    record.get(name).or_else(below).cloned().unwrap_or_default()
}

async fn status(client: &Client, order: Uuid) -> String {
    let order = client.read(&format!("/v1/orders/{order}")).await.expect(200).json();
    find(&order, "status").as_str().unwrap_or_else(|| panic!("no status in {order}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_paid_shipped_returned_and_refunded() {
    let client = tenant().await;
    let (ink, pen) = (product(&client, 1_250, 10).await, product(&client, 300, 5).await);
    let order = place(&client, &[(ink, 2), (pen, 1)]).await.expect(201).id();
    let at = |what: &str| format!("/v1/orders/{order}/{what}");
    assert_eq!((stock(&client, ink).await, stock(&client, pen).await), ((10, 2), (5, 1)));
    let shown = client.read(&format!("/v1/orders/{order}")).await.expect(200).json();
    assert_eq!(find(&shown, "total"), eur(2_800), "{shown:#}");
    assert_eq!(shown["lines"].as_array().map(Vec::len), Some(2));
    let pay = |amount: i64, reference: &str| {
        client.post(&at("payments"), &json!({"amount": eur(amount), "method": "card", "reference": reference})).send()
    };
    pay(2_801, "pi_0").await.refused(409, "overpaid");
    pay(800, "pi_1").await.expect(200);
    assert_eq!(status(&client, order).await, "partially_paid");
    pay(800, "pi_1").await.expect(200);
    let parcel = json!({"carrier": "Post", "tracking": "T1"});
    client.post(&at("ship"), &parcel).send().await.refused(409, "unpaid");
    pay(2_000, "pi_2").await.expect(200);
    assert_eq!(status(&client, order).await, "paid");
    client.post(&at("ship"), &parcel).send().await.expect(200);
    assert_eq!((stock(&client, ink).await, stock(&client, pen).await), ((8, 0), (4, 0)));
    client.post(&at("cancel"), &json!({"reason": "too late"})).send().await.refused(409, "already_shipped");
    let back = json!({"lines": [{"product": ink, "quantity": 1}], "reason": "broken"});
    client.post(&at("returns"), &back).send().await.expect(200);
    assert_eq!(stock(&client, ink).await, (9, 0));
    let refund = |amount: i64, reference: &str| {
        client.post(&at("refunds"), &json!({"amount": eur(amount), "reason": "broken", "reference": reference})).send()
    };
    refund(1_250, "re_1").await.expect(200);
    refund(1_250, "re_1").await.expect(200);
    refund(1_551, "re_2").await.refused(409, "refund_exceeds_captured");
    refund(1_550, "re_3").await.expect(200);
    assert_eq!(status(&client, order).await, "refunded");
    let history = client.read(&at("history")).await.expect(200).json();
    let kinds: Vec<&str> =
        history["items"].as_array().expect("items").iter().filter_map(|e| e["kind"].as_str()).collect();
    let expected = ["placed", "paid", "paid", "shipped", "returned", "refunded", "refunded"];
    assert_eq!(kinds, expected.map(|kind| format!("order.{kind}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_sold() {
    let client = tenant().await;
    let ink = product(&client, 100, 3).await;
    let draft = client.make("/v1/products", &json!({"sku": unique("S"), "name": "Draft", "price": eur(1)})).await;
    place(&client, &[(draft, 1)]).await.refused(409, "not_sellable");
    place(&client, &[(ink, 4)]).await.refused(409, "out_of_stock");
    place(&client, &[(Uuid::nil(), 1)]).await.refused(422, "unknown_product");
    place(&client, &[]).await.refused(422, "invalid_lines");
    let twice = place(&client, &[(ink, 1), (ink, 1)]).await.refused(422, "product_twice");
    assert_eq!(twice.errors()[0]["pointer"], "/lines/1/product");
    // Ten want one of three.
    let orders = futures::future::join_all((0..10).map(async |_| place(&client, &[(ink, 1)]).await)).await;
    let placed: Vec<Uuid> = orders.iter().filter(|order| order.status == 201).map(Answer::id).collect();
    assert_eq!(placed.len(), 3);
    orders.into_iter().filter(|order| order.status != 201).for_each(|order| _ = order.refused(409, "out_of_stock"));
    assert_eq!(stock(&client, ink).await, (3, 3));
    let cancel = format!("/v1/orders/{}/cancel", placed[0]);
    client.post(&cancel, &json!({"reason": "changed my mind"})).send().await.expect(200);
    client.post(&cancel, &json!({"reason": "changed my mind"})).send().await.expect(200);
    assert_eq!(stock(&client, ink).await, (3, 2));
    let adjust = json!({"on_hand": 1, "reason": "counted"});
    client.post(&format!("/v1/products/{ink}/adjust"), &adjust).send().await.refused(409, "below_reserved");
    client.post(&format!("/v1/products/{ink}/receive"), &json!({"quantity": 5})).send().await.expect(200);
    assert_eq!(stock(&client, ink).await, (8, 2));
    client.post(&format!("/v1/products/{ink}/retire"), &json!({})).send().await.expect(200);
    place(&client, &[(ink, 1)]).await.refused(409, "not_sellable");
    let sku = client.read(&format!("/v1/products/{ink}")).await.expect(200).json()["sku"].clone();
    client
        .post("/v1/products", &json!({"sku": sku, "name": "Again", "price": eur(1)}))
        .send()
        .await
        .refused(409, "sku_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_never_goes_back_twice_however_many_ask() {
    let client = tenant().await;
    let ink = product(&client, 1_000, 1).await;
    let order = place(&client, &[(ink, 1)]).await.expect(201).id();
    let pay = json!({"amount": eur(1_000), "method": "card", "reference": "pi"});
    client.post(&format!("/v1/orders/{order}/payments"), &pay).send().await.expect(200);
    let refund = |number: i64| {
        let body = json!({"amount": eur(300), "reason": "haste", "reference": format!("re_{number}")});
        client.post(&format!("/v1/orders/{order}/refunds"), &body).key(&unique("key-")).send()
    };
    let answers = futures::future::join_all((0..12).map(refund)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "refund_exceeds_captured");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_is_forgotten_and_the_books_stay() {
    let client = tenant().await;
    let ink = product(&client, 700, 9).await;
    let name = unique("Buyer");
    let mut body = wanted(&[(ink, 1)]);
    body["buyer"]["name"] = json!(name);
    let order = client.make("/v1/orders", &body).await;
    let path = format!("/v1/orders/{order}");
    assert!(client.read(&path).await.expect(200).text().contains(&name));
    client.delete(&format!("{path}/buyer")).send().await.expect(200);
    let shown = client.read(&path).await.expect(200);
    assert!(!shown.text().contains(&name));
    assert_eq!(find(&shown.json(), "total"), eur(700));
    assert!(!client.read(&format!("{path}/history")).await.expect(200).text().contains(&name));
    let contact = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
    let mut body = wanted(&[(ink, 1)]);
    body["contact"] = json!(contact);
    let order = client.make("/v1/orders", &body).await;
    client.delete(&format!("/v1/orders/{order}/buyer")).send().await.refused(409, "buyer_is_contact");
}
