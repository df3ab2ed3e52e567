//! Queues in front of busy aggregates. Commands of this process to one aggregate wait here for each other instead of
//! refusing each other's batches at the log. Other processes are met by the log's expectations.

use bus_schema::Subject;
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// More stripes than commands ever under way, so that strangers rarely share one.
const STRIPES: usize = 16_384;

pub(super) struct Locks {
    stripes: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Locks {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Locks all of them in one order, so that two callers never wait for each other.
    pub(super) async fn lock(&self, subjects: &[Subject]) -> Vec<OwnedMutexGuard<()>> {
        let stripes: BTreeSet<usize> =
            subjects.iter().map(|subject| self.hasher.hash_one(subject) as usize % STRIPES).collect();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.stripes[stripe].clone().lock_owned().await);
        }
        guards
    }
}
