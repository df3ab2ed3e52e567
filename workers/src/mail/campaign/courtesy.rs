//! Campaigns make room for people: while somebody gives commands, few windows are sent at once. A campaign has nobody who
//! waits for its next mail, and everything that sixteen windows want of the log, the views and the processors would be
//! before the next command.

use std::time::Duration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Windows at once while people are around: with two, one is handed over while the other is recorded.
const PLACES: usize = 2;
/// After so long without a command of a person nobody is in the way.
const QUIET: Duration = Duration::from_secs(1);
/// Windows that take longer than this wait for a provider, not for a processor, and keep nobody from sending.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places of all campaigns of this process.
pub(super) struct Courtesy(Semaphore);

impl Courtesy {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(PLACES))
    }

    /// Waits for a place while people are around; `quiet_for` is how long none has given a command, `None` if none ever has.
    /// Without one where nobody is, and after a while.
    pub(super) async fn place(&self, quiet_for: Option<Duration>) -> Option<SemaphorePermit<'_>> {
        if quiet_for.is_none_or(|quiet| quiet >= QUIET) {
            return None;
        }
        // It is never closed.
        timeout(PATIENCE, self.0.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn few_windows_at_once_while_people_are_around() {
        let (courtesy, busy) = (Courtesy::new(), Some(Duration::from_millis(10)));
        for nobody in [None, Some(QUIET)] {
            assert!(courtesy.place(nobody).await.is_none());
        }
        let first = courtesy.place(busy).await;
        let _second = courtesy.place(busy).await.expect("another place");
        assert!(courtesy.place(Some(QUIET)).await.is_none(), "nobody waits once they are gone");
        let began = Instant::now();
        let (third, ()) = tokio::join!(courtesy.place(busy), async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(first);
        });
        assert!(third.is_some() && began.elapsed() == PATIENCE / 2, "it waits for a place");
        let began = Instant::now();
        assert!(courtesy.place(busy).await.is_none() && began.elapsed() == PATIENCE, "but not for a slow provider");
    }
}
