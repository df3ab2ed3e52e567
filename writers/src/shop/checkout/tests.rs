use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    shop::{order, product},
};
use bus_schema::{
    Cell, CommandId, KeyId, Money, Revealed,
    keys::KeyDirectory,
    shop::{
        order::{OrderProgress, OrderStatus},
        product::{ProductDetails, StockLevel},
    },
    time::Clock,
};
use futures::future::join_all;

/// Two writers over one log, as two processes have it.
struct World {
    writer: Writer,
    other: Writer,
    tenant: TenantId,
    log: MemoryStore,
}

async fn world() -> World {
    let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let cell = Cell::try_new("eu1").unwrap();
    let writer = || Writer::new(cell.clone(), EventStore::Memory(log.clone()), keys.clone(), Clock::System);
    World { writer: writer(), other: writer(), tenant, log: log.clone() }
}

fn meta() -> Meta {
    Meta::system("test", CommandId::random())
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn wanted(lines: &[(Uuid, u32)]) -> PlaceOrder {
    let buyer = BuyerDetails { name: "Ada".into(), email: "ada@example.org".into(), ..BuyerDetails::default() };
    let lines = lines.iter().map(|&(product, quantity)| Pieces { product, quantity }).collect();
    PlaceOrder { contact: None, buyer, lines, currency: Currency::EUR }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, WriteError>) -> (&'static str, String) {
    match outcome {
        Err(WriteError::Rejected(rejected)) => (rejected.code, rejected.pointer),
        other => panic!("expected a rejection, got {other:?}"),
    }
}

impl World {
    async fn product(&self, sku: &str, price: i64, on_hand: u32) -> Uuid {
        let details = ProductDetails { name: sku.into(), ..ProductDetails::default() };
        let meta = meta();
        let created = product::create(&self.writer, &self.tenant, &meta, sku.into(), details, eur(price), on_hand);
        let (id, _) = created.await.unwrap();
        self.tell(id, ProductCommand::Publish).await;
        id
    }

    async fn tell(&self, id: Uuid, command: ProductCommand) {
        self.writer.execute::<Product>(&self.tenant, id, &meta(), &command).await.unwrap();
    }

    async fn place(&self, lines: &[(Uuid, u32)]) -> Result<Uuid, WriteError> {
        Ok(super::place(&self.writer, &self.tenant, &meta(), &wanted(lines)).await?.0)
    }

    async fn pay(&self, id: Uuid, amount: i64) -> Result<Receipt<Loaded<Order>>, WriteError> {
        let meta = meta();
        let reference = meta.command.to_string();
        order::pay(&self.writer, &self.tenant, id, &meta, eur(amount), "card".into(), reference).await
    }

    async fn cancel(&self, id: Uuid) -> Result<Receipt<Loaded<Order>>, WriteError> {
        super::cancel(&self.writer, &self.tenant, id, &meta(), "").await
    }

    async fn ship(&self, id: Uuid) -> Result<Receipt<Loaded<Order>>, WriteError> {
        super::ship(&self.writer, &self.tenant, id, &meta(), "Post", "T1").await
    }

    async fn stock(&self, id: Uuid) -> StockLevel {
        self.writer.load::<Product>(&self.tenant, id).await.unwrap().state.stock()
    }

    async fn progress(&self, id: Uuid) -> OrderProgress {
        self.writer.load::<Order>(&self.tenant, id).await.unwrap().state.placed().unwrap().progress
    }
}

#[tokio::test]
async fn an_order_takes_name_and_price_from_the_products_at_its_commit() {
    let world = world().await;
    let (ink, pen) = (world.product("ink", 250, 10).await, world.product("pen", 1_000, 3).await);
    world.tell(ink, ProductCommand::Reprice { price: eur(300) }).await;
    let (id, receipt) =
        super::place(&world.writer, &world.tenant, &meta(), &wanted(&[(ink, 2), (pen, 1)])).await.unwrap();
    let order = receipt.value.state.placed().unwrap();
    assert_eq!(order.progress.total, 1_600);
    assert_eq!(order.lines[0].unit_price, eur(300));
    assert_eq!((order.lines[1].sku.as_str(), order.lines[1].name.as_str()), ("pen", "pen"));
    assert_eq!(world.stock(ink).await, StockLevel { on_hand: 10, reserved: 2 });
    let loaded = world.writer.load::<Order>(&world.tenant, id).await.unwrap();
    assert_eq!((receipt.value.revision, receipt.position), (loaded.revision, loaded.revision));
}

#[tokio::test]
async fn an_order_that_cannot_be_served_reserves_nothing_and_says_which_line() {
    let world = world().await;
    let (ink, pen) = (world.product("ink", 250, 10).await, world.product("pen", 1_000, 3).await);
    let stored = world.log.events().len();
    let expect = async |lines: &[(Uuid, u32)], code, pointer: &str| {
        assert_eq!(refused(world.place(lines).await), (code, pointer.to_owned()));
    };
    expect(&[(ink, 1), (pen, 4)], "out_of_stock", "/lines/1/quantity").await;
    expect(&[(ink, 1), (Uuid::nil(), 1)], "unknown_product", "/lines/1/product").await;
    expect(&[(ink, 1), (ink, 1)], "product_twice", "/lines/1/product").await;
    expect(&[(ink, 0)], "invalid_quantity", "/lines/0/quantity").await;
    expect(&[], "invalid_lines", "/lines").await;
    world.tell(pen, ProductCommand::Retire).await;
    expect(&[(ink, 1), (pen, 1)], "not_sellable", "/lines/1/product").await;
    let usd = PlaceOrder { currency: Currency::try_new("USD").unwrap(), ..wanted(&[(ink, 1)]) };
    let mixed = super::place(&world.writer, &world.tenant, &meta(), &usd).await;
    assert_eq!(refused(mixed), ("currency_mismatch", "/lines/0/product".into()));
    assert_eq!(world.log.events().len(), stored + 1, "only the retirement");
    assert_eq!(world.stock(ink).await.reserved, 0);
}

#[tokio::test]
async fn a_refusal_never_rests_on_what_another_process_changed() {
    let world = world().await;
    let (ink, pen) = (world.product("ink", 250, 10).await, world.product("pen", 1_000, 1).await);
    let more = ProductCommand::ReceiveStock { quantity: 5, reason: String::new() };
    world.other.execute::<Product>(&world.tenant, pen, &meta(), &more).await.unwrap();
    world.place(&[(ink, 1), (pen, 6)]).await.unwrap();
}

#[tokio::test]
async fn a_retried_order_is_answered_again_even_when_nothing_is_left() {
    let world = world().await;
    let ink = world.product("ink", 250, 2).await;
    let meta = Meta { content: Some(b"two".to_vec()), ..meta() };
    let (id, first) = super::place(&world.writer, &world.tenant, &meta, &wanted(&[(ink, 2)])).await.unwrap();
    world.pay(id, 500).await.unwrap();
    world.ship(id).await.unwrap();
    let stored = world.log.events().len();
    for writer in [&world.writer, &world.other] {
        let (again, second) = super::place(writer, &world.tenant, &meta, &wanted(&[(ink, 2)])).await.unwrap();
        assert_eq!((again, second.position, second.replayed), (id, first.position, true));
        assert_eq!(second.value.state.status(), Some(OrderStatus::Placed), "the answer of that time");
    }
    let changed = Meta { content: Some(b"one".to_vec()), ..meta };
    let other = super::place(&world.writer, &world.tenant, &changed, &wanted(&[(ink, 1)])).await;
    assert!(matches!(other, Err(WriteError::KeyReused)));
    assert_eq!(world.log.events().len(), stored);
}

#[tokio::test]
async fn cancelling_gives_the_pieces_back_once() {
    let world = world().await;
    let (ink, pen) = (world.product("ink", 250, 10).await, world.product("pen", 1_000, 3).await);
    let id = world.place(&[(ink, 2), (pen, 1)]).await.unwrap();
    world.pay(id, 100).await.unwrap();
    let command = meta();
    let seen = world.writer.load::<Order>(&world.tenant, id).await.unwrap().revision;
    let stale = Meta { if_match: Some(seen - 1), ..meta() };
    let stale = super::cancel(&world.writer, &world.tenant, id, &stale, "").await;
    assert!(matches!(stale, Err(WriteError::Stale { current }) if current == seen));
    let command = Meta { if_match: Some(seen), ..command };
    let first = super::cancel(&world.writer, &world.tenant, id, &command, "").await.unwrap();
    assert_eq!(first.value.revision, world.writer.load::<Order>(&world.tenant, id).await.unwrap().revision);
    assert_eq!((world.stock(ink).await.reserved, world.stock(pen).await.reserved), (0, 0));
    let stored = world.log.events().len();
    let again = super::cancel(&world.other, &world.tenant, id, &command, "").await.unwrap();
    assert_eq!((again.position, again.replayed), (first.position, true));
    world.cancel(id).await.unwrap();
    assert_eq!(world.log.events().len(), stored, "nothing twice");
    assert_eq!(world.progress(id).await.refundable(), 100, "money stays to be refunded");
    assert_eq!(refused(world.ship(id).await).0, "order_cancelled");
    assert_eq!(refused(world.cancel(Uuid::nil()).await).0, "order_not_found");
}

#[tokio::test]
async fn shipping_takes_the_pieces_out_and_a_return_brings_them_back() {
    let world = world().await;
    let ink = world.product("ink", 250, 10).await;
    let id = world.place(&[(ink, 4)]).await.unwrap();
    assert_eq!(refused(world.ship(id).await).0, "unpaid");
    world.pay(id, 1_000).await.unwrap();
    let command = meta();
    super::ship(&world.writer, &world.tenant, id, &command, "Post", "T1").await.unwrap();
    let again = super::ship(&world.writer, &world.tenant, id, &command, "Post", "T1").await.unwrap();
    assert!(again.replayed);
    assert_eq!(world.stock(ink).await, StockLevel { on_hand: 6, reserved: 0 });
    assert_eq!(refused(world.cancel(id).await).0, "already_shipped");
    let take_back = async |meta: &Meta, quantity| {
        let pieces = [Pieces { product: ink, quantity }];
        super::take_back(&world.writer, &world.tenant, id, meta, &pieces, "broken").await
    };
    let command = meta();
    take_back(&command, 3).await.unwrap();
    assert!(take_back(&command, 3).await.unwrap().replayed);
    assert_eq!(refused(take_back(&meta(), 2).await), ("return_exceeds_shipped", "/lines/0/quantity".into()));
    assert_eq!(world.stock(ink).await, StockLevel { on_hand: 9, reserved: 0 });
}

#[tokio::test]
async fn the_last_pieces_are_sold_once() {
    let world = world().await;
    let ink = world.product("ink", 250, 10).await;
    let place = async |n: usize| {
        let writer = if n.is_multiple_of(2) { &world.writer } else { &world.other };
        super::place(writer, &world.tenant, &meta(), &wanted(&[(ink, 1)])).await
    };
    let outcomes = join_all((0..50).map(place)).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refused(outcome), ("out_of_stock", "/lines/0/quantity".into()));
    }
    assert_eq!(world.stock(ink).await.available(), 0);
}

#[tokio::test]
async fn concurrent_refunds_and_captures_keep_to_the_money_there_is() {
    let world = world().await;
    let ink = world.product("ink", 1_000, 10).await;
    let id = world.place(&[(ink, 1)]).await.unwrap();
    let paid = join_all((0..30).map(|_| world.pay(id, 70))).await;
    assert_eq!(paid.iter().filter(|outcome| outcome.is_ok()).count(), 14);
    let refund = async |n: usize| {
        let writer = if n.is_multiple_of(2) { &world.writer } else { &world.other };
        order::refund(
            writer,
            &world.tenant,
            id,
            &meta(),
            order::Refund { amount: eur(70), reason: String::new(), reference: format!("r{n}"), pieces: vec![] },
        )
        .await
    };
    let outcomes = join_all((0..30).map(refund)).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 14);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refused(outcome), ("refund_exceeds_captured", "/amount".into()));
    }
    let progress = world.progress(id).await;
    assert_eq!((progress.captured, progress.refunded), (980, 980));
}

#[tokio::test]
async fn random_interleavings_keep_orders_and_stock_together() {
    for seed in 1..=6_u64 {
        let mut dice = product::Dice::new(seed);
        let world = world().await;
        let products = [world.product("a", 100, 12).await, world.product("b", 200, 8).await];
        let mut orders: Vec<Uuid> = Vec::new();
        for _ in 0..12 {
            let steps: Vec<(u64, u64, u64)> = (0..6).map(|_| (dice.below(6), dice.below(64), dice.below(3))).collect();
            let orders_now = &orders;
            let step = async |(what, which, quantity): (u64, u64, u64)| {
                let old = orders_now.get(which as usize % orders_now.len().max(1)).copied();
                match (what, old) {
                    (0..=2, _) | (_, None) => {
                        let first = which as usize % 2;
                        let lines = [(products[first], quantity as u32 + 1), (products[1 - first], 1)];
                        world.place(&lines[..1 + which as usize / 32]).await.ok()
                    }
                    (3, Some(id)) => world.pay(id, world.progress(id).await.due()).await.ok().and(None),
                    (4, Some(id)) => world.ship(id).await.ok().and(None),
                    (_, Some(id)) => world.cancel(id).await.ok().and(None),
                }
            };
            let placed = join_all(steps.into_iter().map(step)).await;
            orders.extend(placed.into_iter().flatten());
        }
        let mut promised = [0_u32; 2];
        let mut gone = [0_u32; 2];
        for id in orders {
            let loaded = world.writer.load::<Order>(&world.tenant, id).await.unwrap();
            let order = loaded.state.placed().unwrap();
            for line in &order.lines {
                let index = usize::from(line.product == products[1]);
                promised[index] += if order.is_open() { line.quantity } else { 0 };
                gone[index] += if order.progress.shipped { line.quantity } else { 0 };
            }
        }
        for (index, on_hand) in [12, 8].into_iter().enumerate() {
            let expected = StockLevel { on_hand: on_hand - gone[index], reserved: promised[index] };
            assert_eq!(world.stock(products[index]).await, expected, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn erasing_a_person_erases_the_buyer_of_their_orders() {
    let world = world().await;
    let ink = world.product("ink", 250, 10).await;
    let reveal = async |id: Uuid| {
        let loaded = world.writer.load::<Order>(&world.tenant, id).await.unwrap();
        let buyer = loaded.state.placed().unwrap().buyer.clone();
        let keys = world.writer.keys().load(&world.tenant, &[buyer.key()]).await.unwrap();
        buyer.open(&keys).unwrap()
    };
    // A contact's orders are under the contact's key.
    let key = world.writer.keys().fresh(&world.tenant).await.unwrap().id;
    let contact = OrderContact { id: Uuid::from_u128(7), key };
    let by = |contact| PlaceOrder { contact: Some(contact), ..wanted(&[(ink, 1)]) };
    let (id, _) = super::place(&world.writer, &world.tenant, &meta(), &by(contact)).await.unwrap();
    assert!(matches!(reveal(id).await, Revealed::Known(buyer) if buyer.name == "Ada"));
    assert_eq!(refused(order::erase_buyer(&world.writer, &world.tenant, id, &meta()).await).0, "buyer_is_contact");
    world.writer.keys().destroy(&world.tenant, key).await.unwrap();
    assert_eq!(reveal(id).await, Revealed::Erased);
    world.cancel(id).await.unwrap();
    let unknown = OrderContact { key: KeyId::random(), ..contact };
    let outcome = super::place(&world.writer, &world.tenant, &meta(), &by(unknown)).await;
    assert_eq!(refused(outcome), ("contact_erased", "/contact".into()));
    // Without contact an order has a key of its own.
    let (one, two) = (world.place(&[(ink, 1)]).await.unwrap(), world.place(&[(ink, 1)]).await.unwrap());
    order::erase_buyer(&world.writer, &world.tenant, one, &meta()).await.unwrap();
    assert_eq!(reveal(one).await, Revealed::Erased);
    assert!(matches!(reveal(two).await, Revealed::Known(_)));
}
