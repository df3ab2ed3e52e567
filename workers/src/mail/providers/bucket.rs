//! A rate: so many a second, evenly, in the order in which they were asked for.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A token bucket, kept as the time at which the next place is (the generic cell rate algorithm): nothing has to fill it.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Between two places.
    interval: Duration,
    /// How far ahead of the even pace places may be taken: a tenth of a second's worth.
    ahead: Duration,
    next: Mutex<Option<Instant>>,
}

impl Bucket {
    /// `per_second` is more than 0; see [`is_rate`].
    pub(super) fn new(per_second: f64) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second.clamp(RATES.0, RATES.1));
        Self { interval, ahead: Duration::from_millis(100).saturating_sub(interval), next: Mutex::new(None) }
    }

    /// Takes a place: how long to wait for it. If that is longer than `patience` none is taken.
    pub(super) fn reserve(&self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let even = next.map_or(now, |next| next.max(now));
        let wait = even.saturating_duration_since(now).saturating_sub(self.ahead);
        if wait > patience {
            return Err(wait);
        }
        *next = Some(even + self.interval);
        Ok(wait)
    }

    /// Nobody has taken a place for long enough that forgetting it changes nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|next| next <= now)
    }
}

/// What a rate may be, a second: from one in a thousand seconds on.
const RATES: (f64, f64) = (0.001, 1_000_000.0);

pub(super) fn is_rate(per_second: f64) -> bool {
    (RATES.0..=RATES.1).contains(&per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_are_even_and_no_second_has_more_than_its_rate_and_a_tenth() {
        let bucket = Bucket::new(50.0);
        let now = Instant::now();
        let waits: Vec<Duration> = (0..500).map(|_| bucket.reserve(now, Duration::MAX).unwrap()).collect();
        assert!(waits.is_sorted());
        let second = |from: usize| {
            let end = waits[from] + Duration::from_secs(1);
            waits.iter().skip(from).filter(|wait| **wait < end).count()
        };
        assert!((0..440).all(|from| second(from) <= 55), "{:?}", (0..440).map(second).max());
        let last = waits[499].as_secs_f64();
        assert!((9.8..10.0).contains(&last), "500 at 50 a second took {last}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_will_not_wait_takes_nothing() {
        let bucket = Bucket::new(1.0);
        let now = Instant::now();
        assert_eq!(bucket.reserve(now, Duration::ZERO), Ok(Duration::ZERO));
        for _ in 0..3 {
            assert_eq!(bucket.reserve(now, Duration::from_millis(500)), Err(Duration::from_secs(1)));
        }
        assert!(!bucket.is_idle(now));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(bucket.is_idle(Instant::now()));
        assert_eq!(bucket.reserve(Instant::now(), Duration::ZERO), Ok(Duration::ZERO));
        assert!(is_rate(0.5) && !is_rate(0.0) && !is_rate(-1.0) && !is_rate(f64::NAN) && !is_rate(f64::INFINITY));
    }
}
