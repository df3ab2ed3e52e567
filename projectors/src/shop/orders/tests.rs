use super::*;
use crate::harness::{KEY, at, given, keyring, sealed};
use bus_schema::{
    Currency, Money,
    shop::order::{
        BuyerErased, OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded, OrderReturned, OrderShipped, OrderStatus,
        Pieces,
    },
};

const INK: Uuid = Uuid::from_u128(0x1f);
const CONTACT: Uuid = Uuid::from_u128(0xc0);

fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn ada() -> BuyerDetails {
    BuyerDetails { name: "Ada".into(), email: "ada@example.org".into(), ..BuyerDetails::default() }
}

fn lines() -> Vec<OrderLine> {
    let (sku, name) = ("INK-1".into(), "Ink".into());
    vec![OrderLine { product: INK, sku, name, quantity: 2, unit_price: euros(500), course: None }]
}

fn progress() -> OrderProgress {
    OrderProgress::new(euros(1_000))
}

fn paid_up() -> OrderProgress {
    OrderProgress { captured: 1_000, ..progress() }
}

fn placed(contact: Option<Uuid>) -> OrderEvent {
    OrderPlaced { contact, buyer: sealed(&ada()), lines: lines(), progress: progress() }.into()
}

fn paid(amount: i64, reference: &str, captured: i64) -> OrderEvent {
    let progress = OrderProgress { captured, ..progress() };
    OrderPaid { amount: euros(amount), method: "card".into(), reference: reference.into(), progress }.into()
}

fn row() -> OrderRow {
    OrderRow {
        contact: None,
        buyer: Some(sealed(&ada())),
        lines: lines(),
        progress: progress(),
        payments: Vec::new(),
        refunds: Vec::new(),
        shipment: None,
        cancellation: None,
        returned: BTreeMap::new(),
    }
}

fn payment(event: usize, amount: i64, reference: &str) -> Payment {
    Payment { at: at(event), amount, method: "card".into(), reference: reference.into() }
}

#[tokio::test]
async fn payments_and_refunds_are_listed_with_their_times() {
    let progress = OrderProgress { refunded: 300, ..paid_up() };
    let refunded =
        OrderRefunded { amount: euros(300), reason: "late".into(), reference: "r1".into(), pieces: vec![], progress };
    let events = [placed(None), paid(400, "p1", 400), paid(600, "p2", 1_000), refunded.into()];
    let record = given::<Orders>(events)
        .then_row(OrderRow {
            progress,
            payments: vec![payment(1, 400, "p1"), payment(2, 600, "p2")],
            refunds: vec![Refund { at: at(3), amount: 300, reason: "late".into(), reference: "r1".into() }],
            ..row()
        })
        .await;
    assert_eq!((record.row.progress.status(), record.row.progress.refundable()), (OrderStatus::Paid, 700));
    assert_eq!((record.created_at, record.updated_at), (at(0), at(3)));
}

#[tokio::test]
async fn goods_that_came_back_add_up() {
    let progress = OrderProgress { shipped: true, ..paid_up() };
    let shipped = OrderShipped { carrier: "Post".into(), tracking: "T-1".into(), progress };
    let back = |quantity| {
        let pieces = vec![Pieces { product: INK, quantity }];
        OrderEvent::from(OrderReturned { pieces, reason: "broken".into(), progress })
    };
    given::<Orders>([placed(None), paid(1_000, "p1", 1_000), shipped.into(), back(1), back(1)])
        .then_row(OrderRow {
            progress,
            payments: vec![payment(1, 1_000, "p1")],
            shipment: Some(Shipment { at: at(2), carrier: "Post".into(), tracking: "T-1".into() }),
            returned: BTreeMap::from([(INK, 2)]),
            ..row()
        })
        .await;
}

#[tokio::test]
async fn a_cancelled_order_keeps_its_reason() {
    let progress = OrderProgress { cancelled: true, ..progress() };
    given::<Orders>([placed(None), OrderCancelled { reason: "changed mind".into(), progress }.into()])
        .then_row(OrderRow {
            progress,
            cancellation: Some(Cancellation { at: at(1), reason: "changed mind".into() }),
            ..row()
        })
        .await;
}

#[tokio::test]
async fn an_erased_buyer_is_gone_from_record_and_search() {
    let known = given::<Orders>([placed(None)]);
    let doc = known.document(&keyring()).await.expect("an order can always be found");
    assert_eq!(doc.text[0].text, "Ada ada@example.org");
    let erased = given::<Orders>([placed(None), BuyerErased { key: KEY, progress: progress() }.into()]);
    let doc = erased.document(&keyring()).await.expect("an order can always be found");
    assert_eq!(doc.text[0].text, "");
    let record = erased.then_row(OrderRow { buyer: None, ..row() }).await;
    assert!(Orders::keys(&record.row).is_empty());
}

#[tokio::test]
async fn a_contacts_words_never_enter_the_orders_of_the_index() {
    let order = given::<Orders>([placed(Some(CONTACT))]);
    let doc = order.document(&keyring()).await.expect("an order can always be found");
    assert!(doc.text.iter().all(|part| !part.text.contains("Ada")));
    assert!(doc.fields.contains(&("contact".into(), FieldValue::Str(CONTACT.to_string()))));
    assert!(doc.fields.contains(&("sku".into(), FieldValue::Strs(vec!["INK-1".into()]))));
    let record = order.then_row(OrderRow { contact: Some(CONTACT), ..row() }).await;
    assert_eq!(record.row.reveal(&keyring()), Some(ada()));
    assert_eq!(record.row.reveal(&Keyring::default()), None, "the contact's key was destroyed");
}

#[tokio::test]
async fn what_was_never_placed_is_not_shown() {
    given::<Orders>([paid(1, "p1", 1)]).then_no_row().await;
}
