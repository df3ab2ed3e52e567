//! How long commands stood still.

use crate::chaos::books::Books;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(5);

/// Watches answers until it is ended.
pub(super) struct Pulse {
    stop: CancellationToken,
    longest: JoinHandle<Duration>,
}

impl Pulse {
    pub(super) fn start(books: Arc<Books>) -> Self {
        let stop = CancellationToken::new();
        let until = stop.clone();
        let longest = tokio::spawn(async move {
            let (mut known, mut since, mut longest) = (books.counts().0, Instant::now(), Duration::ZERO);
            while !until.is_cancelled() {
                tokio::time::sleep(LOOK).await;
                let accepted = books.counts().0;
                longest = longest.max(since.elapsed());
                if accepted > known {
                    (known, since) = (accepted, Instant::now());
                }
            }
            longest
        });
        Self { stop, longest }
    }

    /// The longest time without a command that was accepted.
    pub(super) async fn end(self) -> Duration {
        self.stop.cancel();
        self.longest.await.expect("it watches")
    }
}
