//! Leases: of several processes one does a work at a time.
//!
//! A lease is the newest value of one subject, `leases.<cell>.<name>`, written only over the value that was read (its position is
//! the expectation), so of two that want it one gets it. Its holder writes it again and again. Nobody compares clocks: a
//! holder counts its time from before it wrote, a contender from when it first saw a value that has not changed since, and waits
//! longer than a holder may count. So a holder that stood still knows that its time is over when it goes on, before anybody else
//! can have begun (spec/PROTECTION.md 2.6).

use super::{Bus, append::AppendError, append::Outgoing, read::ReadError};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

pub(super) const KIND: &str = "leases";

/// How long a lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerm {
    /// A holder may work so long after it began to write.
    pub time: Duration,
    /// A contender waits so much longer.
    pub margin: Duration,
}

impl LeaseTerm {
    /// Ten seconds: a holder that writes every three may miss two times.
    pub const USUAL: Self = Self { time: Duration::from_secs(10), margin: Duration::from_secs(2) };

    /// How often a holder writes.
    pub fn rhythm(self) -> Duration {
        self.time / 3
    }
}

/// One wish to hold a lease.
pub struct Lease {
    bus: Bus,
    subject: String,
    /// Who asks: the same in every life of one data directory, of which one process runs at a time.
    holder: Uuid,
    term: LeaseTerm,
    /// The position of the value that is ours.
    held: Option<u64>,
    /// Somebody else's value, and since when it has not changed.
    seen: Option<(u64, Instant)>,
}

/// Why a lease is not held.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("a lease cannot be read")]
    Read(#[from] ReadError),
    #[error("a lease cannot be written")]
    Write(#[from] AppendError),
}

impl Bus {
    /// A lease of this cell. `name` is a subject token.
    pub fn lease(&self, name: &str, holder: Uuid, term: LeaseTerm) -> Lease {
        let subject = format!("{KIND}.{}.{name}", self.cell());
        Lease { bus: self.clone(), subject, holder, term, held: None, seen: None }
    }
}

impl Lease {
    /// Takes or keeps the lease, if it can be had now: until when it is held. `None`: somebody else has it.
    pub async fn hold(&mut self) -> Result<Option<Instant>, LeaseError> {
        let expect = match self.held {
            Some(position) => position,
            None => match self.free().await? {
                Some(position) => position,
                None => return Ok(None),
            },
        };
        self.write(expect, false).await
    }

    /// Gives it back, so that nobody has to wait.
    pub async fn release(&mut self) {
        if let Some(position) = self.held.take() {
            _ = self.write(position, true).await;
            self.held = None;
        }
    }

    /// The position to write over; `None`: it may be held.
    async fn free(&mut self) -> Result<Option<u64>, LeaseError> {
        let subjects = [self.subject.clone()];
        let Some((position, body)) = self.bus.latest(KIND, &subjects).await?.remove(&self.subject) else {
            return Ok(Some(0));
        };
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let own = value["holder"] == self.holder.to_string();
        if own || value["released"] == true {
            return Ok(Some(position));
        }
        let now = Instant::now();
        let since = match self.seen {
            Some((known, since)) if known == position => since,
            _ => now,
        };
        self.seen = Some((position, since));
        let over = now.saturating_duration_since(since) >= self.term.time + self.term.margin;
        Ok(over.then_some(position))
    }

    async fn write(&mut self, expect: u64, released: bool) -> Result<Option<Instant>, LeaseError> {
        // What it holds counts from before it was written.
        let began = Instant::now();
        let body = json!({ "holder": self.holder, "released": released }).to_string();
        let outgoing =
            Outgoing { subject: self.subject.clone(), envelope: None, body: body.into(), expect: Some(expect) };
        match self.bus.publish(outgoing).await {
            Ok(append) => {
                self.held = (!released).then_some(append.last_seq);
                Ok(Some(began + self.term.time))
            }
            Err(AppendError::Conflict) => {
                self.held = None;
                Ok(None)
            }
            Err(error) => {
                // It may have been stored; the next time reads what is there.
                self.held = None;
                Err(error.into())
            }
        }
    }
}
