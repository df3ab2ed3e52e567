//! The thread that writes the index, behind everything else in the process: under full load commands and views come
//! first, and the index catches up when the processors have time.
//!
//! Building and merging dictionaries of terms costs more than all views together. The threads tantivy starts are
//! started from here and inherit the priority.

use crate::search::SearchError;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
};
use tokio::sync::oneshot;

/// The nice value of a thread that gets about a tenth of a processor others want.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs run one after another. The thread ends with the last clone.
#[derive(Clone)]
pub(super) struct Background(mpsc::Sender<Job>);

impl Background {
    pub(super) fn start() -> Result<Self, SearchError> {
        let (send, jobs) = mpsc::channel::<Job>();
        let run = move || {
            // On Linux this is the priority of the calling thread alone. Where it is refused, work goes on as before.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, "the search index keeps the usual priority");
            }
            jobs.into_iter().for_each(|job| job());
        };
        let started = std::thread::Builder::new().name("search-index".into()).spawn(run);
        started.map_err(|error| SearchError::Fault { doing: "start its thread", source: Box::new(error) })?;
        Ok(Self(send))
    }

    /// Runs a job on the thread. A panic inside the library (it panics on some damaged files) is a fault.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, SearchError> {
        let (send, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            if let Ok(outcome) = catch_unwind(AssertUnwindSafe(work)) {
                _ = send.send(outcome);
            }
        });
        let ended = || SearchError::Fault { doing: "finish its work", source: "it panicked".into() };
        self.0.send(job).map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}
