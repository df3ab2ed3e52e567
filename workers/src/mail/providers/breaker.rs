//! Keeps mails away from a provider that takes none: after some failures in a row nothing is handed to it for a while, then
//! one mail is tried, and its answer decides.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures of the whole provider in a row that open it.
const THRESHOLD: u32 = 5;
/// The first rest; each that follows without a success between is twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// One for each provider.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    /// Failures in a row.
    failures: u32,
    /// Rests in a row.
    rests: u32,
    /// Of the failure that came last; a stage and a code, no words.
    cause: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One mail is on its way to find out.
    Probing,
}

/// How a breaker stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// `closed`: mails pass. `open`: none does. `half_open`: one is tried.
    pub word: &'static str,
    /// Of an open one: how long it rests still.
    pub rests: Option<Duration>,
    pub failures: u32,
    pub cause: Option<String>,
}

/// A mail that may be handed over. Dropped without a word it says nothing of the provider.
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Breaker {
    /// `None`: nothing may be handed over now.
    pub(super) fn enter(&self, now: Instant) -> Option<Ticket<'_>> {
        let mut inner = self.lock();
        let probe = match inner.phase {
            Phase::Closed => false,
            Phase::Open { until } if until <= now => true,
            Phase::Open { .. } | Phase::Probing => return None,
        };
        if probe {
            inner.phase = Phase::Probing;
        }
        Some(Ticket { breaker: self, probe, told: false })
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        let inner = self.lock();
        let (word, rests) = match inner.phase {
            Phase::Closed => ("closed", None),
            Phase::Open { until } => ("open", Some(until.saturating_duration_since(now))),
            Phase::Probing => ("half_open", None),
        };
        BreakerState { word, rests, failures: inner.failures, cause: inner.cause.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// The provider does its work, whatever it said of this mail.
    pub(super) fn works(mut self) {
        self.told = true;
        let mut inner = self.breaker.lock();
        *inner = Inner::default();
    }

    /// The provider takes nothing at the moment.
    pub(super) fn fails(mut self, now: Instant, cause: &str) {
        self.told = true;
        let mut inner = self.breaker.lock();
        inner.failures = inner.failures.saturating_add(1);
        inner.cause = Some(cause.to_owned());
        // Mails that were on their way when it opened say nothing new.
        let opens = match inner.phase {
            Phase::Closed => inner.failures >= THRESHOLD,
            Phase::Probing => self.probe,
            Phase::Open { .. } => false,
        };
        if opens {
            let rest = FIRST.saturating_mul(1 << inner.rests.min(16)).min(LONGEST);
            inner.rests = inner.rests.saturating_add(1);
            inner.phase = Phase::Open { until: now + rest };
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.probe && !self.told {
            let mut inner = self.breaker.lock();
            if inner.phase == Phase::Probing {
                // The next mail finds out.
                inner.phase = Phase::Open { until: Instant::now() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.enter(Instant::now()).unwrap().fails(Instant::now(), "connect: connection lost");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_tries_one_mail_then() {
        let breaker = Breaker::default();
        fail(&breaker, THRESHOLD - 1);
        breaker.enter(Instant::now()).unwrap().works();
        fail(&breaker, THRESHOLD - 1);
        assert_eq!(breaker.state(Instant::now()).word, "closed");
        let late = breaker.enter(Instant::now()).unwrap();
        fail(&breaker, 1);
        late.fails(Instant::now(), "connect: connection lost");
        assert!(breaker.enter(Instant::now()).is_none());
        let state = breaker.state(Instant::now());
        assert_eq!((state.word, state.rests), ("open", Some(FIRST)), "a failure from before makes no rest longer");
        tokio::time::advance(FIRST).await;
        let probe = breaker.enter(Instant::now()).unwrap();
        assert!(breaker.enter(Instant::now()).is_none(), "one at a time");
        assert_eq!(breaker.state(Instant::now()).word, "half_open");
        probe.fails(Instant::now(), "mail 421");
        assert_eq!(breaker.state(Instant::now()).rests, Some(FIRST * 2));
        tokio::time::advance(FIRST * 2).await;
        // Somebody asked to stop before the mail left: the next one is the probe.
        drop(breaker.enter(Instant::now()).unwrap());
        breaker.enter(Instant::now()).unwrap().works();
        assert_eq!(
            breaker.state(Instant::now()),
            BreakerState { word: "closed", rests: None, failures: 0, cause: None }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn its_rest_has_a_longest() {
        let breaker = Breaker::default();
        fail(&breaker, THRESHOLD);
        for _ in 0..10 {
            tokio::time::advance(LONGEST).await;
            fail(&breaker, 1);
        }
        assert_eq!(breaker.state(Instant::now()).rests, Some(LONGEST));
    }
}
