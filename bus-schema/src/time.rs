//! Instants as integer microseconds since 1970-01-01T00:00:00Z, the only form in which a time enters an event.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Microseconds UTC since the Unix epoch. JSON and MessagePack hold the plain integer; [`fmt::Display`] is RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Parses RFC 3339 (`2026-11-22T02:50:00Z`, any offset, up to microseconds kept).
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_microsecond()))
    }

    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// The day in UTC as `YYYY-MM-DD`.
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// Where "now" comes from. Deciders never ask a clock: the writer asks once and hands the answer down in `Ctx`.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    /// A clock that tests move by hand.
    Manual(std::sync::Arc<std::sync::atomic::AtomicI64>),
}

impl Clock {
    pub fn manual(start: Micros) -> Self {
        Self::Manual(std::sync::Arc::new(std::sync::atomic::AtomicI64::new(start.0)))
    }

    pub fn now(&self) -> Micros {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the clock port is where the machine's time enters")]
            Self::System => Micros(jiff::Timestamp::now().as_microsecond()),
            Self::Manual(at) => Micros(at.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; a system clock stays as it is.
    pub fn advance_seconds(&self, seconds: i64) {
        if let Self::Manual(at) = self {
            at.fetch_add(seconds * 1_000_000, std::sync::atomic::Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_to_the_microsecond() {
        let at = Micros(1_700_000_000_123_456);
        assert_eq!(Micros::parse(&at.to_string()), Some(at));
        assert_eq!(at.date(), "2023-11-14");
        assert_eq!(Micros::parse("yesterday"), None);
    }
}
