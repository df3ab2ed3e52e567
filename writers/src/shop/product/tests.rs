use super::*;
use crate::{
    EventStore, Rejection,
    backend::memory::MemoryStore,
    harness::{ID, NOW, given},
    writer::{Meta, WriteError, Writer},
};
use ProductCommand as C;
use ProductRejection as R;
use bus_schema::{Cell, CommandId, Currency, Keyring, TenantId, keys::KeyDirectory, keys::TenantKey, time::Clock};

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn order(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn level(on_hand: u32, reserved: u32) -> StockLevel {
    StockLevel { on_hand, reserved }
}

fn ink() -> ProductDetails {
    ProductDetails { name: "Ink".into(), description: "Blue".into(), ..ProductDetails::default() }
}

fn created() -> ProductEvent {
    ProductCreated { sku: "Ink-1".into(), details: ink(), price: eur(250), stock: level(10, 0) }.into()
}

fn published() -> [ProductEvent; 2] {
    [created(), ProductPublished {}.into()]
}

fn reserved(n: u128, quantity: u32, stock: StockLevel) -> ProductEvent {
    StockReserved { order: order(n), quantity, stock }.into()
}

fn selling(more: impl IntoIterator<Item = ProductEvent>) -> crate::harness::Given<Product> {
    given(published().into_iter().chain(more))
}

fn create(sku: &str, price: i64, on_hand: u32) -> C {
    C::Create { sku: sku.into(), details: ink(), price: eur(price), on_hand }
}

#[test]
fn a_product_is_created_once_as_a_draft() {
    let state = given::<Product>([]).when(create("Ink-1", 250, 10)).then([created()]);
    assert_eq!(state.listing().map(|listing| listing.status), Some(ProductStatus::Draft));
    assert_eq!((state.stock().available(), state.open_orders()), (10, 0));
    given::<Product>([created()]).when(create("INK-1", 1, 1)).then_rejected(R::SkuTaken);
    given::<Product>([]).when(create("a b", 1, 1)).then_rejected(R::InvalidSku);
    given::<Product>([]).when(create("a", -1, 1)).then_rejected(R::InvalidPrice);
    given::<Product>([]).when(create("a", MAX_PRICE + 1, 1)).then_rejected(R::InvalidPrice);
    given::<Product>([]).when(create("a", 0, MAX_STOCK + 1)).then_rejected(R::StockLimit { field: "on_hand" });
}

#[test]
fn nothing_can_be_asked_of_an_unknown_product() {
    let order = order(1);
    for command in [
        C::Change { details: ink() },
        C::Reprice { price: eur(1) },
        C::Publish,
        C::Retire,
        C::ReceiveStock { quantity: 1, reason: String::new() },
        C::AdjustStock { on_hand: 1, reason: String::new() },
        C::Release { order },
        C::Deduct { order },
        C::Restock { order, quantity: 1 },
    ] {
        given::<Product>([]).when(command).then_rejected(R::Unknown);
    }
    given::<Product>([]).when(C::Reserve { order, quantity: 1, line: 3 }).then_rejected(R::NoSuchProduct { line: 3 });
    assert_eq!(R::NoSuchProduct { line: 3 }.pointer(), "/lines/3/product");
}

#[test]
fn details_and_price_change_only_when_they_differ() {
    let details = ProductDetails { name: "Red ink".into(), course: Some(ID), ..ink() };
    let state = given::<Product>([created()])
        .when(C::Change { details: details.clone() })
        .then([ProductDescribed { details: details.clone() }.into()]);
    assert_eq!(state.listing().map(|listing| &listing.details), Some(&details));
    given::<Product>([created()]).when(C::Change { details: ink() }).then([]);
    let nameless = ProductDetails { name: " ".into(), ..ink() };
    given::<Product>([created()]).when(C::Change { details: nameless }).then_rejected(R::Required { field: "name" });
    let state = given::<Product>([created()]).when(C::Reprice { price: eur(300) }).then([ProductRepriced {
        before: eur(250),
        price: eur(300),
    }
    .into()]);
    assert_eq!(state.listing().map(|listing| listing.price), Some(eur(300)));
    given::<Product>([created()]).when(C::Reprice { price: eur(250) }).then([]);
    given::<Product>([created()]).when(C::Reprice { price: eur(-1) }).then_rejected(R::InvalidPrice);
}

#[test]
fn a_product_is_published_and_retired_any_number_of_times() {
    given::<Product>([created()]).when(C::Publish).then([ProductPublished {}.into()]);
    selling([]).when(C::Publish).then([]);
    selling([]).when(C::Retire).then([ProductRetired {}.into()]);
    selling([ProductRetired {}.into()]).when(C::Retire).then([]);
    selling([ProductRetired {}.into()]).when(C::Publish).then([ProductPublished {}.into()]);
}

#[test]
fn stock_comes_in_and_is_counted() {
    let receive = |quantity| C::ReceiveStock { quantity, reason: " delivery ".into() };
    given::<Product>([created()]).repeatable().when(receive(5)).then([StockReceived {
        quantity: 5,
        reason: "delivery".into(),
        stock: level(15, 0),
    }
    .into()]);
    given::<Product>([created()]).when(receive(0)).then_rejected(R::InvalidQuantity);
    given::<Product>([created()]).when(receive(u32::MAX)).then_rejected(R::InvalidQuantity);
    given::<Product>([created()]).when(receive(MAX_STOCK)).then_rejected(R::StockLimit { field: "quantity" });
    let count = |on_hand| C::AdjustStock { on_hand, reason: "counted".into() };
    let held = || selling([reserved(1, 4, level(10, 4))]);
    held().when(count(4)).then([StockAdjusted { before: 10, reason: "counted".into(), stock: level(4, 4) }.into()]);
    held().when(count(10)).then([]);
    held().when(count(3)).then_rejected(R::BelowReserved { reserved: 4 });
    held().when(count(MAX_STOCK + 1)).then_rejected(R::StockLimit { field: "on_hand" });
    let long = C::AdjustStock { on_hand: 9, reason: "x".repeat(501) };
    held().when(long).then_rejected(R::TooLong { field: "reason", max: 500 });
}

#[test]
fn pieces_are_reserved_once_for_an_order_and_never_more_than_there_are() {
    let reserve = |n, quantity| C::Reserve { order: order(n), quantity, line: 2 };
    let state = selling([]).when(reserve(1, 4)).then([reserved(1, 4, level(10, 4))]);
    assert_eq!((state.reserved_for(order(1)), state.stock().available()), (Some(4), 6));
    let held = || selling([reserved(1, 4, level(10, 4))]);
    held().when(reserve(1, 4)).then([]);
    held().when(reserve(1, 5)).then_rejected(R::ReservedOtherwise { line: 2, reserved: 4 });
    held().when(reserve(2, 6)).then([reserved(2, 6, level(10, 10))]);
    held().when(reserve(2, 7)).then_rejected(R::OutOfStock { line: 2, available: 6 });
    held().when(reserve(2, 0)).then_rejected(R::LineQuantity { line: 2 });
    given::<Product>([created()]).when(reserve(1, 1)).then_rejected(R::NotSellable { line: 2 });
    selling([ProductRetired {}.into()]).when(reserve(1, 1)).then_rejected(R::NotSellable { line: 2 });
    let rejection = R::OutOfStock { line: 2, available: 6 };
    assert_eq!((rejection.code(), rejection.pointer().as_str()), ("out_of_stock", "/lines/2/quantity"));
    assert_eq!(rejection.to_string(), "only 6 pieces are available");
}

#[test]
fn reservations_are_bounded() {
    let most = MAX_RESERVATIONS as u32;
    let received = StockReceived { quantity: most, reason: String::new(), stock: level(most + 10, 0) };
    let many = (1..=most).map(|n| reserved(n.into(), 1, level(most + 10, n)));
    selling(std::iter::once(received.into()).chain(many))
        .when(C::Reserve { order: order(0), quantity: 1, line: 0 })
        .then_rejected(R::TooManyReservations { line: 0 });
}

#[test]
fn a_snapshot_gives_the_same_product_back() {
    let state = selling([reserved(1, 4, level(10, 4))]).when(C::Publish).then([]);
    let back: Product = bus_schema::codec::decode(&bus_schema::codec::encode(&state).unwrap()).unwrap();
    assert_eq!((back.stock(), back.reserved_for(order(1))), (level(10, 4), Some(4)));
    assert_eq!(format!("{back:?}"), format!("{state:?}"));
}

#[test]
fn a_reservation_is_released_or_shipped_once_also_of_a_retired_product() {
    let held = || selling([reserved(1, 4, level(10, 4)), ProductRetired {}.into()]);
    let release = StockReleased { order: order(1), quantity: 4, stock: level(10, 0) };
    let state = held().when(C::Release { order: order(1) }).then([release.into()]);
    assert_eq!(state.open_orders(), 0);
    held().when(C::Release { order: order(2) }).then([]);
    let shipped = StockShipped { order: order(1), quantity: 4, stock: level(6, 0) };
    let state = held().when(C::Deduct { order: order(1) }).then([shipped.into()]);
    assert_eq!((state.stock().available(), state.open_orders()), (6, 0));
    held().when(C::Deduct { order: order(2) }).then_rejected(R::NotReserved);
}

#[test]
fn returned_pieces_are_on_hand_again() {
    let restock = |quantity| C::Restock { order: order(1), quantity };
    selling([]).repeatable().when(restock(2)).then([StockReturned {
        order: order(1),
        quantity: 2,
        stock: level(12, 0),
    }
    .into()]);
    selling([]).when(restock(0)).then_rejected(R::InvalidQuantity);
    selling([]).when(restock(MAX_STOCK)).then_rejected(R::StockLimit { field: "quantity" });
}

/// Small, seeded, good enough to vary commands.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[test]
fn no_sequence_of_commands_makes_stock_negative_or_loses_a_reservation() {
    let (tenant, keys) = (TenantKey::fixed([9; 32]), Keyring::default());
    for seed in 1..=40 {
        let mut dice = Dice::new(seed);
        let mut state = Product::default();
        published().iter().for_each(|event| state.evolve(event));
        for _ in 0..150 {
            let order = order(dice.below(8).into());
            let quantity = dice.below(12) as u32;
            let reason = String::new();
            let command = match dice.below(9) {
                0 => C::ReceiveStock { quantity, reason },
                1 => C::AdjustStock { on_hand: quantity * 2, reason },
                2 => C::Release { order },
                3 => C::Deduct { order },
                4 => C::Restock { order, quantity },
                5 if quantity == 0 => C::Retire,
                5 => C::Publish,
                _ => C::Reserve { order, quantity, line: 0 },
            };
            let ctx = Ctx::new(NOW, ID, CommandId(Uuid::nil()), &tenant, &keys, None);
            let available = state.stock.available();
            if let Ok(decision) = state.decide(&command, &ctx) {
                decision.events.iter().for_each(|event| state.evolve(event));
                if let (C::Reserve { quantity, .. }, false) = (&command, decision.events.is_empty()) {
                    assert_eq!(state.stock.available() + quantity, available, "what is reserved was there");
                }
            }
            assert!(state.stock.reserved <= state.stock.on_hand, "{command:?} led to {:?}", state.stock);
            assert_eq!(state.reservations.values().sum::<u32>(), state.stock.reserved, "after {command:?}");
        }
    }
}

async fn world() -> (Writer, TenantId) {
    let keys = KeyDirectory::in_memory();
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let store = EventStore::Memory(MemoryStore::default());
    (Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::System), tenant)
}

fn meta() -> Meta {
    Meta::system("test", CommandId::random())
}

#[tokio::test]
async fn an_sku_belongs_to_one_product_however_it_is_written() {
    let (writer, tenant) = world().await;
    let create = async |sku: &str| super::create(&writer, &tenant, &meta(), sku.into(), ink(), eur(1), 1).await;
    let outcomes = futures::future::join_all(["ink", "INK", "Ink", "iNK"].map(create)).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(&error, WriteError::Rejected(rejected) if rejected.code == "sku_taken"), "{error}");
    }
    assert!(create("ink-2").await.is_ok());
}

#[tokio::test]
async fn details_are_edited_as_they_are_now() {
    let (writer, tenant) = world().await;
    let (id, _) = super::create(&writer, &tenant, &meta(), "ink".into(), ink(), eur(1), 1).await.unwrap();
    let edit = |details| ProductDetails { name: "Red".into(), ..details };
    let receipt = super::change(&writer, &tenant, id, &meta(), edit).await.unwrap();
    let listing = receipt.value.state.listing().unwrap();
    assert_eq!((listing.details.name.as_str(), listing.details.description.as_str()), ("Red", "Blue"));
    assert_eq!(receipt.value.revision, writer.load::<Product>(&tenant, id).await.unwrap().revision);
    let missing = super::change(&writer, &tenant, Uuid::nil(), &meta(), edit).await;
    assert!(matches!(missing, Err(WriteError::Rejected(rejected)) if rejected.code == "product_not_found"));
}
