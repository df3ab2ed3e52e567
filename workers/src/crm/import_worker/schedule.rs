//! Which import is next: the oldest wish, one at a time per tenant, few at once.

use super::Key;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Imports that run at once. More would not be faster: each keeps hundreds of commands under way.
const AT_ONCE: usize = 2;

#[derive(Default)]
pub(super) struct Schedule {
    wanted: BTreeMap<Key, Wish>,
    running: BTreeSet<Key>,
}

struct Wish {
    /// Position of the event that asks for it.
    since: u64,
    not_before: Option<Instant>,
}

impl Schedule {
    /// Something is to be done for an import, also if it is running: then once more after that.
    pub(super) fn want(&mut self, key: Key, since: u64) {
        self.wanted.entry(key).or_insert(Wish { since, not_before: None });
    }

    /// It has ended.
    pub(super) fn forget(&mut self, key: &Key) {
        self.wanted.remove(key);
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        self.wanted.contains_key(key) || self.running.contains(key)
    }

    /// The import that is to be run now; it counts as running until [`Schedule::done`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Key> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let free = |(key, wish): &(&Key, &Wish)| {
            wish.not_before.is_none_or(|then| then <= now) && !self.running.iter().any(|running| running.0 == key.0)
        };
        let (key, _) = self.wanted.iter().filter(free).min_by_key(|(_, wish)| wish.since)?;
        let key = key.clone();
        self.wanted.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// It does not run any more; it is to be tried `again` then, if at all.
    pub(super) fn done(&mut self, key: Key, again: Option<Instant>) {
        self.running.remove(&key);
        if again.is_some() {
            // Behind all others: it must not keep them waiting.
            self.wanted.insert(key, Wish { since: u64::MAX, not_before: again });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::TenantId;
    use std::time::Duration;
    use uuid::Uuid;

    fn key(tenant: &str, id: u128) -> Key {
        (TenantId::try_new(tenant).unwrap(), Uuid::from_u128(id))
    }

    #[test]
    fn the_oldest_is_first_and_a_tenant_has_one_at_a_time() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        for (tenant, id, since) in [("b", 3, 3), ("a", 2, 2), ("a", 1, 1), ("c", 4, 4)] {
            schedule.want(key(tenant, id), since);
        }
        schedule.want(key("a", 1), 9);
        assert_eq!(schedule.next(now), Some(key("a", 1)));
        assert_eq!(schedule.next(now), Some(key("b", 3)), "not another one of the same tenant");
        assert_eq!(schedule.next(now), None, "two at once");
        schedule.done(key("b", 3), None);
        assert_eq!(schedule.next(now), Some(key("c", 4)));
        schedule.done(key("a", 1), None);
        schedule.forget(&key("a", 2));
        assert_eq!(schedule.next(now), None);
        assert!(schedule.knows(&key("c", 4)) && !schedule.knows(&key("a", 2)));
    }

    #[test]
    fn what_failed_comes_again_later_and_what_was_asked_meanwhile_too() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.want(key("a", 1), 1);
        schedule.next(now);
        schedule.done(key("a", 1), Some(now + Duration::from_secs(9)));
        assert_eq!(schedule.next(now), None);
        assert_eq!(schedule.next(now + Duration::from_secs(9)), Some(key("a", 1)));
        schedule.want(key("a", 1), 7);
        assert_eq!(schedule.next(now), None);
        schedule.done(key("a", 1), None);
        assert_eq!(schedule.next(now), Some(key("a", 1)));
    }
}
