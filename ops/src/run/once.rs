//! What only one process of a cell may do at a time, and soon has done: a lease that is not kept.

use super::RunError;
use bus_schema::bus::{Bus, Lease, LeaseTerm};
use std::time::Duration;
use tokio::time::Instant;

/// What is done in it takes less. Who dies in it keeps the others waiting for so long.
const TERM: LeaseTerm = LeaseTerm { time: Duration::from_secs(30), margin: Duration::from_secs(2) };
const LOOK: Duration = Duration::from_millis(200);
/// How long to wait for others.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nobody else does it until this ends.
pub(super) struct Alone(Lease);

/// Waits until nobody else does it.
pub(super) async fn alone(bus: &Bus, what: &str) -> Result<Alone, RunError> {
    let mut lease = bus.lease(what, bus_schema::ids::random_uuid(), TERM);
    let end = Instant::now() + PATIENCE;
    loop {
        match lease.hold().await {
            Ok(Some(_)) => return Ok(Alone(lease)),
            Ok(None) if Instant::now() >= end => return Err(RunError::Crowded { seconds: PATIENCE.as_secs() }),
            // A lease that was just written over, or servers that elect a leader.
            Err(error) if Instant::now() >= end => return Err(error.into()),
            Ok(None) | Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

impl Alone {
    pub(super) async fn end(mut self) {
        self.0.release().await;
    }
}
