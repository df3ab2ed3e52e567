//! From a command's acknowledgement to a read that shows it, with the views on one node of Cassandra.

use super::{commands, visible};
use crate::{
    AnyError, Scale,
    cassandra::Cassandra,
    contacts, load,
    platform::Platform,
    table::{Outcome, quantile_ms},
};
use std::time::{Duration, Instant};

const BOUND_MS: f64 = 250.0;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let cassandra = Cassandra::start()?;
    let platform = Platform::start_with(false, &cassandra.environment("visible"))?;
    // Tables come into being, and the node compiles what it runs often.
    commands::round(&platform, scale.of(10_000, 5_000)).await?;
    platform.settle().await?;
    let count = scale.of(30_000, 10_000);
    let began = Instant::now();
    let accepted = commands::round(&platform, count).await?;
    platform.settle().await?;
    // Beyond what is seen as fast as it is accepted there is no bounded time.
    let peak = count as f64 / began.elapsed().as_secs_f64();
    let wanted = peak / 2.0;
    let requests = contacts::requests(&platform, (wanted * scale.of(30.0, 10.0)) as usize);
    let tail = platform.request("GET", "/v1/contacts/", "", "");
    let pace = Duration::from_secs_f64(visible::CLIENTS as f64 / wanted);
    let (address, clients) = (platform.address(), load::deal(requests, visible::CLIENTS));
    let seen = load::on_one_thread(visible::paced(address, clients, tail, pace)).await?;
    let p99 = quantile_ms(&seen.waits, 0.99);
    let measured = format!(
        "{p99:.1} ms (p50 {:.1}, {} looked for, {:.0} commands/s; peak {peak:.0}/s, accepted at {accepted:.0}/s)",
        quantile_ms(&seen.waits, 0.5),
        seen.waits.len(),
        seen.commands as f64 / seen.took.as_secs_f64()
    );
    Ok(vec![Outcome::bounded("acknowledged to visible on Cassandra, p99", measured, p99, BOUND_MS, "ms")])
}
