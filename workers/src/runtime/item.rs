//! What a worker is given to handle, and what it says of it.

use bus_schema::{EffectId, StoredEvent, bus::Begin};
use futures::future::BoxFuture;
use std::time::Duration;
use writers::{Meta, WriteError};

/// A worker's work: which events, and how much at once.
#[derive(Clone, Debug)]
pub struct Job {
    /// Of the worker and of its consumer at the server; for good: another name begins from the beginning.
    pub name: &'static str,
    /// Context and aggregate of the events it is given.
    pub aggregates: &'static [(&'static str, &'static str)],
    /// Items handled at once, each of another key.
    pub concurrency: usize,
    /// Where it begins when it has never run on this log.
    pub begin: Begin,
    pub patience: Patience,
}

/// How long a worker tries before it parks an item.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts since the worker was started after which an item is parked.
    pub attempts: u64,
    /// Deliveries, counted by the server over all processes, after which an item may be what ends the processes that take it: it is
    /// tried alone, and parked if it comes again. Deliveries also get lost with connections, so these are more than attempts.
    pub deliveries: u64,
    /// Rest before the second, third … attempt; the last one stands for all further ones.
    pub rests: &'static [Duration],
    /// After so much silence of a process its items are delivered again.
    pub silence: Duration,
}

impl Patience {
    /// Eight attempts within about a quarter of an hour.
    pub const USUAL: Self = Self {
        attempts: 8,
        deliveries: 24,
        rests: &[
            Duration::from_secs(1),
            Duration::from_secs(5),
            Duration::from_secs(15),
            Duration::from_secs(60),
            Duration::from_secs(120),
            Duration::from_secs(300),
        ],
        silence: Duration::from_secs(10),
    };

    /// The rest after a failed attempt.
    pub(super) fn rest(&self, attempt: u64) -> Duration {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.rests.get(index).or(self.rests.last()).copied().unwrap_or_default()
    }
}

/// What a worker does with an event.
///
/// It is called again after every failure and every crash, so each of its effects carries an id that follows from
/// [`Item::effect`], by which a repetition is recognised. It decides on the present state of what the event is about, not
/// on the order of events: an item that was parked is handled long after those behind it.
pub trait Handler: Send + Sync + 'static {
    fn handle<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<(), Failure>>;

    /// Items of one key are handled one after the other. The aggregate, unless a worker knows better.
    fn key(&self, event: &StoredEvent) -> String {
        event.subject.to_string()
    }
}

/// An event to be handled.
#[derive(Clone, Debug)]
pub struct Item {
    pub event: StoredEvent,
    /// 1 for the first time since the worker was started.
    pub attempt: u64,
    worker: &'static str,
}

impl Item {
    pub fn new(worker: &'static str, event: StoredEvent, attempt: u64) -> Self {
        Self { event, attempt, worker }
    }

    /// What the worker does because of this event: the same id every time.
    pub fn effect(&self) -> EffectId {
        EffectId::of(self.event.envelope.event_id, self.worker)
    }

    /// For a command that is the effect. One that is a part of it takes its id from [`EffectId::part`].
    pub fn meta(&self) -> Meta {
        let envelope = &self.event.envelope;
        Meta {
            correlation: envelope.correlation,
            trace: envelope.trace.clone(),
            ..Meta::system(self.worker, self.effect().command())
        }
    }
}

/// Why an item is not done. The text is shown to operators and kept in the log: no personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may succeed later.
    #[error("{0}")]
    Later(String),
    /// It cannot succeed as things are: it is parked at once.
    #[error("{0}")]
    Never(String),
}

impl From<WriteError> for Failure {
    /// A command that is refused is refused again; everything else may pass.
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Rejected(_) | WriteError::NoTenant(_) | WriteError::KeyReused => Self::Never(error.to_string()),
            WriteError::UnknownKind { .. } | WriteError::Decode { .. } | WriteError::Encode(_) => {
                Self::Never(error.to_string())
            }
            WriteError::Stale { .. } | WriteError::Conflict | WriteError::Store(_) | WriteError::Key(_) => {
                Self::Later(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_then_stay() {
        let rest = |attempt| Patience::USUAL.rest(attempt).as_secs();
        assert_eq!([rest(1), rest(2), rest(6), rest(7), rest(99)], [1, 5, 300, 300, 300]);
        assert_eq!(Patience { rests: &[], ..Patience::USUAL }.rest(3), Duration::ZERO);
    }
}
