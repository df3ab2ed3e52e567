//! Which events are history that was brought in (ADR 10): nobody is told of them as if they had just happened.

use bus_schema::{
    StoredEvent,
    bus::{Bus, ReadError},
    subject::Family,
};

/// Seconds between happening and being stored after which an event was brought in.
const LONG_AFTER: i64 = 60;

/// Whether an event was stored long after it happened; also when the log does not have it any more.
pub(crate) async fn was_brought_in(bus: &Bus, event: &StoredEvent) -> Result<bool, ReadError> {
    let stored = bus.stored_at(Family::Events, &event.subject.to_string(), event.seq).await?;
    Ok(stored.is_none_or(|stored| event.envelope.at.plus_seconds(LONG_AFTER) < stored))
}
