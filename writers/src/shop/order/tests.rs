use super::*;
use crate::{
    Rejection,
    harness::{Given, given, key, opened, sealed},
};
use OrderCommand as C;
use OrderRejection as R;

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::try_new("USD").unwrap())
}

fn ada() -> BuyerDetails {
    BuyerDetails { name: "Ada".into(), email: "ada@example.org".into(), ..BuyerDetails::default() }
}

const INK: Uuid = Uuid::from_u128(1);

fn line(quantity: u32, unit_price: Money) -> OrderLine {
    OrderLine { product: INK, sku: "INK".into(), name: "Ink".into(), quantity, unit_price, course: None }
}

fn start(total: i64) -> OrderProgress {
    OrderProgress::new(eur(total))
}

fn placed_at(total: i64) -> OrderEvent {
    OrderPlaced { contact: None, buyer: sealed(&ada()), lines: vec![line(4, eur(total / 4))], progress: start(total) }
        .into()
}

fn paid(reference: &str, amount: i64, captured: i64) -> OrderEvent {
    let progress = OrderProgress { captured, ..start(1_000) };
    OrderPaid { amount: eur(amount), method: "card".into(), reference: reference.into(), progress }.into()
}

fn refunded(reference: &str, amount: i64, captured: i64, refunded: i64) -> OrderEvent {
    let progress = OrderProgress { captured, refunded, ..start(1_000) };
    OrderRefunded { amount: eur(amount), reason: "late".into(), reference: reference.into(), pieces: vec![], progress }
        .into()
}

fn shipped() -> OrderEvent {
    let progress = OrderProgress { captured: 1_000, shipped: true, ..start(1_000) };
    OrderShipped { carrier: "Post".into(), tracking: "T1".into(), progress }.into()
}

fn cancelled(captured: i64) -> OrderEvent {
    let progress = OrderProgress { captured, cancelled: true, ..start(1_000) };
    OrderCancelled { reason: "changed mind".into(), progress }.into()
}

/// An order of 10.00 EUR with what happened to it since.
fn ordered(more: impl IntoIterator<Item = OrderEvent>) -> Given<Order> {
    given(std::iter::once(placed_at(1_000)).chain(more))
}

fn place(contact: Option<OrderContact>, lines: Vec<OrderLine>) -> C {
    C::Place { contact, buyer: ada(), lines, currency: Currency::EUR }
}

fn pay(reference: &str, amount: Money) -> C {
    C::Pay { amount, method: "card".into(), reference: reference.into() }
}

fn refund(reference: &str, amount: Money) -> C {
    C::Refund { amount, reason: "late".into(), reference: reference.into(), pieces: vec![] }
}

fn ship() -> C {
    C::Ship { carrier: " Post".into(), tracking: "T1 ".into() }
}

fn cancel() -> C {
    C::Cancel { reason: "changed mind".into() }
}

fn back(product: Uuid, quantity: u32) -> C {
    C::Return { pieces: vec![Pieces { product, quantity }], reason: "broken".into() }
}

#[test]
fn an_order_is_placed_with_its_buyer_sealed() {
    let contact = OrderContact { id: Uuid::from_u128(9), key: key().id };
    for contact in [None, Some(contact)] {
        let decision = given::<Order>([]).when(place(contact, vec![line(4, eur(250))])).decision();
        let [OrderEvent::Placed(placed)] = &decision.events[..] else { panic!("{decision:?}") };
        assert_eq!(opened(&placed.buyer), ada());
        assert_eq!(placed.contact, contact.map(|contact| contact.id));
        assert_eq!(placed.progress, start(1_000));
        assert!(!format!("{decision:?}").contains("Ada"), "nothing personal in the clear");
    }
    ordered([]).when(place(None, vec![line(1, eur(1))])).then_rejected(R::AlreadyPlaced);
    let erased = OrderContact { id: Uuid::from_u128(9), key: KeyId(Uuid::nil()) };
    given::<Order>([]).when(place(Some(erased), vec![line(1, eur(1))])).then_rejected(R::ContactErased);
    given::<Order>([]).when(place(None, vec![])).then_rejected(R::InvalidLines);
    let mixed = R::LineCurrency { line: 0, currency: Currency::EUR, found: usd(1).currency };
    assert_eq!((mixed.code(), mixed.pointer().as_str()), ("currency_mismatch", "/lines/0/product"));
    given::<Order>([]).when(place(None, vec![line(1, usd(1))])).then_rejected(mixed);
}

#[test]
fn nothing_can_be_asked_of_an_unknown_order() {
    for command in [pay("p1", eur(1)), refund("r1", eur(1)), ship(), cancel(), back(INK, 1), C::EraseBuyer] {
        given::<Order>([]).when(command).then_rejected(R::Unknown);
    }
}

#[test]
fn captures_add_up_to_the_total_and_not_above() {
    let state = ordered([]).when(pay("p1", eur(400))).then([paid("p1", 400, 400)]);
    assert_eq!(state.status(), Some(OrderStatus::PartiallyPaid));
    let state = ordered([paid("p1", 400, 400)]).when(pay("p2", eur(600))).then([paid("p2", 600, 1_000)]);
    assert_eq!(state.status(), Some(OrderStatus::Paid));
    let partly = || ordered([paid("p1", 400, 400)]);
    partly().when(pay("p2", eur(601))).then_rejected(R::Overpaid { due: 600 });
    partly().when(pay("p1", eur(400))).then([]);
    partly().when(pay("p1", eur(401))).then_rejected(R::ReferenceReused);
    partly().when(pay("p2", usd(1))).then_rejected(R::OtherCurrency { currency: Currency::EUR });
    partly().when(pay("p2", eur(0))).then_rejected(R::InvalidAmount);
    partly().when(pay("p2", eur(i64::MIN))).then_rejected(R::InvalidAmount);
    partly().when(pay("p2", eur(i64::MAX))).then_rejected(R::Overpaid { due: 600 });
    ordered([cancelled(0)]).when(pay("p1", eur(1))).then_rejected(R::Cancelled);
    ordered([paid("p1", 400, 400), cancelled(400)]).when(pay("p1", eur(400))).then([]);
    let many = (1..=MAX_PAYMENTS as i64).map(|n| paid(&format!("p{n}"), 1, n));
    ordered(many).when(pay("one more", eur(1))).then_rejected(R::TooManyPayments);
}

#[test]
fn a_card_number_never_enters_the_log() {
    let card = "4111 1111 1111 1111";
    ordered([]).when(pay(card, eur(1))).then_rejected(R::CardNumber { field: "reference" });
    let method = C::Pay { amount: eur(1), method: card.into(), reference: "p1".into() };
    ordered([]).when(method).then_rejected(R::CardNumber { field: "method" });
    ordered([paid("p1", 9, 9)]).when(refund(card, eur(1))).then_rejected(R::CardNumber { field: "reference" });
    ordered([]).when(C::Cancel { reason: card.into() }).then_rejected(R::CardNumber { field: "reason" });
    assert_eq!(R::CardNumber { field: "reference" }.code(), "card_number_refused");
}

#[test]
fn refunds_never_exceed_what_was_captured() {
    let half = || ordered([paid("p1", 500, 500)]);
    half().when(refund("r1", eur(200))).then([refunded("r1", 200, 500, 200)]);
    half().when(refund("r1", eur(501))).then_rejected(R::RefundExceedsCaptured { refundable: 500 });
    half().when(refund("r1", eur(i64::MAX))).then_rejected(R::RefundExceedsCaptured { refundable: 500 });
    half().when(refund("r1", eur(-1))).then_rejected(R::InvalidAmount);
    half().when(refund("r1", usd(1))).then_rejected(R::OtherCurrency { currency: Currency::EUR });
    ordered([]).when(refund("r1", eur(1))).then_rejected(R::RefundExceedsCaptured { refundable: 0 });
    let some = || ordered([paid("p1", 500, 500), refunded("r1", 200, 500, 200)]);
    some().when(refund("r1", eur(200))).then([]);
    some().when(refund("r1", eur(100))).then_rejected(R::ReferenceReused);
    some().when(refund("r2", eur(301))).then_rejected(R::RefundExceedsCaptured { refundable: 300 });
    let state = some().when(refund("r2", eur(300))).then([refunded("r2", 300, 500, 500)]);
    assert_eq!(state.status(), Some(OrderStatus::Refunded));
    let progress = OrderProgress { captured: 400, refunded: 400, cancelled: true, ..start(1_000) };
    let whole =
        OrderRefunded { amount: eur(400), reason: "late".into(), reference: "r1".into(), pieces: vec![], progress };
    ordered([paid("p1", 400, 400), cancelled(400)]).when(refund("r1", eur(400))).then([whole.into()]);
}

#[test]
fn an_order_is_shipped_when_its_money_is_there() {
    let state = ordered([paid("p1", 1_000, 1_000)]).when(ship()).then([shipped()]);
    assert_eq!(state.status(), Some(OrderStatus::Shipped));
    ordered([paid("p1", 400, 400)]).when(ship()).then_rejected(R::Unpaid { due: 600 });
    ordered([paid("p1", 1_000, 1_000), shipped()]).when(ship()).then_rejected(R::Shipped);
    ordered([cancelled(0)]).when(ship()).then_rejected(R::Cancelled);
    ordered([paid("p1", 1_000, 1_000), refunded("r1", 1_000, 1_000, 1_000)])
        .when(ship())
        .then_rejected(R::RefundedInFull);
    given::<Order>([placed_at(0)]).when(ship()).decision();
}

#[test]
fn an_order_is_cancelled_before_it_is_shipped() {
    let state = ordered([paid("p1", 400, 400)]).when(cancel()).then([cancelled(400)]);
    assert_eq!(state.status(), Some(OrderStatus::Cancelled));
    assert_eq!(state.placed().map(|placed| placed.progress.refundable()), Some(400));
    ordered([cancelled(0)]).when(cancel()).then([]);
    ordered([paid("p1", 1_000, 1_000), shipped()]).when(cancel()).then_rejected(R::Shipped);
}

#[test]
fn shipped_pieces_come_back_once() {
    let sent = || ordered([paid("p1", 1_000, 1_000), shipped()]);
    let progress = OrderProgress { captured: 1_000, shipped: true, ..start(1_000) };
    let returned = |quantity| -> OrderEvent {
        OrderReturned { pieces: vec![Pieces { product: INK, quantity }], reason: "broken".into(), progress }.into()
    };
    sent().repeatable().when(back(INK, 2)).then([returned(2)]);
    let exceeds = |returnable| R::ReturnExceedsShipped { index: 0, returnable };
    let half = || ordered([paid("p1", 1_000, 1_000), shipped(), returned(3)]);
    half().when(back(INK, 1)).then([returned(1)]);
    half().when(back(INK, 2)).then_rejected(exceeds(1));
    sent().when(back(INK, 5)).then_rejected(exceeds(4));
    sent().when(back(INK, 0)).then_rejected(exceeds(4));
    sent().when(back(Uuid::nil(), 1)).then_rejected(R::NotInOrder { index: 0 });
    sent().when(C::Return { pieces: vec![], reason: String::new() }).then_rejected(R::InvalidPieces);
    let twice = vec![Pieces { product: INK, quantity: 1 }; 2];
    sent().when(C::Return { pieces: twice, reason: String::new() }).then_rejected(R::InvalidPieces);
    ordered([]).when(back(INK, 1)).then_rejected(R::NotShipped);
}

#[test]
fn a_buyer_without_contact_can_be_erased() {
    let erased: OrderEvent = BuyerErased { key: key().id, progress: start(1_000) }.into();
    let state = ordered([]).when(C::EraseBuyer).then([erased.clone()]);
    assert!(state.placed().is_some_and(Placed::is_buyer_erased));
    ordered([erased]).when(C::EraseBuyer).then([]);
    let lines = vec![line(4, eur(250))];
    let placed = OrderPlaced { contact: Some(INK), buyer: sealed(&ada()), lines, progress: start(1_000) };
    given::<Order>([placed.into()]).when(C::EraseBuyer).then_rejected(R::BuyerIsContact);
}

#[test]
fn a_refund_may_name_its_pieces_and_never_more_than_were_bought() {
    let of = |reference: &str, product, quantity| C::Refund {
        amount: eur(1),
        reason: String::new(),
        reference: reference.into(),
        pieces: vec![Pieces { product, quantity }],
    };
    let order = || ordered([paid("p1", 1_000, 1_000)]);
    let decision = order().when(of("r1", INK, 3)).decision();
    let [OrderEvent::Refunded(first)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!(first.pieces, [Pieces { product: INK, quantity: 3 }]);
    order().when(of("r1", INK, 5)).then_rejected(R::RefundExceedsBought { index: 0, refundable: 4 });
    order().when(of("r1", INK, 0)).then_rejected(R::RefundExceedsBought { index: 0, refundable: 4 });
    order().when(of("r1", Uuid::nil(), 1)).then_rejected(R::NotInOrder { index: 0 });
    let after = ordered([paid("p1", 1_000, 1_000), first.clone().into()]);
    after.when(of("r2", INK, 2)).then_rejected(R::RefundExceedsBought { index: 0, refundable: 1 });
}
