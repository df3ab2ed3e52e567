//! A platform's log at two providers: it comes back from each of them alone.

mod alarms;
mod damage;
pub(crate) mod kills;
mod local;
mod restoring;
mod starting;
mod timers;
mod turns;

use super::unique;
use crate::support::Client;
use serde_json::{Value, json};
use std::process::Output;
use uuid::Uuid;

/// What a command printed, for a look and for messages.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn worked(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, said(output));
    said(output)
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) -> String {
    let text = said(output);
    assert!(!output.status.success() && output.status.code() != Some(124), "{}: {text}", output.status);
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// What people do on a platform, and one of them is erased.
struct Work {
    word: String,
    kept: Vec<Uuid>,
    erased: Uuid,
    before_erasure: u64,
}

async fn work(client: &Client) -> Work {
    let word = unique("quixotic");
    let mut kept = Vec::new();
    for index in 0..12 {
        let contact = json!({"email": format!("{index}@{word}.example"), "first_name": format!("{word} {index}"), "tags": [word]});
        kept.push(client.make("/v1/contacts", &contact).await);
    }
    let product =
        json!({"sku": word, "name": format!("A {word}"), "price": {"amount": 1250, "currency": "EUR"}, "stock": 5});
    let product = client.post("/v1/products", &product).send().await;
    assert!(product.status < 500, "{}", product.text());
    for id in &kept[..4] {
        client.patch(&format!("/v1/contacts/{id}"), &json!({"last_name": "Changed"})).send().await.expect(200);
    }
    let erased =
        client.make("/v1/contacts", &json!({"email": format!("gone@{word}.example"), "first_name": "Gone"})).await;
    let before_erasure = client.seen();
    client.delete(&format!("/v1/contacts/{erased}")).send().await.expect(200);
    Work { word, kept, erased, before_erasure }
}

impl Work {
    /// Everything a client may read of it.
    async fn reads(&self, client: &Client) -> Vec<(String, Value)> {
        let mut paths = vec![
            format!("/v1/contacts?filter[tags][_eq]={}&limit=100&sort=email", self.word),
            format!("/v1/search?q={}&in=contacts", self.word),
            "/v1/products?limit=100".to_owned(),
            "/v1/events?context=crm&limit=1000".to_owned(),
            format!("/v1/contacts/{}", self.erased),
        ];
        for id in &self.kept {
            paths.push(format!("/v1/contacts/{id}"));
            paths.push(format!("/v1/contacts/{id}/history"));
        }
        let mut reads = Vec::new();
        for path in paths {
            let answer =
                if path.contains("events") { client.get(&path).send().await } else { client.read(&path).await };
            let mut answer = answer.expect(200).json();
            // A score counts words of records that the index has not let go of yet, so it is not of the log alone.
            for found in answer["items"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                found.remove("score");
            }
            reads.push((path, answer));
        }
        reads
    }
}
