//! From a time to a position: binary search over the log.

use crate::http::problem::Problem;
use bus_schema::{Micros, bus::Bus, subject::Family};

/// Enough that one of them is an event, if a message in between is none.
const FEW: usize = 4;

/// The position of the first event of a filter at or after a time; one beyond the last event when there is none. Clocks
/// of several writers may differ by milliseconds, so the answer is exact up to that.
pub(super) async fn first_at(bus: &Bus, family: Family, filter: &str, time: Micros) -> Result<u64, Problem> {
    let last = bus.last_seq(family).await.map_err(|error| Problem::unavailable(&error, 2))?;
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match bus.read_filtered(family, filter, middle, FEW).await?.events.first() {
            Some(event) if event.envelope.at < time => low = event.seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
