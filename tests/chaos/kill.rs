//! kill -9 of the whole platform, or of its log's server, again and again under concurrent commands. The data directory is
//! the same over all rounds.
//!
//! `MILLRACE_KILL_ROUNDS` (20), `MILLRACE_KILL_SEED`, `MILLRACE_SKIP_SLOW=1` for two rounds.

use super::{
    books::{Books, lock},
    dice::Dice,
    oracle, rebuild,
    shoppers::{Address, Shopper},
};
use crate::support::{Client, Platform, eventually, skip_slow};
use serde_json::json;
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SHOPPERS: usize = 32;
/// Answers to wait for after a kill before the round is over.
const ANSWERS: usize = 40;

fn rounds() -> usize {
    if skip_slow() {
        return 2;
    }
    std::env::var("MILLRACE_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// Few products with little stock, so that many want the same pieces.
pub(super) async fn stock_up(client: &Client) -> Vec<Uuid> {
    let mut products = Vec::new();
    for number in 0..4 {
        let price = json!({"amount": 1_000, "currency": "EUR"});
        let body = json!({"sku": format!("INK-{number}"), "name": "Ink", "price": price, "on_hand": 15});
        let id = client.make("/v1/products", &body).await;
        client.post(&format!("/v1/products/{id}/publish"), &json!({})).send().await.expect(200);
        products.push(id);
    }
    products
}

/// The key's principal, as it stands in every event it causes.
pub(super) async fn principal(client: &Client) -> String {
    let events = client.get("/v1/events?context=shop&limit=1").send().await.expect(200).json();
    events["items"][0]["actor"].as_str().expect("an actor").to_owned()
}

async fn restarted(dir: &Path, killed: Platform) -> Platform {
    let dir = dir.to_owned();
    let start = move || {
        killed.kill();
        drop(killed);
        Platform::open(&dir)
    };
    tokio::task::spawn_blocking(start).await.expect("the platform starts again")
}

async fn log_position(client: &Client) -> u64 {
    client.get("/readyz").send().await.json()["log_position"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let (mut dice, seed) = Dice::of_this_run();
    println!("MILLRACE_KILL_SEED={seed}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut platform = Platform::open(dir.path());
    let client = platform.client();
    let books = Arc::new(Books::new(stock_up(&client).await));
    let (principal, tenant) = (principal(&client).await, platform.ready.tenant.clone());
    let since = log_position(&client).await;
    let address: Address = Arc::new(Mutex::new(client));
    let stop = CancellationToken::new();
    let mut shoppers = tokio::task::JoinSet::new();
    for _ in 0..SHOPPERS {
        let (address, books, dice) = (address.clone(), books.clone(), dice.split());
        let shopper = Shopper { address, books, dice, tenant: tenant.clone(), principal: principal.clone() };
        shoppers.spawn(shopper.run(stop.clone()));
    }
    println!("round  killed       after ms  accepted  refused  retried  recovered ms  log");
    for round in 1..=rounds() {
        let after = 200 + dice.below(1_300);
        tokio::time::sleep(Duration::from_millis(after)).await;
        let (everything, killed) = (dice.below(3) > 0, Instant::now());
        let before = books.answers();
        if everything {
            platform = restarted(dir.path(), platform).await;
            *lock(&address) = platform.client();
        } else {
            let server = platform.kill_log_server();
            eventually("another nats-server", 60, async || platform.log_server() != server).await;
        }
        eventually("an answer after the kill", 120, async || books.answers() > before + SHOPPERS).await;
        let recovered = killed.elapsed().as_millis();
        eventually("more answers", 120, async || books.answers() > before + ANSWERS + SHOPPERS).await;
        let (accepted, refused, retried) = books.counts();
        let what = if everything { "platform" } else { "nats-server" };
        let log = log_position(&platform.client()).await;
        println!(
            "{round:>5}  {what:<11}  {after:>8}  {accepted:>8}  {refused:>7}  {retried:>7}  {recovered:>12}  {log}"
        );
        assert!(shoppers.len() == SHOPPERS && shoppers.try_join_next().is_none(), "a client gave up");
    }
    stop.cancel();
    while let Some(ended) = shoppers.join_next().await {
        ended.expect("no client gave up");
    }
    let client = platform.client();
    // A read with the last position of the log sees everything.
    client.put("/v1/contacts/00000000-0000-0000-0000-000000000000/tags/x", &json!({})).send().await.expect(404);
    let position = log_position(&client).await;
    let caught_up = async || {
        let ready = client.get("/readyz").send().await.json();
        let views = ready["views"].as_array().expect("views").iter();
        let behind = views.filter(|view| view["stage"] == "serving" && view["stream"] == "ev");
        behind.map(|view| view["position"].as_u64().unwrap_or(0)).all(|at| at >= position)
            && ready["search_position"].as_u64().is_some_and(|at| at >= position)
    };
    eventually("every view has everything", 120, caught_up).await;
    let events = oracle::events(&client).await;
    oracle::no_gaps(&events, position);
    oracle::exactly_once(&events, &books, since);
    let (orders, stock) = oracle::shop(&events);
    oracle::erased_are_unreadable(&client).await;
    let rows = rebuild::equals(&client).await;
    oracle::unique_emails(&rows["contacts"].values().cloned().collect::<Vec<_>>(), &events);
    assert_eq!(rows["orders"].len(), orders.len());
    for (id, order) in &orders {
        let row = &rows["orders"][id];
        let money = |name: &str| row[name]["amount"].as_i64();
        assert_eq!((money("captured"), money("refunded")), (Some(order.captured), Some(order.refunded)), "{row:#}");
    }
    for (id, (on_hand, reserved)) in &stock {
        let row = &rows["products"][id];
        assert_eq!((row["on_hand"].as_i64(), row["reserved"].as_i64()), (Some(*on_hand), Some(*reserved)), "{row:#}");
    }
    let (accepted, refused, retried) = books.counts();
    println!(
        "{accepted} commands accepted, {refused} refused, {retried} requests repeated; {} events, {} orders: each effect once",
        events.len(),
        orders.len()
    );
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
