//! How far an archiver is, for readiness, metrics and the command line.

use bus_schema::{Micros, bus::StoredMessage};
use serde::Serialize;
use std::collections::VecDeque;
use tokio::sync::watch;

/// What an archiver is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "cause")]
pub enum State {
    /// Looks where it stopped.
    Starting,
    Running,
    /// The provider, the log or the disk does not do what it should; it is tried again.
    Retrying,
    /// Goes no further until a person has looked at it.
    Halted(String),
    Stopped,
}

/// A look at an archiver. An old look is good too: a lag is computed against the time it is asked at.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    pub provider: String,
    pub stream: String,
    pub epoch: u32,
    #[serde(flatten)]
    pub state: State,
    /// Everything up to this position is at the provider.
    pub archived: u64,
    /// The last position known to be in the log.
    pub seen: u64,
    /// The number of the newest entry.
    pub entries: u64,
    /// Times it halted because positions were missing in the log, and because the archive was damaged: 0 or 1.
    pub gaps: u64,
    pub damages: u64,
    /// What failed last, until it works again.
    pub error: Option<String>,
    /// First position and store time of what is on its way, in order.
    #[serde(skip)]
    waiting: VecDeque<(u64, Micros)>,
}

impl Progress {
    pub(super) fn new(provider: &str, stream: &str, epoch: u32) -> Self {
        Self {
            provider: provider.to_owned(),
            stream: stream.to_owned(),
            epoch,
            state: State::Starting,
            archived: 0,
            seen: 0,
            entries: 0,
            gaps: 0,
            damages: 0,
            error: None,
            waiting: VecDeque::new(),
        }
    }

    /// Events that are in the log and not at the provider.
    pub fn lag_events(&self) -> u64 {
        self.seen.saturating_sub(self.archived)
    }

    /// How much time would be lost with the log now: the age of the oldest message that is not at the provider, in seconds;
    /// 0 when there is none.
    pub fn lag_seconds(&self, now: Micros) -> f64 {
        let age = |(_, stored): &(u64, Micros)| now.0.saturating_sub(stored.0).max(0) as f64 / 1e6;
        self.waiting.front().map_or(0.0, age)
    }

    pub fn is_halted(&self) -> bool {
        matches!(self.state, State::Halted(_))
    }

    /// The first message of a cut was read.
    pub(super) fn begun(&mut self, message: &StoredMessage) {
        self.waiting.push_back((message.seq, message.stored));
    }

    pub(super) fn saw(&mut self, position: u64) {
        self.seen = self.seen.max(position);
    }

    /// What is certain before the provider was asked.
    pub(super) fn knows(&mut self, last: u64, entries: u64) {
        (self.archived, self.entries) = (last, entries);
        self.saw(last);
    }

    pub(super) fn arrived(&mut self, last: u64, entries: u64) {
        (self.archived, self.entries) = (last, entries);
        self.saw(last);
        while self.waiting.front().is_some_and(|(first, _)| *first <= last) {
            self.waiting.pop_front();
        }
        self.works();
    }

    pub(super) fn works(&mut self) {
        self.state = State::Running;
        self.error = None;
    }

    pub(super) fn fails(&mut self, error: String) {
        self.state = State::Retrying;
        self.error = Some(error);
    }
}

pub(super) type Reporter = watch::Sender<Progress>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::record::sample;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_message_under_way() {
        let mut progress = Progress::new("north", "EV_eu1", 1);
        assert_eq!((progress.lag_events(), progress.lag_seconds(Micros(5))), (0, 0.0));
        let (one, two) = (sample(1, "demo", b""), sample(4, "demo", b""));
        progress.begun(&one);
        progress.begun(&two);
        progress.saw(6);
        assert_eq!(progress.lag_events(), 6);
        assert_eq!(progress.lag_seconds(Micros(one.stored.0 + 2_500_000)), 2.5);
        progress.fails("503".into());
        progress.arrived(3, 1);
        assert_eq!((progress.lag_events(), progress.state.clone()), (3, State::Running));
        assert_eq!(progress.lag_seconds(Micros(two.stored.0 + 1_000_000)), 1.0);
        progress.arrived(6, 2);
        assert_eq!((progress.lag_events(), progress.lag_seconds(Micros(i64::MAX))), (0, 0.0));
        let json = serde_json::to_value(&progress).unwrap();
        assert_eq!((json["state"].as_str(), json["archived"].as_u64()), (Some("running"), Some(6)));
    }
}
