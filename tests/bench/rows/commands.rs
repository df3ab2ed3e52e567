//! Durable commands a second under full load: 256 clients create contacts over HTTP.

use super::{CLIENTS, RAW_BATCH, RAW_IN_FLIGHT, rate, ratios};
use crate::{
    AnyError, Scale,
    contacts::{self, Sample},
    load,
    log::Log,
    platform::Platform,
    table::{Outcome, Reach, median},
};

pub(super) async fn measure(scale: Scale, peak: &mut Option<f64>) -> Result<Vec<Outcome>, AnyError> {
    let (turns, count) = (scale.of(5, 3), scale.of(20_000, 8_000));
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    let platform = Platform::start(false)?;
    // Connections, caches and the pool of keys are warm before anything counts.
    round(&platform, count / 4).await?;
    let (mut commands, mut batches, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    // Microseconds of a processor for each command, until views and search show it.
    let (mut own, mut logs) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        batches.push(log.batches(sample.copies(count), RAW_BATCH, RAW_IN_FLIGHT).await?);
        let before = platform.processor_time()?;
        commands.push(round(&platform, count).await?);
        platform.settle().await?;
        let after = platform.processor_time()?;
        own.push((after.0 - before.0).as_secs_f64() * 1e6 / count as f64);
        logs.push((after.1 - before.1).as_secs_f64() * 1e6 / count as f64);
        singles.push(log.singles(sample.copies(count / 4), CLIENTS).await?);
    }
    *peak = Some(median(&commands));
    let cost = format!("{:.0} µs CPU each + nats-server {:.0}", median(&own), median(&logs));
    let measured = || format!("{} ({cost})", rate(&commands, "commands"));
    Ok(vec![
        Outcome::of(
            "commands, 256 clients / batches of 100",
            measured(),
            rate(&batches, "messages"),
            &ratios(&commands, &batches),
            Reach::AtLeast(0.4),
        ),
        Outcome::of(
            "commands, 256 clients / singles",
            measured(),
            rate(&singles, "messages"),
            &ratios(&commands, &singles),
            Reach::AtLeast(2.0),
        ),
    ])
}

/// Commands a second of one round.
pub(super) async fn round(platform: &Platform, count: usize) -> Result<f64, AnyError> {
    let clients = load::deal(contacts::requests(platform, count), CLIENTS);
    Ok(load::run(platform.address(), clients, 201).await?.per_second())
}
