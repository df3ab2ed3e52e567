//! Memory of an idle platform that holds the demo data.

use crate::{AnyError, Scale, contacts, load, platform::Platform, table::Outcome};
use serde_json::Value;
use std::time::Duration;

/// Contacts of the demo, made here when this build brings none.
const CONTACTS: usize = 2_000;
const BOUND: f64 = 250.0;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let platform = Platform::start(true)?;
    let has_demo = quiet(&platform).await? > CONTACTS as u64;
    if !has_demo {
        let clients = load::deal(contacts::requests(&platform, CONTACTS), 8);
        load::run(platform.address(), clients, 201).await?;
        platform.settle().await?;
    }
    tokio::time::sleep(Duration::from_secs(scale.of(20, 5))).await;
    let (own, log) = platform.resident()?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let what = if has_demo { "demo data" } else { "2,000 contacts, no demo" };
    let measured = format!("{:.0} MB ({:.0} + nats-server {:.0}; {what})", mb(own + log), mb(own), mb(log));
    Ok(vec![Outcome::bounded("memory, idle", measured, mb(own + log), BOUND, "MB")])
}

/// Waits until the log no longer grows and everybody has read it; gives its last position.
async fn quiet(platform: &Platform) -> Result<u64, AnyError> {
    let mut connection = platform.connect().await?;
    let mut before = u64::MAX;
    for _ in 0..120 {
        platform.settle().await?;
        let request = platform.request("GET", "/readyz", "", "");
        let readiness: Value = serde_json::from_slice(connection.send(&request).await?.body)?;
        let now = readiness["log_position"].as_u64().unwrap_or(0);
        if now == before {
            break;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    Ok(before)
}
