//! From a command's acknowledgement to a read that shows it, at half of the peak load.

use super::commands;
use crate::{
    AnyError, Scale, contacts,
    http::Connection,
    load,
    platform::Platform,
    table::{Outcome, quantile_ms},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
/// One of so many commands is looked for; the others are the load.
const LOOKED_FOR: usize = 10;
const BOUND_MS: f64 = 100.0;

pub(super) async fn measure(scale: Scale, peak: &mut Option<f64>) -> Result<Vec<Outcome>, AnyError> {
    let platform = Platform::start(false)?;
    let warm = commands::round(&platform, scale.of(10_000, 5_000)).await?;
    let peak = *peak.get_or_insert(warm);
    platform.settle().await?;
    let seen = at_pace(&platform, peak / 2.0, scale.of(20.0, 8.0)).await?;
    Ok(vec![seen.outcome("acknowledged to visible, p99", "", BOUND_MS)])
}

pub(super) struct Seen {
    waits: Vec<Duration>,
    commands: usize,
    took: Duration,
}

impl Seen {
    /// The p99; `beside` is said after it.
    pub(super) fn outcome(&self, name: &str, beside: &str, bound_ms: f64) -> Outcome {
        let p99 = quantile_ms(&self.waits, 0.99);
        let measured = format!(
            "{p99:.1} ms (p50 {:.1}, {} looked for, {:.0} commands/s{beside})",
            quantile_ms(&self.waits, 0.5),
            self.waits.len(),
            self.commands as f64 / self.took.as_secs_f64()
        );
        Outcome::bounded(name, measured, p99, bound_ms, "ms")
    }
}

/// So many commands a second, and how long it takes until some of them are seen.
pub(super) async fn at_pace(platform: &Platform, wanted: f64, seconds: f64) -> Result<Seen, AnyError> {
    let requests = contacts::requests(platform, (wanted * seconds) as usize);
    let tail = platform.request("GET", "/v1/contacts/", "", "");
    let pace = Duration::from_secs_f64(CLIENTS as f64 / wanted);
    let (address, clients) = (platform.address(), load::deal(requests, CLIENTS));
    load::on_one_thread(paced(address, clients, tail, pace)).await
}

/// Sends each client's requests at a fixed pace. A late client does not hurry: the load stays what was asked for.
async fn paced(
    address: SocketAddr,
    clients: Vec<Vec<Vec<u8>>>,
    read: Vec<u8>,
    pace: Duration,
) -> Result<Seen, AnyError> {
    let read = String::from_utf8(read)?;
    let mut running: JoinSet<Result<(Vec<Duration>, usize), AnyError>> = JoinSet::new();
    let began = Instant::now();
    for (index, requests) in clients.into_iter().enumerate() {
        let mut connection = Connection::open(address).await?;
        let read = read.clone();
        running.spawn(async move {
            let start = tokio::time::Instant::now() + pace.mul_f64(index as f64 / CLIENTS as f64);
            let mut clock = tokio::time::interval_at(start, pace);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut waits = Vec::new();
            for (number, request) in requests.iter().enumerate() {
                clock.tick().await;
                let answer = connection.send(request).await?;
                answer.expect(201)?;
                if (number + index).is_multiple_of(LOOKED_FOR) {
                    let acknowledged = Instant::now();
                    let token = answer.header("consistency-token").ok_or("no token")?;
                    let place = answer.header("location").ok_or("no location")?;
                    let look = read.replacen("/v1/contacts/", &format!("{place}?wait_ms=5000"), 1);
                    let look = look.replacen("\r\n", &format!("\r\nConsistency-Token: {token}\r\n"), 1);
                    connection.send(look.as_bytes()).await?.expect(200)?;
                    waits.push(acknowledged.elapsed());
                }
            }
            Ok((waits, requests.len()))
        });
    }
    let mut seen = Seen { waits: Vec::new(), commands: 0, took: Duration::ZERO };
    while let Some(client) = running.join_next().await {
        let (waits, commands) = client??;
        seen.waits.extend(waits);
        seen.commands += commands;
    }
    seen.took = began.elapsed();
    Ok(seen)
}
