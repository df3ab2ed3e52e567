//! From a paid order to a learner: one enrolment a line, a full course is flagged, a refund withdraws.

use super::{tenant, unique};
use crate::support::{Answer, Ask, Client, Platform, eventually, millrace};
use serde_json::{Value, json};
use uuid::Uuid;

/// A published course of one lesson.
pub(crate) async fn course(client: &Client, capacity: Option<u32>) -> Uuid {
    let body = json!({"title": unique("Course "), "capacity": capacity});
    let course = client.make("/v1/courses", &body).await;
    let lesson = json!({"title": "All of it", "kind": "page", "minutes": 5, "required": true});
    let added = client.post(&format!("/v1/courses/{course}/lessons"), &lesson).send().await;
    assert!(matches!(added.status, 200 | 201), "{}", added.text());
    client.post(&format!("/v1/courses/{course}/publish"), &json!({})).send().await.expect(200);
    course
}

/// A product on sale; with a course, its buyer is enrolled.
pub(crate) async fn product(client: &Client, course: Option<Uuid>) -> Uuid {
    let price = json!({"amount": 5_000, "currency": "EUR"});
    let body = json!({"sku": unique("SKU-"), "name": "A course", "price": price, "on_hand": 1_000, "course": course});
    let id = client.make("/v1/products", &body).await;
    client.post(&format!("/v1/products/{id}/publish"), &json!({})).send().await.expect(200);
    id
}

pub(crate) async fn contact(client: &Client) -> Uuid {
    client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await
}

pub(crate) async fn place(client: &Client, contact: Option<Uuid>, lines: &[(Uuid, u32)]) -> Uuid {
    let lines: Vec<Value> = lines.iter().map(|(id, quantity)| json!({"product": id, "quantity": quantity})).collect();
    let buyer = json!({"name": "Ada Lovelace", "email": format!("{}@x.example", unique("b"))});
    let order = json!({"contact": contact, "buyer": buyer, "currency": "EUR", "lines": lines});
    client.post("/v1/orders", &order).send().await.expect(201).id()
}

pub(crate) fn payment(client: &Client, order: Uuid, pieces: i64) -> Ask {
    let amount = json!({"amount": 5_000 * pieces, "currency": "EUR"});
    let payment = json!({"amount": amount, "method": "card", "reference": format!("p-{order}")});
    client.post(&format!("/v1/orders/{order}/payments"), &payment).key(&format!("pay-{order}"))
}

pub(crate) async fn pay(client: &Client, order: Uuid, pieces: i64) -> Answer {
    payment(client, order, pieces).send().await.expect(200)
}

async fn refund(client: &Client, order: Uuid, reference: &str, lines: &[(Uuid, u32)]) -> Answer {
    let pieces: u32 = lines.iter().map(|(_, quantity)| *quantity).sum();
    let lines: Vec<Value> = lines.iter().map(|(id, quantity)| json!({"product": id, "quantity": quantity})).collect();
    let amount = json!({"amount": 5_000 * pieces, "currency": "EUR"});
    let body = json!({"amount": amount, "reason": "asked for", "reference": reference, "lines": lines});
    client.post(&format!("/v1/orders/{order}/refunds"), &body).send().await
}

/// The fulfilment once its line of a product is in this state.
pub(crate) async fn line(client: &Client, order: Uuid, product: Uuid, state: &str) -> Value {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let shown = client.get(&format!("/v1/fulfilments/{order}")).send().await.json();
        let mut lines = shown["lines"].as_array().into_iter().flatten();
        let found = lines.find(|line| line["product"] == product.to_string()).cloned().unwrap_or_default();
        if found["state"] == state {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "the line is not {state} within 60 s: {shown:#}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The enrolments of a learner as the log has them: one `enrolment.enrolled` each.
pub(crate) async fn enrolled_events(client: &Client, contact: Uuid) -> usize {
    let events = client.get("/v1/events?kind=enrolment.enrolled&limit=1000").send().await.expect(200).json();
    let of = |event: &&Value| event["data"]["contact"] == contact.to_string();
    events["items"].as_array().expect("items").iter().filter(of).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_paid_is_enrolled_once_a_line_and_a_refund_withdraws() {
    let client = tenant().await;
    let (first, second) = (course(&client, None).await, course(&client, Some(5)).await);
    let (one, other, ink) =
        (product(&client, Some(first)).await, product(&client, Some(second)).await, product(&client, None).await);
    let buyer = contact(&client).await;
    let order = place(&client, Some(buyer), &[(one, 1), (other, 1), (ink, 2)]).await;
    client.get(&format!("/v1/fulfilments/{order}")).send().await.expect(404);
    pay(&client, order, 4).await;
    let enrolment = line(&client, order, one, "enrolled").await["enrolment"].as_str().expect("an id").to_owned();
    line(&client, order, other, "enrolled").await;
    let shown = client.get(&format!("/v1/enrolments/{enrolment}")).send().await.expect(200).json();
    assert_eq!((&shown["source"], &shown["status"]), (&json!("order"), &json!("active")));
    assert_eq!(enrolled_events(&client, buyer).await, 2);
    // The money of one line goes back: that enrolment ends, the other stays.
    refund(&client, order, "r1", &[(ink, 3)]).await.refused(409, "refund_exceeds_bought");
    refund(&client, order, "r1", &[(Uuid::nil(), 1)]).await.refused(422, "not_in_order");
    refund(&client, order, "r1", &[(one, 1)]).await.expect(200);
    line(&client, order, one, "withdrawn").await;
    let withdrawn = async || {
        let shown = client.get(&format!("/v1/enrolments/{enrolment}")).send().await.json();
        shown["status"] == "withdrawn" && shown["withdrawal_reason"] == "refunded"
    };
    eventually("the learner has left", 30, withdrawn).await;
    assert_eq!(line(&client, order, other, "enrolled").await["refund_due"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_course_is_flagged_for_refund_and_may_be_tried_again() {
    let client = tenant().await;
    let full = course(&client, Some(1)).await;
    let seat = product(&client, Some(full)).await;
    let (early, late) = (contact(&client).await, contact(&client).await);
    let first = place(&client, Some(early), &[(seat, 1)]).await;
    pay(&client, first, 1).await;
    let enrolment = line(&client, first, seat, "enrolled").await["enrolment"].as_str().expect("an id").to_owned();
    let second = place(&client, Some(late), &[(seat, 2)]).await;
    pay(&client, second, 2).await;
    let refused = line(&client, second, seat, "refused").await;
    assert_eq!((&refused["reason"], &refused["refund_due"]), (&json!("course_full"), &json!(2)), "{refused:#}");
    assert_eq!(refused["refund_due_amount"], json!({"amount": 10_000, "currency": "EUR"}));
    let flagged = client.all("/v1/fulfilments?filter[needs_refund][_eq]=true").await;
    let ids: Vec<&str> = flagged.iter().filter_map(|item| item["order"].as_str()).collect();
    assert_eq!(ids, [second.to_string()]);
    // A place becomes free, and the line is tried again: one of two pieces is served.
    let left = json!({"reason": "requested"});
    client.post(&format!("/v1/enrolments/{enrolment}/withdraw"), &left).send().await.expect(200);
    let reopen =
        |order: Uuid| client.post(&format!("/v1/fulfilments/{order}/reopen"), &json!({"product": seat})).send();
    reopen(first).await.refused(409, "line_not_refused");
    reopen(second).await.expect(200);
    assert_eq!(line(&client, second, seat, "enrolled").await["refund_due"], 1);
    // Without a contact nobody can be enrolled.
    let nobody = place(&client, None, &[(seat, 1)]).await;
    pay(&client, nobody, 1).await;
    assert_eq!(line(&client, nobody, seat, "refused").await["reason"], "no_contact");
    // The money of all of it goes back.
    refund(&client, nobody, "all", &[]).await.refused(422, "invalid_amount");
    refund(&client, nobody, "all", &[(seat, 1)]).await.expect(200);
    let settled = async || {
        let shown = client.get(&format!("/v1/fulfilments/{nobody}")).send().await.json();
        shown["needs_refund"] == false && shown["lines"][0]["refunded"] == 1
    };
    eventually("nothing is to be refunded", 30, settled).await;
    // Another tenant sees nothing of it.
    let other = tenant().await;
    other.get(&format!("/v1/fulfilments/{second}")).send().await.expect(404);
    other.post(&format!("/v1/fulfilments/{second}/reopen"), &json!({"product": seat})).send().await.expect(404);
    assert!(other.all("/v1/fulfilments").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_enrols_when_it_goes_on() {
    let platform = Platform::own();
    let client = platform.client();
    let told = |verb: &str| {
        let connection = ["--url", &platform.ready.url, "--api-key", &platform.ready.api_key];
        let done = millrace(&[&["workers", verb, "fulfilments"], &connection[..]].concat(), &[]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let seat = product(&client, Some(course(&client, None).await)).await;
    let buyer = contact(&client).await;
    told("pause");
    let order = place(&client, Some(buyer), &[(seat, 1)]).await;
    pay(&client, order, 1).await;
    let ready = client.ready().await;
    assert!(ready["notes"].to_string().contains("fulfilments is paused"), "{ready:#}");
    let waits = async || {
        let workers = client.get("/v1/workers").send().await.json();
        let mut items = workers["items"].as_array().into_iter().flatten();
        items.any(|worker| worker["name"] == "fulfilments" && worker["state"] == "paused")
    };
    assert!(waits().await);
    client.get(&format!("/v1/fulfilments/{order}")).send().await.expect(404);
    client.post("/v1/workers/nobody/pause", &json!({})).send().await.expect(404);
    told("resume");
    line(&client, order, seat, "enrolled").await;
}
