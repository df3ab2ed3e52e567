//! The API's port to the archivers.

use super::provider::{Shared, StreamView};
use api::{
    http::problem::Problem,
    protection::{LogDigests, ProtectionDesk, ProtectionStatus, ProviderStatus, StreamDigest, StreamStatus},
};
use bus_schema::{Micros, bus::Bus, subject::Family, time::Clock};
use futures::future::BoxFuture;
use std::sync::Arc;
use workers::archive::{archiver::State, publish::log_digest};

/// Worse states come later.
const STATES: [&str; 5] = ["running", "stopped", "starting", "retrying", "halted"];

pub(super) struct Desk {
    pub(super) bus: Bus,
    pub(super) providers: Vec<Arc<Shared>>,
}

impl ProtectionDesk for Desk {
    fn status(&self) -> ProtectionStatus {
        let now = Clock::System.now();
        let providers: Vec<ProviderStatus> = self.providers.iter().map(|shared| of_provider(shared, now)).collect();
        // The best of them counts: one copy is enough to lose nothing.
        let rpo_seconds = providers.iter().map(|one| one.rpo_seconds).reduce(f64::min).unwrap_or(0.0);
        let streams = || self.providers.iter().flat_map(|shared| shared.streams());
        let halted_at_gap = |view: &StreamView| view.progress.borrow().gaps;
        // All providers meet the same gap: it is one.
        let gaps = streams().map(|view| view.seen.borrow().gaps.max(halted_at_gap(view))).max().unwrap_or(0);
        ProtectionStatus { providers, rpo_seconds, gaps }
    }

    fn digests(&self, events: Option<u64>, facts: Option<u64>) -> BoxFuture<'_, Result<LogDigests, Problem>> {
        Box::pin(async move { LogDesk(self.bus.clone()).digests(events, facts).await })
    }
}

/// What can be said of the log itself, wherever it is archived.
pub struct LogDesk(pub Bus);

impl LogDesk {
    pub async fn digests(&self, events: Option<u64>, facts: Option<u64>) -> Result<LogDigests, Problem> {
        Ok(LogDigests {
            events: self.digest(Family::Events, events).await?,
            facts: self.digest(Family::Facts, facts).await?,
        })
    }

    async fn digest(&self, family: Family, upto: Option<u64>) -> Result<StreamDigest, Problem> {
        let last = self.0.last_seq(family).await.map_err(|error| unreadable(&error))?;
        let position = upto.unwrap_or(last).min(last);
        let digest = log_digest(&self.0, family, position).await.map_err(|error| unreadable(&error))?;
        Ok(StreamDigest { position, digest: digest.to_string() })
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    Problem::overloaded(&format!("the log cannot be read: {error}"), 5)
}

fn of_provider(shared: &Shared, now: Micros) -> ProviderStatus {
    let streams: Vec<StreamStatus> = shared.streams().iter().map(|view| of_stream(view, now)).collect();
    let seen = |view: &StreamView| view.seen.borrow().clone();
    let worst = streams.iter().map(|stream| rank(&stream.state)).max();
    let state = worst.and_then(|rank| STATES.get(rank).copied());
    let since = shared.streams().iter().filter_map(|view| seen(view).since).min();
    let trouble = shared.trouble();
    ProviderStatus {
        provider: shared.name.clone(),
        state: state.unwrap_or(if trouble.is_some() { "retrying" } else { "starting" }).to_owned(),
        rpo_seconds: streams.iter().map(|stream| stream.lag_seconds).fold(0.0, f64::max),
        rpo_events: streams.iter().map(|stream| stream.lag_events).sum(),
        history_seconds: since.map(|since| now.0.saturating_sub(since.0).max(0) as f64 / 1e6),
        chain_errors: shared
            .streams()
            .iter()
            .map(|view| seen(view).chain_errors + view.progress.borrow().damages)
            .sum(),
        error: trouble.or_else(|| streams.iter().find_map(|stream| stream.error.clone())),
        streams,
    }
}

fn of_stream(view: &StreamView, now: Micros) -> StreamStatus {
    let (progress, seen) = (view.progress.borrow().clone(), view.seen.borrow().clone());
    let log = progress.seen.max(seen.last);
    StreamStatus {
        stream: progress.stream.clone(),
        state: word(&progress.state).to_owned(),
        epoch: progress.epoch,
        archived: progress.archived,
        confirmed: seen.confirmed,
        log,
        segments: progress.entries,
        lag_events: log.saturating_sub(progress.archived),
        lag_seconds: round(progress.lag_seconds(now).max(seen.lag_seconds(progress.archived, now))),
        error: progress.error.clone().or(seen.gap).or(seen.fault),
    }
}

/// Milliseconds are as exact as this is.
fn round(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn rank(state: &str) -> usize {
    STATES.iter().position(|known| *known == state).unwrap_or(0)
}

fn word(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Running => "running",
        State::Retrying => "retrying",
        State::Halted(_) => "halted",
        State::Stopped => "stopped",
    }
}
