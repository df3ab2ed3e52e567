//! Whether what a process answers from has seen enough of the log.

use bus_schema::subject::Family;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// How far a view may be behind the log before the process counts as not ready, in events.
const MAX_LAG: u64 = 50_000;

/// After its start a process is ready when its views have seen what was in the log then: until that it would answer with
/// less than there is. From there on they may be behind as far as a load takes them.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// The last positions of the log and of the facts at the start.
    goal: OnceLock<(u64, u64)>,
    done: AtomicBool,
}

impl CatchUp {
    /// Where both streams stand, if they answer; the first ones known are the goal.
    pub(crate) fn begin(&self, positions: Option<(u64, u64)>) {
        if let Some(positions) = positions {
            self.goal.get_or_init(|| positions);
        }
    }

    /// There is no problem any more: all have reached the goal.
    pub(crate) fn done(&self) {
        self.done.fetch_or(self.goal.get().is_some(), Ordering::Relaxed);
    }

    /// What is wrong with something that stands at `position` of `last`, in words.
    pub(crate) fn problem(&self, what: &str, family: Family, position: u64, last: u64) -> Option<String> {
        if last.saturating_sub(position) > MAX_LAG {
            let behind = last - position;
            return Some(format!("{what} is {behind} events behind the log and catching up"));
        }
        let goal = self.goal.get().filter(|_| !self.done.load(Ordering::Relaxed));
        let goal = goal.map(|(events, facts)| if family == Family::Facts { *facts } else { *events })?;
        (position < goal).then(|| format!("{what} stands at {position} of {goal} and is catching up after the start"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_over_when_all_of_the_log_was_seen() {
        let catch_up = CatchUp::default();
        catch_up.begin(None);
        catch_up.begin(Some((100, 7)));
        catch_up.begin(Some((900, 900)));
        let events = |position, last| catch_up.problem("contacts", Family::Events, position, last);
        assert_eq!(events(99, 900).expect("behind"), "contacts stands at 99 of 100 and is catching up after the start");
        assert_eq!(events(100, 900), None);
        assert!(catch_up.problem("opens", Family::Facts, 6, 7).is_some());
        assert_eq!(catch_up.problem("opens", Family::Facts, 7, 7), None);
        catch_up.done();
        assert_eq!(events(0, 50_000), None, "a load");
        assert_eq!(events(0, 50_001).expect("too far"), "contacts is 50001 events behind the log and catching up");
    }
}
