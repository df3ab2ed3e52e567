//! Concurrent clients that do what people do, and repeat every request until they know what became of it.

use super::{
    books::{Books, Entry, Expected, lock, one, up_to, within},
    dice::Dice,
};
use crate::support::{Answer, Client};
use api::http::idempotency::IdempotencyKey;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where the platform is now; it changes with every restart.
pub(super) type Address = Arc<Mutex<Client>>;

/// Addresses that many want.
const SHARED_EMAILS: u64 = 30;
/// Longer than the platform's own patience with its log.
const ANSWER: Duration = Duration::from_secs(15);
/// A command that has no answer after this is a defect: the platform is back long before.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Shopper {
    pub(super) address: Address,
    pub(super) books: Arc<Books>,
    pub(super) dice: Dice,
    /// Tenant and key of the client, which its commands' ids follow from.
    pub(super) tenant: String,
    pub(super) principal: String,
}

/// A request.
struct Wish {
    method: Method,
    path: String,
    body: Value,
    expected: &'static [Expected],
    keep: Keep,
}

/// What an accepted command made.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Nothing,
    Contact,
    Order,
}

impl Shopper {
    /// Until told to stop; the last request is carried through.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wish = self.wish();
            self.carry_through(wish).await;
            let pause = self.dice.below(30);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// The same request until its outcome is known.
    async fn carry_through(&mut self, wish: Wish) {
        let key = bus_schema::ids::random_uuid().to_string();
        let named = IdempotencyKey(Some(key.clone()));
        let cause = named.command_id(&self.tenant, &self.principal, wish.method.as_str(), &wish.path).id.0;
        let what = format!("{} {} {}", wish.method, wish.path, wish.body);
        let begun = tokio::time::Instant::now();
        let answer = loop {
            let client = lock(&self.address).clone();
            let ask = client.ask(wish.method.clone(), &wish.path).key(&key).json(&wish.body);
            match tokio::time::timeout(ANSWER, ask.try_send()).await {
                Ok(Ok(answer)) if is_final(&answer) => break answer,
                Ok(Ok(answer)) if answer.status == 500 => panic!("{what}: {}", answer.text()),
                outcome => {
                    assert!(begun.elapsed() < PATIENCE, "no answer for {what}; at last {outcome:?}");
                    self.books.retried();
                    let pause = 20 + self.dice.below(80);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        };
        if matches!(answer.status, 200 | 201) {
            match wish.keep {
                Keep::Nothing => {}
                Keep::Contact => lock(&self.books.contacts).push(answer.id()),
                Keep::Order => lock(&self.books.orders).push(answer.id()),
            }
        }
        self.books.record(Entry { cause, what, expected: wish.expected, answer });
    }

    fn wish(&mut self) -> Wish {
        let contact = self.recent(&self.books.contacts.lock().map(|all| all.clone()).unwrap_or_default());
        let order = self.recent(&self.books.orders.lock().map(|all| all.clone()).unwrap_or_default());
        match (self.dice.below(100), contact, order) {
            (0..22, ..) | (_, None, _) => self.create(),
            (22..32, Some(contact), _) => self.change(contact),
            (32..42, Some(contact), _) => self.tag(contact),
            (42..46, Some(contact), _) => erase(contact),
            (46..64, ..) | (_, _, None) => self.place(),
            (64..80, _, Some(order)) => self.pay(order),
            (80..86, _, Some(order)) => cancel(order),
            (86..94, _, Some(order)) => self.refund(order),
            (94..97, _, Some(order)) => ship(order),
            (_, _, Some(_)) => self.receive(),
        }
    }

    /// One of the last few, so that several clients want the same.
    fn recent(&mut self, all: &[Uuid]) -> Option<Uuid> {
        self.dice.pick(&all[all.len().saturating_sub(12)..]).copied()
    }

    fn email(&mut self) -> String {
        match self.dice.below(4) {
            0 => format!("shared{}@x.example", self.dice.below(SHARED_EMAILS)),
            _ => format!("{}@x.example", bus_schema::ids::random_uuid().simple()),
        }
    }

    fn create(&mut self) -> Wish {
        let body = json!({"email": self.email(), "first_name": "Ada", "notes": "as created"});
        let expected = const { &[one("contact.created"), up_to(1, "contact.address_taken")] };
        Wish { method: Method::POST, path: "/v1/contacts".into(), body, expected, keep: Keep::Contact }
    }

    fn change(&mut self, contact: Uuid) -> Wish {
        let mut body = json!({"notes": bus_schema::ids::random_uuid().to_string()});
        if self.dice.below(3) == 0 {
            body["email"] = json!(self.email());
        }
        let expected = const {
            &[one("contact.changed"), up_to(1, "contact.address_taken"), up_to(1, "contact.address_released")]
        };
        Wish { method: Method::PATCH, path: format!("/v1/contacts/{contact}"), body, expected, keep: Keep::Nothing }
    }

    fn tag(&mut self, contact: Uuid) -> Wish {
        let path = format!("/v1/contacts/{contact}/tags/t{}", self.dice.below(1 << 40));
        Wish {
            method: Method::PUT,
            path,
            body: json!({}),
            expected: const { &[one("contact.tagged")] },
            keep: Keep::Nothing,
        }
    }

    fn place(&mut self) -> Wish {
        let first = self.dice.pick(&self.books.products).copied();
        let second = self.dice.pick(&self.books.products).copied().filter(|second| Some(*second) != first);
        let lines: Vec<Value> = first
            .into_iter()
            .chain(second)
            .map(|product| json!({"product": product, "quantity": 1 + self.dice.below(2)}))
            .collect();
        let body = json!({"buyer": {"name": "Ada", "email": "ada@x.example"}, "currency": "EUR", "lines": lines});
        let expected = const { &[one("order.placed"), within(1, 2, "product.stock_reserved")] };
        Wish { method: Method::POST, path: "/v1/orders".into(), body, expected, keep: Keep::Order }
    }

    fn pay(&mut self, order: Uuid) -> Wish {
        let amount = [500, 1_000, 2_000][usize::try_from(self.dice.below(3)).unwrap_or(0)];
        let body = json!({"amount": {"amount": amount, "currency": "EUR"}, "method": "card",
                          "reference": bus_schema::ids::random_uuid().to_string()});
        let path = format!("/v1/orders/{order}/payments");
        Wish { method: Method::POST, path, body, expected: const { &[one("order.paid")] }, keep: Keep::Nothing }
    }

    fn refund(&mut self, order: Uuid) -> Wish {
        let amount = 300 + self.dice.below(1_200);
        let body = json!({"amount": {"amount": amount, "currency": "EUR"}, "reason": "asked",
                          "reference": bus_schema::ids::random_uuid().to_string()});
        let path = format!("/v1/orders/{order}/refunds");
        Wish { method: Method::POST, path, body, expected: const { &[one("order.refunded")] }, keep: Keep::Nothing }
    }

    fn receive(&mut self) -> Wish {
        let product = self.dice.pick(&self.books.products).copied().unwrap_or_default();
        let (path, body) = (format!("/v1/products/{product}/receive"), json!({"quantity": 3, "reason": "delivery"}));
        Wish {
            method: Method::POST,
            path,
            body,
            expected: const { &[one("product.stock_received")] },
            keep: Keep::Nothing,
        }
    }
}

fn erase(contact: Uuid) -> Wish {
    let expected = const { &[up_to(1, "contact.erased"), up_to(1, "contact.address_released")] };
    let (method, path) = (Method::DELETE, format!("/v1/contacts/{contact}"));
    Wish { method, path, body: json!({}), expected, keep: Keep::Nothing }
}

fn cancel(order: Uuid) -> Wish {
    let (path, body) = (format!("/v1/orders/{order}/cancel"), json!({"reason": "changed my mind"}));
    let expected = const { &[up_to(1, "order.cancelled"), up_to(2, "product.stock_released")] };
    Wish { method: Method::POST, path, body, expected, keep: Keep::Nothing }
}

fn ship(order: Uuid) -> Wish {
    let (path, body) = (format!("/v1/orders/{order}/ship"), json!({"carrier": "Post", "tracking": "T"}));
    let expected = const { &[one("order.shipped"), within(1, 2, "product.stock_shipped")] };
    Wish { method: Method::POST, path, body, expected, keep: Keep::Nothing }
}

/// Accepted, or refused for good; everything else may be asked again.
fn is_final(answer: &Answer) -> bool {
    match answer.status {
        200 | 201 => true,
        409 => !matches!(answer.code().as_str(), "request_in_progress" | "conflict"),
        408 | 429 => false,
        status => (400..500).contains(&status),
    }
}
