//! kill -9 of the whole platform at every named place between a payment and its enrolment, and between a refund and its
//! withdrawal: exactly one enrolment, exactly one withdrawal.

use crate::{
    scenarios::fulfilments::{contact, course, enrolled_events, line, payment, place, product},
    support::{Ask, Client, Platform, eventually, skip_slow},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// In the order they are passed.
pub(super) const PLACES: [&str; 7] = ["taken", "observed", "armed", "wanted", "done", "recorded", "handled"];

fn places() -> Vec<&'static str> {
    if skip_slow() { vec!["observed", "done", "handled"] } else { PLACES.to_vec() }
}

/// Starts the platform with a place to die at, lets `act` happen, and starts it again when it is dead.
async fn dies_at(dir: &std::path::Path, place: &str, act: impl AsyncFnOnce(Client)) -> Platform {
    let environment = [("MILLRACE_CRASH_AT", format!("fulfilments.{place}"))];
    let folder = dir.to_owned();
    let start = tokio::task::spawn_blocking(move || Platform::open_with(&folder, &environment));
    let platform = start.await.expect("the platform starts");
    let client = platform.client();
    act(client.clone()).await;
    eventually("it dies", 60, async || client.get("/healthz").try_send().await.is_err()).await;
    let folder = dir.to_owned();
    let restart = move || {
        platform.kill();
        drop(platform);
        Platform::open(&folder)
    };
    tokio::task::spawn_blocking(restart).await.expect("the platform starts again")
}

/// Sends what leads to the death. The worker may meet it before the answer is out: what was asked for is in the log then, and
/// only the answer is lost.
async fn fatal(ask: Ask) {
    match ask.try_send().await {
        Ok(answer) => _ = answer.expect(200),
        Err(lost) => assert!(!lost.is_connect(), "the platform was gone before it was asked: {lost:?}"),
    }
}

async fn withdrawals(client: &Client, buyer: Uuid) -> usize {
    let events = client.get("/v1/events?kind=enrolment.withdrawn&limit=1000").send().await.expect(200).json();
    let of = |event: &&Value| event["data"]["contact"] == buyer.to_string();
    events["items"].as_array().expect("items").iter().filter(of).count()
}

/// Waits until everything was delivered and acknowledged.
async fn nothing_waits(client: &Client) {
    let is_idle = async || {
        let workers = client.get("/v1/workers").send().await.json();
        let mut items = workers["items"].as_array().into_iter().flatten();
        items.any(|worker| worker["name"] == "fulfilments" && worker["lag"] == 0)
    };
    eventually("nothing waits for the worker", 60, is_idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_payment_and_enrolment_makes_neither_none_nor_two() {
    for place_of_death in places() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // Set up without a drill, so that nothing but the payment passes the place.
        let folder = dir.path().to_owned();
        let platform = tokio::task::spawn_blocking(move || Platform::open(&folder)).await.expect("it starts");
        let client = platform.client();
        let seat = product(&client, Some(course(&client, Some(1)).await)).await;
        let buyer = contact(&client).await;
        let order = place(&client, Some(buyer), &[(seat, 1)]).await;
        eventually("the order is behind it", 60, async || {
            let workers = client.get("/v1/workers").send().await.json();
            let mut items = workers["items"].as_array().into_iter().flatten();
            items.any(|worker| worker["name"] == "fulfilments" && worker["position"].as_u64() >= Some(client.seen()))
        })
        .await;
        tokio::task::spawn_blocking(move || platform.stop()).await.expect("it stops");
        let platform =
            dies_at(dir.path(), place_of_death, async |client| fatal(payment(&client, order, 1)).await).await;
        let client = platform.client();
        line(&client, order, seat, "enrolled").await;
        assert_eq!(enrolled_events(&client, buyer).await, 1, "after a death at {place_of_death}");
        // What the death left behind passes the place again, so it has to be done before the next drill.
        nothing_waits(&client).await;
        drop(platform);
        let platform = dies_at(dir.path(), place_of_death, async |client| {
            let lines = json!([{"product": seat, "quantity": 1}]);
            let amount = json!({"amount": 5_000, "currency": "EUR"});
            let refund = json!({"amount": amount, "reference": "back", "lines": lines});
            fatal(client.post(&format!("/v1/orders/{order}/refunds"), &refund)).await;
        })
        .await;
        let client = platform.client();
        line(&client, order, seat, "withdrawn").await;
        assert_eq!(withdrawals(&client, buyer).await, 1, "after a death at {place_of_death}");
        assert_eq!(enrolled_events(&client, buyer).await, 1, "after a death at {place_of_death}");
        println!("{place_of_death}: one enrolment, one withdrawal");
    }
}
