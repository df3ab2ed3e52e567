//! Judges a log against what the clients were told, by the feed that everybody can read.

use super::books::{Books, Entry};
use crate::support::Client;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// An event of the feed.
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) kind: String,
    cause: Uuid,
    aggregate_id: String,
    data: Value,
}

impl Event {
    /// Of what [`super::shoppers`] work on, and after a position: others write to the log beside them.
    pub(super) fn is_of_shoppers(&self, since: u64) -> bool {
        let kinds = ["contact.", "order.", "product.", "claim"];
        self.position > since && kinds.iter().any(|kind| self.kind.starts_with(kind))
    }
}

/// The whole log of the tenant.
pub(super) async fn events(client: &Client) -> Vec<Event> {
    let lines = client.get("/v1/changes?since=0").header("accept", "application/x-ndjson").send().await.expect(200);
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned();
        Event {
            position: text("position").rsplit(':').next().and_then(|seq| seq.parse().ok()).expect("a position"),
            kind: text("kind"),
            cause: text("cause").parse().expect("a cause"),
            aggregate_id: text("aggregate_id"),
            data: event["data"].clone(),
        }
    };
    lines.text().lines().map(event).collect()
}

/// Every position is there once: the tenant is the only one of its log.
pub(super) fn no_gaps(events: &[Event], log_position: u64) {
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, index as u64 + 1, "the feed has a gap or a repetition before {}", event.position);
    }
    assert_eq!(events.len() as u64, log_position, "the feed ends before the log");
}

/// Every accepted command has its effect once, in one piece, where its answer says; no refused one has any.
pub(super) fn exactly_once(events: &[Event], books: &Books, since: u64) {
    let mut of_cause: HashMap<Uuid, Vec<&Event>> = HashMap::new();
    for event in events.iter().filter(|event| event.position > since) {
        of_cause.entry(event.cause).or_default().push(event);
    }
    let entries = books.by_cause();
    let mut wrong = Vec::new();
    for (cause, found) in &of_cause {
        if !entries.contains_key(cause) {
            wrong.push(format!("nobody asked for {}", describe(found)));
        }
    }
    for (cause, entry) in &entries {
        let found = of_cause.remove(cause).unwrap_or_default();
        wrong.extend(judge(entry, &found).map(|why| {
            format!("{why}: {} gave {}; in the log: {}", entry.what, entry.answer.text(), describe(&found))
        }));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} commands are wrong, among them:\n{}",
        wrong.len(),
        entries.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

fn judge(entry: &Entry, found: &[&Event]) -> Option<&'static str> {
    if !entry.is_accepted() {
        return (!found.is_empty()).then_some("refused, and yet it has an effect");
    }
    let known = |event: &&&Event| entry.expected.iter().any(|expected| expected.kind == event.kind);
    if found.iter().filter(|event| !event.kind.starts_with("claim")).any(|event| !known(&event)) {
        return Some("it has an effect of another command");
    }
    for expected in entry.expected {
        let times = found.iter().filter(|event| event.kind == expected.kind).count();
        if times < expected.least {
            return Some("accepted, and its effect is lost");
        }
        if times > expected.most {
            return Some("its effect is there more than once");
        }
    }
    if found.windows(2).any(|pair| pair[1].position != pair[0].position + 1) {
        return Some("its events were torn apart");
    }
    let position = entry.answer.json()["position"].as_str().and_then(|p| p.rsplit(':').next()?.parse::<u64>().ok());
    (!found.is_empty() && position != found.last().map(|event| event.position))
        .then_some("its answer names another position")
}

fn describe(events: &[&Event]) -> String {
    let one = |event: &&Event| format!("{}:{} of {}", event.position, event.kind, event.aggregate_id);
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// An order as its events tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OrderBook {
    lines: Vec<(String, u64)>,
    total: i64,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    is_open: bool,
}

/// Orders and products by id, each checked at every step: money never goes back above what came, stock is never
/// negative nor promised twice.
pub(super) fn shop(events: &[Event]) -> (BTreeMap<String, OrderBook>, BTreeMap<String, (i64, i64)>) {
    let mut orders: BTreeMap<String, OrderBook> = BTreeMap::new();
    let mut stock: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let amount = |event: &Event| event.data["amount"]["amount"].as_i64().expect("an amount");
    let quantity = |event: &Event| event.data["quantity"].as_i64().unwrap_or(0);
    for event in events {
        let id = event.aggregate_id.clone();
        match event.kind.as_str() {
            "order.placed" => {
                let lines = event.data["lines"].as_array().expect("lines").iter();
                let line = |line: &Value| Some((line["product"].as_str()?.to_owned(), line["quantity"].as_u64()?));
                let total = event.data["progress"]["total"].as_i64().expect("a total");
                let book =
                    OrderBook { lines: lines.filter_map(line).collect(), total, is_open: true, ..OrderBook::default() };
                assert!(orders.insert(id, book).is_none(), "an order is placed twice");
            }
            "order.paid" => orders.get_mut(&id).expect("an order").captured += amount(event),
            "order.refunded" => orders.get_mut(&id).expect("an order").refunded += amount(event),
            "order.shipped" | "order.cancelled" => {
                let order = orders.get_mut(&id).expect("an order");
                assert!(order.is_open, "{id} is shipped or cancelled twice");
                order.is_open = false;
            }
            "product.created" => {
                let level = &event.data["stock"];
                stock.insert(id, (level["on_hand"].as_i64().expect("pieces"), 0));
            }
            kind if kind.starts_with("product.stock_") => {
                let (on_hand, reserved) = stock.get_mut(&id).expect("a product");
                match kind {
                    "product.stock_reserved" => *reserved += quantity(event),
                    "product.stock_released" => *reserved -= quantity(event),
                    "product.stock_shipped" => {
                        (*on_hand, *reserved) = (*on_hand - quantity(event), *reserved - quantity(event))
                    }
                    _ => *on_hand += quantity(event),
                }
                let level = &event.data["stock"];
                let told = (level["on_hand"].as_i64(), level["reserved"].as_i64());
                assert_eq!(told, (Some(*on_hand), Some(*reserved)), "{kind} at {} tells another stock", event.position);
                assert!(0 <= *reserved && *reserved <= *on_hand, "{id}: {reserved} of {on_hand} pieces are promised");
            }
            _ => {}
        }
        if let Some(order) = orders.get(&event.aggregate_id) {
            let OrderBook { total, captured, refunded, .. } = *order;
            assert!(0 <= refunded && refunded <= captured && captured <= total, "over-refunded: {order:?}");
        }
    }
    let mut promised: BTreeMap<&str, i64> = BTreeMap::new();
    for (product, quantity) in orders.values().filter(|order| order.is_open).flat_map(|order| &order.lines) {
        *promised.entry(product).or_default() += i64::try_from(*quantity).expect("few");
    }
    for (product, (_, reserved)) in &stock {
        let promised = promised.get(product.as_str()).copied().unwrap_or(0);
        assert_eq!(*reserved, promised, "{product}: reserved is not what open orders were promised");
    }
    (orders, stock)
}

/// No two living contacts have one address, and as many live as were made and not erased.
pub(super) fn unique_emails(contacts: &[Value], events: &[Event]) {
    let living: Vec<&Value> = contacts.iter().filter(|contact| contact["erased"] == false).collect();
    let mut emails = HashSet::new();
    for contact in &living {
        let email = contact["email"].as_str().unwrap_or_else(|| panic!("no e-mail in {contact}")).to_lowercase();
        assert!(emails.insert(email.clone()), "two living contacts have {email}");
    }
    let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(living.len(), count("contact.created") - count("contact.erased"), "contacts are missing or too many");
}

/// What was sealed for an erased contact is unreadable in the log. A worker sees to it, so soon.
pub(super) async fn erased_are_unreadable(client: &Client) {
    let mut told = Vec::new();
    for _ in 0..100 {
        told = telling_of_erased(&events(client).await);
        if told.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    panic!("{} events still tell of erased contacts, the first at {}", told.len(), told[0]);
}

/// Positions of events that do.
fn telling_of_erased(events: &[Event]) -> Vec<u64> {
    let erased: HashSet<&str> =
        events.iter().filter(|event| event.kind == "contact.erased").map(|event| event.aggregate_id.as_str()).collect();
    events
        .iter()
        .filter(|event| erased.contains(event.aggregate_id.as_str()) && event.data.to_string().contains("@x.example"))
        .map(|event| event.position)
        .collect()
}
