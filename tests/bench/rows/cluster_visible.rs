//! From a command's acknowledgement to a read that shows it, with the views on one node of Cassandra.

use super::{commands, visible};
use crate::{AnyError, Scale, cassandra::Cassandra, platform::Platform, table::Outcome};
use std::time::Instant;

const BOUND_MS: f64 = 250.0;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let cassandra = Cassandra::start(1)?;
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
    let seen = visible::at_pace(&platform, peak / 2.0, scale.of(30.0, 10.0)).await?;
    let beside = format!("; peak {peak:.0}/s, accepted at {accepted:.0}/s");
    Ok(vec![seen.outcome("acknowledged to visible on Cassandra, p99", &beside, BOUND_MS)])
}
