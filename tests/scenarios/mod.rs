//! Journeys through HTTP against a real platform, awaited by the consistency token, never by sleep. Each has a tenant of
//! its own.

mod activity;
pub(crate) mod archives;
mod authoring;
mod bounces;
mod campaigns;
mod cluster;
mod conditions;
mod contacts;
mod courses;
mod damage;
mod erasure;
mod feed;
mod feedback;
mod files;
pub(crate) mod fulfilments;
mod full_disk;
mod inbox;
mod isolation;
mod letters;
mod messages;
mod orders;
pub(crate) mod overdue;
mod pages;
mod paging;
mod preferences;
mod proofs;
mod refusals;
mod repetition;
mod replays;
mod retries;
mod returned;
mod roles;
mod segments;
mod sending;
mod ses;
mod slow_clients;
mod sns;
mod starts;
mod stops;
mod subscriptions;
mod suppressions;
pub(crate) mod workers;

use crate::support::{Client, Platform};
use serde_json::json;

/// A word nobody else uses.
fn unique(prefix: &str) -> String {
    format!("{prefix}{}", &bus_schema::ids::random_uuid().simple().to_string()[20..])
}

/// The owner of a new tenant of the shared platform.
async fn tenant() -> Client {
    tenant_of(&Platform::shared().client()).await
}

/// The owner of a new tenant of an operator's platform.
async fn tenant_of(operator: &Client) -> Client {
    let (name, password) = (unique("t"), unique("A long passphrase "));
    let email = format!("owner@{name}.example");
    let founded = json!({"tenant": name, "name": "A tenant", "email": email, "password": password});
    operator.post("/v1/tenants", &founded).send().await.expect(201);
    let login = json!({"tenant": name, "email": email, "password": password});
    let session = operator.post("/v1/sessions", &login).send().await;
    assert!(matches!(session.status, 200 | 201), "{}", session.text());
    operator.with_key(session.json()["token"].as_str().expect("a token"))
}
