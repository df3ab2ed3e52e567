//! Many rows under way at once, their results in order.
//!
//! The log commits what waits together, so throughput needs many commands under way; a checkpoint needs an order. So rows
//! start in order, at most `in_flight` between the oldest unfinished and the newest, and are settled in order. Two rows
//! that touch the same contact never run side by side: the first in the file is the first at the log.

use super::{
    checkpoint::{Checkpoint, Next, Progress, ProgressError, Summary},
    report::{ReportError, ReportRow, ReportWriter},
    source::{Position, SourceError},
};
use futures::{StreamExt, stream::FuturesOrdered};
use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    pin::pin,
};
use tokio::sync::mpsc::Receiver;
use writers::WriteError;

/// Why an import or its undoing ended before its last row. What the last checkpoint says is done; start again there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("row {row} could not be written: {source}")]
    Write { row: u64, source: WriteError },
    #[error("the progress of the import could not be recorded: {0}")]
    Progress(ProgressError),
    #[error("reading the file ended in a panic; report this with the file's beginning")]
    Reader,
}

/// One row on its way.
pub(super) struct Item<K, T> {
    pub(super) after: Position,
    /// What no other row may touch meanwhile.
    pub(super) touches: Option<K>,
    pub(super) work: T,
}

/// Where results go.
pub(super) struct Conveyor<'p, P> {
    pub(super) report: ReportWriter,
    pub(super) checkpoint: Checkpoint,
    pub(super) progress: &'p mut P,
    /// Rows between two checkpoints.
    pub(super) every: u64,
    pub(super) in_flight: usize,
}

impl<P: Progress> Conveyor<'_, P> {
    /// Carries every item through `work`. An error of a row ends everything after the rows before it are settled.
    pub(super) async fn run<K, T, W, R>(
        mut self,
        mut items: Receiver<Result<Item<K, T>, ImportError>>,
        work: W,
    ) -> Result<Summary, ImportError>
    where
        K: Hash + Eq + Clone,
        W: Fn(T) -> R,
        R: Future<Output = Result<Option<ReportRow>, WriteError>>,
    {
        let mut flying = FuturesOrdered::new();
        let mut touched: HashSet<K> = HashSet::new();
        let mut waiting: Option<Item<K, T>> = None;
        let mut open = true;
        let mut stopped = false;
        let mut unsaved = 0;
        let mut fault = None;
        // Rows that ended while a checkpoint was being kept.
        let mut landed = VecDeque::new();
        loop {
            let free = |item: &Item<K, T>| item.touches.as_ref().is_none_or(|key| !touched.contains(key));
            if let Some(item) = waiting.take_if(|item| free(item)) {
                touched.extend(item.touches.clone());
                let future = work(item.work);
                flying.push_back(async move { (item.after, item.touches, future.await) });
            }
            let room = waiting.is_none() && flying.len() + landed.len() < self.in_flight.max(1);
            let next = async {
                match landed.pop_front() {
                    Some(row) => Some(row),
                    None => flying.next().await,
                }
            };
            tokio::select! {
                biased;
                Some((after, key, result)) = next => {
                    key.inspect(|key| _ = touched.remove(key));
                    match result {
                        Ok(row) => self.settle(after, row).await?,
                        Err(source) => {
                            fault = Some(ImportError::Write { row: after.row, source });
                            break;
                        }
                    }
                    unsaved += 1;
                    if unsaved >= self.every.max(1) {
                        unsaved = 0;
                        // The rows under way must go on meanwhile: they hold places in queues that keeping a checkpoint
                        // may have to wait in.
                        let saved = {
                            let mut saving = pin!(self.save());
                            loop {
                                tokio::select! {
                                    saved = &mut saving => break saved,
                                    Some(row) = flying.next(), if !flying.is_empty() => landed.push_back(row),
                                }
                            }
                        };
                        if saved? == Next::Stop && open {
                            (open, stopped, waiting) = (false, true, None);
                        }
                    }
                }
                item = items.recv(), if open && room => match item {
                    Some(Ok(item)) => waiting = Some(item),
                    Some(Err(error)) => (open, fault) = (false, Some(error)),
                    None => open = false,
                },
                else => break,
            }
        }
        // After a fault some rows are still under way and will not be waited for.
        drop(flying);
        if unsaved > 0 || self.checkpoint == Checkpoint::default() {
            self.save().await?;
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Summary { checkpoint: self.checkpoint, stopped }),
        }
    }

    async fn settle(&mut self, after: Position, row: Option<ReportRow>) -> Result<(), ImportError> {
        self.checkpoint.position = after;
        if let Some(row) = row {
            self.report.write(&row).await?;
            self.checkpoint.tally.count(row.outcome);
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<Next, ImportError> {
        self.checkpoint.report = self.report.save().await?;
        self.progress.reached(self.checkpoint.clone()).await.map_err(ImportError::Progress)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Outcome, *};
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };
    use tokio::sync::mpsc;

    /// What ran at one time, and the most that did.
    #[derive(Default)]
    struct Seen {
        now: Vec<u64>,
        most: usize,
    }

    /// 100 rows; rows of the same `row % 40` touch the same thing. Row `bad` fails.
    async fn carry(bad: u64, marks: Arc<Mutex<Vec<u64>>>) -> (Result<Summary, ImportError>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let (sender, items) = mpsc::channel(10);
        let rows = tokio::spawn(async move {
            for row in 1..=100_u64 {
                let after = Position { offset: row, row, line: row };
                if sender.send(Ok(Item { after, touches: Some(row % 40), work: row })).await.is_err() {
                    break;
                }
            }
        });
        let mut progress = |checkpoint: Checkpoint| {
            marks.lock().unwrap().push(checkpoint.position.row);
            std::future::ready(Ok(Next::GoOn))
        };
        let report = ReportWriter::open(&folder.path().join("report"), 0).await.unwrap();
        let conveyor =
            Conveyor { report, checkpoint: Checkpoint::default(), progress: &mut progress, every: 10, in_flight: 25 };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let work = |row: u64| {
            let seen = seen.clone();
            async move {
                {
                    let mut seen = seen.lock().unwrap();
                    assert!(seen.now.iter().all(|other| other % 40 != row % 40), "{row} beside {:?}", seen.now);
                    seen.now.push(row);
                    seen.most = seen.most.max(seen.now.len());
                }
                // Later rows are often done earlier.
                tokio::time::sleep(Duration::from_millis(1 + row * 37 % 50)).await;
                seen.lock().unwrap().now.retain(|other| *other != row);
                if row == bad {
                    Err(WriteError::Conflict)
                } else {
                    Ok(Some(ReportRow::new(row, row, Outcome::Created, None)))
                }
            }
        };
        let summary = conveyor.run(items, work).await;
        rows.await.unwrap();
        let most = seen.lock().unwrap().most;
        (summary, most)
    }

    #[tokio::test(start_paused = true)]
    async fn many_run_at_once_and_marks_come_in_order() {
        let marks = Arc::default();
        let (summary, most) = carry(0, Arc::clone(&marks)).await;
        assert_eq!(summary.unwrap().checkpoint.position.row, 100);
        assert_eq!(*marks.lock().unwrap(), (1..=10).map(|n| n * 10).collect::<Vec<_>>());
        assert_eq!(most, 25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_marks_what_is_done_before_it_and_nothing_after() {
        let marks = Arc::default();
        let (summary, _) = carry(57, Arc::clone(&marks)).await;
        assert!(matches!(summary, Err(ImportError::Write { row: 57, .. })));
        assert_eq!(*marks.lock().unwrap(), [10, 20, 30, 40, 50, 56]);
    }

    #[tokio::test(start_paused = true)]
    async fn keeping_a_checkpoint_may_wait_for_what_rows_hold() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, items) = mpsc::channel(100);
        for row in 1..=100_u64 {
            let after = Position { offset: row, row, line: row };
            sender.try_send(Ok(Item { after, touches: Some(row), work: row })).unwrap();
        }
        drop(sender);
        // Rows and checkpoints queue for the same thing, as they do for a busy part of the log.
        let queue = Arc::new(tokio::sync::Mutex::new(()));
        let held = || {
            let queue = queue.clone();
            async move {
                let _held = queue.lock().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let mut progress = |_: Checkpoint| {
            let held = held();
            async move {
                held.await;
                Ok(Next::GoOn)
            }
        };
        let report = ReportWriter::open(&folder.path().join("report"), 0).await.unwrap();
        let conveyor =
            Conveyor { report, checkpoint: Checkpoint::default(), progress: &mut progress, every: 10, in_flight: 25 };
        let work = |row: u64| {
            let held = held();
            async move {
                held.await;
                Ok(Some(ReportRow::new(row, row, Outcome::Created, None)))
            }
        };
        let summary = tokio::time::timeout(Duration::from_secs(60), conveyor.run(items, work)).await;
        let checkpoint = summary.expect("nobody waits for ever").unwrap().checkpoint;
        assert_eq!((checkpoint.position.row, checkpoint.tally.of(Outcome::Created)), (100, 100));
    }
}
