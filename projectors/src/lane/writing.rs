//! A batch on its way to the store, while the next one is made.
//!
//! Where rows are requests, making a batch and writing one take about as long, and neither keeps the processors busy. So the next one
//! is made meanwhile. Nothing else changes:
//!
//! - Batches are written one after the other: the notes, rows and checkpoints of one begin when those of the one before are
//!   acknowledged, so a checkpoint is never ahead of its rows, nor a row of what was noted.
//! - A row of the batch under way is known to its lane ([`super::known`]) and never asked for in the store, which may have it or not. A batch too
//!   large for that is waited for.
//! - When writing fails, what was made after it is thrown away with it: the lane goes back to where the store says.
//! - A view's position, which readers wait for, is the last batch that was written.

use super::{
    Trouble,
    batch::Outcome,
    known::{AHEAD_BYTES, row_bytes},
    slot::{Progress, Slot},
};
use crate::read_store::{Mark, ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Step};
use bytes::Bytes;
use std::sync::Arc;
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};

/// Held from the making of a batch until it is written; of one view.
pub(super) type Held = Arc<OwnedMutexGuard<()>>;

/// A batch of every view of a lane.
#[derive(Default)]
pub(super) struct Made {
    ops: Vec<RowOp>,
    steps: Vec<Step>,
    advanced: Vec<(Arc<Slot>, Progress)>,
    /// By the place of the view in its lane; `None`: it had no part.
    held: Vec<Option<Held>>,
    /// A view stops behind it, or has more rows in it than its lane is sure to keep in mind.
    is_waited_for: bool,
}

impl Made {
    /// A view that has no part in it.
    pub(super) fn pass_over(&mut self) {
        self.held.push(None);
    }

    pub(super) fn add(&mut self, slot: &Arc<Slot>, held: Held, since: u64, cell: &str, outcome: Outcome) {
        let Outcome { ops, seen, progress } = outcome;
        let row = |key: &RowKey, body: Option<&Bytes>| row_bytes(key) + body.map_or(0, Bytes::len);
        let changed = ops.iter().map(|op| match op {
            RowOp::Put { key, body, .. } => row(key, Some(body)),
            RowOp::Delete { key, .. } => row(key, None),
        });
        let looked_at = seen.iter().map(|seen| row(&seen.key, seen.body.as_ref()));
        self.is_waited_for |= progress.pause.is_some() || changed.chain(looked_at).sum::<usize>() > AHEAD_BYTES;
        let mark = Mark { view: slot.generation().to_string(), cell: cell.to_owned(), seq: progress.upto };
        self.steps.push(Step { since, mark, applied: progress.applied > 0, seen });
        self.ops.extend(ops);
        self.advanced.push((slot.clone(), progress));
        self.held.push(Some(held));
    }
}

/// What is under way, if anything is.
#[derive(Default)]
pub(super) struct Writing {
    task: Option<JoinHandle<Result<(), ReadStoreError>>>,
    held: Vec<Option<Held>>,
}

impl Writing {
    /// Whoever waits until a view is written waits for this too.
    pub(super) fn held(&self, place: usize) -> Option<Held> {
        self.held.get(place).cloned().flatten()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.task.is_some()
    }

    /// Begins to write, or, where the next batch may not be made meanwhile, writes. The one before must have ended.
    pub(super) async fn begin(&mut self, store: &ReadStore, made: Made) -> Result<(), Trouble> {
        let waits = !store.runs_ahead() || made.is_waited_for;
        self.held.clone_from(&made.held);
        let store = store.clone();
        self.task = Some(tokio::spawn(async move {
            let Made { ops, steps, advanced, held, .. } = made;
            store.advance(ops, steps).await?;
            for (slot, progress) in advanced {
                slot.advance(progress);
                slot.goes_on();
            }
            drop(held);
            Ok(())
        }));
        if waits { self.end().await } else { Ok(()) }
    }

    /// Waits until it is written.
    pub(super) async fn end(&mut self) -> Result<(), Trouble> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let written = task.await;
        self.task = None;
        self.held.clear();
        match written {
            Ok(written) => Ok(written?),
            Err(ended) => Err(Trouble::Store(format!("the writing of a batch ended: {ended}"))),
        }
    }
}
