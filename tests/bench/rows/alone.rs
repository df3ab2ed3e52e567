//! One command alone against one durable publish alone.

use super::ratios;
use crate::{
    AnyError, Scale,
    contacts::{self, Sample},
    load,
    log::Log,
    platform::Platform,
    table::{Outcome, Reach, median, quantile_ms},
};

const BLOCK: usize = 50;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let turns = scale.of(20, 8);
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    let platform = Platform::start(false)?;
    block(&platform).await?;
    log.alone(sample.copies(BLOCK)).await?;
    let (mut commands, mut publishes) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        publishes.push(quantile_ms(&log.alone(sample.copies(BLOCK)).await?, 0.5));
        commands.push(block(&platform).await?);
    }
    let outcome = Outcome::of(
        "one command alone, p50",
        format!("{:.2} ms", median(&commands)),
        format!("{:.2} ms a publish", median(&publishes)),
        &ratios(&commands, &publishes),
        Reach::AtMost(2.5),
    );
    Ok(vec![outcome])
}

/// The median of some commands one after another, in milliseconds.
pub(super) async fn block(platform: &Platform) -> Result<f64, AnyError> {
    let load = load::run(platform.address(), vec![contacts::requests(platform, BLOCK)], 201).await?;
    Ok(quantile_ms(&load.latencies, 0.5))
}
