//! How often a worker has tried items that failed, since it was started; a worker that takes turns is started at each.
//!
//! The server's count of deliveries is not that: it also counts what a connection took with it, and what was given to
//! a process that died before it began.

use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// After so long beyond the time an item was to come again it has gone to another process, which counts for itself.
const KEPT: Duration = Duration::from_secs(600);

/// Tries that failed, by position in the log.
#[derive(Default)]
pub(super) struct Tries {
    failed: HashMap<u64, Failed>,
}

struct Failed {
    times: u64,
    until: Instant,
}

impl Tries {
    /// Tries of an item that have failed here.
    pub(super) fn failed(&self, seq: u64) -> u64 {
        self.failed.get(&seq).map_or(0, |failed| failed.times)
    }

    /// One more has failed; the item comes again before that time, unless another process gets it.
    pub(super) fn fails(&mut self, seq: u64, comes_until: Instant) {
        let failed = self.failed.entry(seq).or_insert(Failed { times: 0, until: comes_until });
        failed.times += 1;
        failed.until = comes_until + KEPT;
    }

    /// The item has ended, well or for good.
    pub(super) fn done(&mut self, seq: u64) {
        self.failed.remove(&seq);
    }

    /// Forgets what has gone elsewhere.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.failed.retain(|_, failed| failed.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failures_are_counted_until_the_item_ends_or_is_gone() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        tries.fails(7, now);
        tries.fails(7, now);
        tries.fails(8, now);
        assert_eq!([tries.failed(7), tries.failed(8), tries.failed(9)], [2, 1, 0]);
        tries.done(7);
        tries.sweep(now + KEPT / 2);
        assert_eq!([tries.failed(7), tries.failed(8)], [0, 1]);
        tries.sweep(now + KEPT);
        assert!(tries.failed.is_empty());
    }
}
