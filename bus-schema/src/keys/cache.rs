//! Keys at hand, as many as fit, and not for long.

use crate::{ids::KeyId, sealed::SealingKey};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Keys of one generation; there are two. A key takes about 110 bytes, so 200,000 are 22 MB.
const GENERATION: usize = 100_000;
/// A generation ends after this time. A person may be erased by another process, which destroys the key in the directory. It tells
/// the others; nobody has it in mind after twice as long, even if they did not hear it.
const LIFE: Duration = Duration::from_secs(300);

/// Two generations. When the younger one is full or has lasted it becomes the older one, whose keys are forgotten.
pub(super) struct Cache {
    young: HashMap<KeyId, Arc<SealingKey>>,
    old: HashMap<KeyId, Arc<SealingKey>>,
    since: Instant,
    /// Destroyed lately: who was just reading one of them does not bring it back. Two generations of time alone.
    gone: [HashSet<KeyId>; 2],
    gone_since: Instant,
    epoch: Epoch,
}

/// Changes whenever all keys are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Cache {
    pub(super) fn new(now: Instant) -> Self {
        let (young, old, gone) = (HashMap::new(), HashMap::new(), Default::default());
        Self { young, old, since: now, gone, gone_since: now, epoch: Epoch::default() }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// To be aged before: see [`Cache::age`].
    pub(super) fn get(&self, id: KeyId) -> Option<Arc<SealingKey>> {
        self.young.get(&id).or_else(|| self.old.get(&id)).cloned()
    }

    pub(super) fn insert(&mut self, key: Arc<SealingKey>, now: Instant) {
        if self.was_removed(key.id) {
            return;
        }
        if self.young.len() >= GENERATION {
            self.turn(now);
        }
        self.young.insert(key.id, key);
    }

    /// For good: ids are used once.
    pub(super) fn remove(&mut self, id: KeyId) {
        self.young.remove(&id);
        self.old.remove(&id);
        self.gone[0].insert(id);
    }

    pub(super) fn was_removed(&self, id: KeyId) -> bool {
        self.gone.iter().any(|gone| gone.contains(&id))
    }

    /// Forgets every key; they can be read again. What was read before this is not to be put in any more: see [`Cache::epoch`].
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.epoch.0 += 1;
    }

    /// Forgets what has lasted.
    pub(super) fn age(&mut self, now: Instant) {
        let lasted = now.saturating_duration_since(self.since);
        if lasted >= LIFE {
            self.turn(now);
        }
        if lasted >= 2 * LIFE {
            self.turn(now);
        }
        if now.saturating_duration_since(self.gone_since) >= LIFE {
            self.gone = [HashSet::new(), std::mem::take(&mut self.gone[0])];
            self.gone_since = now;
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> Arc<SealingKey> {
        Arc::new(SealingKey::new(KeyId(uuid::Uuid::from_u128(id as u128)), [0; 32]))
    }

    #[test]
    fn the_last_keys_are_there_and_their_number_is_bounded() {
        let now = Instant::now();
        let mut cache = Cache::new(now);
        for id in 0..4 * GENERATION + 7 {
            cache.insert(key(id), now);
        }
        let there = |id: usize| cache.get(key(id).id).is_some();
        assert!((3 * GENERATION..4 * GENERATION + 7).all(there) && !there(3 * GENERATION - 1));
    }

    #[test]
    fn no_key_is_known_for_longer_than_two_lives() {
        let begin = Instant::now();
        let mut cache = Cache::new(begin);
        cache.insert(key(1), begin);
        cache.age(begin + LIFE - Duration::from_secs(1));
        cache.insert(key(2), begin + LIFE - Duration::from_secs(1));
        cache.age(begin + LIFE);
        assert!(cache.get(key(1).id).is_some() && cache.get(key(2).id).is_some(), "used or not");
        cache.insert(key(3), begin + LIFE);
        cache.age(begin + 2 * LIFE);
        assert!(cache.get(key(1).id).is_none() && cache.get(key(2).id).is_none() && cache.get(key(3).id).is_some());
        // Nobody asked for a long time.
        cache.age(begin + 9 * LIFE);
        assert!(cache.get(key(3).id).is_none());
    }

    #[test]
    fn a_removed_key_is_in_neither_generation() {
        let now = Instant::now();
        let mut cache = Cache::new(now);
        for id in 0..GENERATION + 1 {
            cache.insert(key(id), now);
        }
        // Known in both: it was read anew while the older generation had it.
        cache.insert(key(0), now);
        for id in [0, GENERATION] {
            assert!(cache.get(key(id).id).is_some());
            cache.remove(key(id).id);
            assert!(cache.get(key(id).id).is_none());
            cache.insert(key(id), now);
            assert!(cache.get(key(id).id).is_none(), "somebody was reading it meanwhile");
        }
        // Full twice over, and still not brought back.
        (GENERATION..4 * GENERATION).for_each(|id| cache.insert(key(id + 1), now));
        cache.insert(key(0), now);
        assert!(cache.get(key(0).id).is_none());
        let before = cache.epoch();
        cache.clear();
        assert_ne!(cache.epoch(), before, "who reads just now can see that");
        assert!(cache.get(key(1).id).is_none());
        cache.insert(key(1), now);
        assert!(cache.get(key(1).id).is_some());
    }
}
