//! Which item is next: those of one key one after the other in the order of the log, those of different keys at once, the
//! oldest first.
//!
//! An item that failed and is to come again holds up what came behind it under its key, and nothing else. When it is given up
//! for good it holds up nothing.

use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

/// Items that were taken and are not done.
pub(super) struct Lanes<T> {
    lanes: HashMap<String, Lane<T>>,
    past: Option<Past>,
}

struct Lane<T> {
    waiting: BTreeMap<u64, T>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Busy(u64),
    /// This one failed and comes again; after that time nobody waits for it any more, because another process may have
    /// got it.
    Holds(u64, Instant),
}

/// What was delivered before this process began and not acknowledged comes again before anything newer is begun.
struct Past {
    upto: u64,
    left: u64,
    until: Instant,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { lanes: HashMap::new(), past: None }
    }

    /// Begins nothing behind `upto` before `items` of those up to there were put in, or that time has come.
    pub(super) fn past_first(&mut self, upto: u64, items: u64, until: Instant) {
        self.past = (items > 0).then_some(Past { upto, left: items, until });
    }

    /// Takes an item in. One that is known already is the same one, delivered again.
    pub(super) fn put(&mut self, key: String, seq: u64, item: T) {
        let lane = self.lanes.entry(key).or_insert_with(|| Lane { waiting: BTreeMap::new(), state: State::Free });
        match lane.state {
            State::Busy(busy) if busy == seq => return,
            State::Holds(held, _) if held == seq => lane.state = State::Free,
            _ => {}
        }
        let is_new = lane.waiting.insert(seq, item).is_none();
        if let Some(past) = self.past.as_mut().filter(|past| is_new && seq <= past.upto) {
            past.left = past.left.saturating_sub(1);
        }
    }

    /// The next item to begin, without beginning it.
    pub(super) fn next(&mut self, now: Instant) -> Option<&T> {
        let (seq, key) = self.first(now)?;
        self.lanes.get(&key)?.waiting.get(&seq)
    }

    /// The next item to begin. Its key is busy until [`Lanes::done`] or [`Lanes::holds`].
    pub(super) fn take(&mut self, now: Instant) -> Option<(String, u64, T)> {
        let (seq, key) = self.first(now)?;
        let lane = self.lanes.get_mut(&key)?;
        lane.state = State::Busy(seq);
        let item = lane.waiting.remove(&seq)?;
        Some((key, seq, item))
    }

    fn first(&mut self, now: Instant) -> Option<(u64, String)> {
        self.past.take_if(|past| past.left == 0 || past.until <= now);
        let upto = self.past.as_ref().map_or(u64::MAX, |past| past.upto);
        let is_free = |lane: &Lane<T>| match lane.state {
            State::Free => true,
            State::Busy(_) => false,
            State::Holds(_, until) => until <= now,
        };
        let first = |lane: &Lane<T>| lane.waiting.first_key_value().map(|(seq, _)| *seq).filter(|seq| *seq <= upto);
        let free = self.lanes.iter().filter(|(_, lane)| is_free(lane));
        free.filter_map(|(key, lane)| Some((first(lane)?, key))).min().map(|(seq, key)| (seq, key.clone()))
    }

    /// An item has ended, well or for good.
    pub(super) fn done(&mut self, key: &str) {
        self.leave(key, State::Free);
    }

    /// An item failed and comes again; its key waits for it until then at most.
    pub(super) fn holds(&mut self, key: &str, seq: u64, until: Instant) {
        self.leave(key, State::Holds(seq, until));
    }

    fn leave(&mut self, key: &str, state: State) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.state = state;
        if lane.waiting.is_empty() && state == State::Free {
            self.lanes.remove(key);
        }
    }

    /// Forgets keys nobody waits for any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.lanes.retain(|_, lane| {
            !lane.waiting.is_empty() || !matches!(lane.state, State::Holds(_, until) if until <= now)
        });
    }

    /// Items that were taken in and have not begun.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.lanes.values().flat_map(|lane| lane.waiting.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn put(lanes: &mut Lanes<u64>, items: &[(&str, u64)]) {
        items.iter().for_each(|(key, seq)| lanes.put((*key).to_owned(), *seq, *seq));
    }

    fn take(lanes: &mut Lanes<u64>, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| lanes.take(now)).map(|(_, seq, _)| seq).collect()
    }

    #[tokio::test]
    async fn a_key_has_one_at_a_time_in_the_order_of_the_log() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        put(&mut lanes, &[("b", 3), ("a", 2), ("a", 1), ("c", 4)]);
        assert_eq!(take(&mut lanes, now), [1, 3, 4], "one of each key, the oldest first");
        assert_eq!(lanes.waiting().count(), 1);
        put(&mut lanes, &[("a", 1)]);
        lanes.done("a");
        assert_eq!(take(&mut lanes, now), [2], "the one that was busy is not there twice");
    }

    #[tokio::test]
    async fn a_failure_holds_up_its_key_alone() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        let later = now + Duration::from_secs(60);
        put(&mut lanes, &[("a", 1), ("a", 2), ("b", 3)]);
        assert_eq!(take(&mut lanes, now), [1, 3]);
        lanes.holds("a", 1, later);
        lanes.done("b");
        put(&mut lanes, &[("b", 4)]);
        assert_eq!(take(&mut lanes, now), [4]);
        put(&mut lanes, &[("a", 1)]);
        assert_eq!(take(&mut lanes, now), [1], "it came again");
        lanes.done("a");
        assert_eq!(take(&mut lanes, now), [2]);
        lanes.holds("a", 2, later);
        put(&mut lanes, &[("a", 5)]);
        assert!(take(&mut lanes, now).is_empty());
        assert_eq!(take(&mut lanes, later), [5], "another process got it");
        lanes.done("a");
        lanes.done("b");
        assert!(lanes.lanes.is_empty());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        put(&mut lanes, &[("a", 1)]);
        take(&mut lanes, now);
        lanes.holds("a", 1, now + Duration::from_secs(1));
        lanes.sweep(now);
        assert_eq!(lanes.lanes.len(), 1);
        lanes.sweep(now + Duration::from_secs(1));
        assert!(lanes.lanes.is_empty());
    }

    #[tokio::test]
    async fn the_past_comes_first() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        lanes.past_first(5, 2, now + Duration::from_secs(10));
        put(&mut lanes, &[("a", 7), ("b", 8), ("a", 4)]);
        assert_eq!(take(&mut lanes, now), [4]);
        lanes.done("a");
        put(&mut lanes, &[("a", 4)]);
        put(&mut lanes, &[("c", 5)]);
        assert_eq!(take(&mut lanes, now), [4, 5, 8]);
        let mut lanes = Lanes::new();
        lanes.past_first(5, 1, now + Duration::from_secs(10));
        put(&mut lanes, &[("a", 7)]);
        assert!(take(&mut lanes, now).is_empty());
        assert_eq!(take(&mut lanes, now + Duration::from_secs(10)), [7], "another process may have it");
    }
}
