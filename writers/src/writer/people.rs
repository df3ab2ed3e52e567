//! Whether somebody waits for commands here. Work that can wait makes room then.

use bus_schema::Actor;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// When the last command of a person, or of a program that acts for one, was given.
pub(super) struct People {
    began: Instant,
    /// Microseconds since then, plus one; 0: never.
    last: AtomicU64,
}

impl People {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    /// A command begins.
    pub(super) fn note(&self, actor: &Actor) {
        if !matches!(actor, Actor::System(_)) {
            self.last.fetch_max(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// How long nobody but the platform itself has given a command; `None`: nobody ever has.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(self.now().saturating_sub(last)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_of_people_count() {
        let people = People::new();
        people.note(&Actor::System("campaigns".into()));
        assert_eq!(people.quiet_for(), None);
        people.note(&Actor::Visitor);
        let first = people.quiet_for().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        people.note(&Actor::System("campaigns".into()));
        assert!(people.quiet_for().unwrap() >= first + Duration::from_millis(20));
        let before = Instant::now();
        people.note(&Actor::Visitor);
        let quiet = people.quiet_for().unwrap();
        assert!(
            quiet <= before.elapsed() + Duration::from_micros(1),
            "the newest command counts, however slow the machine"
        );
    }
}
