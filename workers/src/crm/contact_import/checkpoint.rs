//! How far an import or its undoing has come, and whom to tell.

use super::{report::Outcome, source::Position};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every row up to `position.row` is done and in the report, no row after it needs to be. Starting again from here does
/// nothing twice. The default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where reading goes on: in the imported file, or for an undoing in the import's report.
    pub position: Position,
    /// Bytes of the report that belong to these rows.
    pub report: u64,
    pub tally: Tally,
}

/// Rows by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<Outcome, u64>);

impl Tally {
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(&outcome).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.0.iter().map(|(outcome, rows)| (*outcome, *rows))
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        *self.0.entry(outcome).or_default() += 1;
    }
}

/// Whether to go on after a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// Start no more rows. Those under way are finished and a last checkpoint is told.
    Stop,
}

/// Why a checkpoint could not be kept.
pub type ProgressError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps checkpoints: records them as events of the import, for instance. Told in order, and at the end.
pub trait Progress: Send {
    fn reached(&mut self, checkpoint: Checkpoint) -> impl Future<Output = Result<Next, ProgressError>> + Send;
}

impl<F, R> Progress for F
where
    F: FnMut(Checkpoint) -> R + Send,
    R: Future<Output = Result<Next, ProgressError>> + Send,
{
    fn reached(&mut self, checkpoint: Checkpoint) -> impl Future<Output = Result<Next, ProgressError>> + Send {
        self(checkpoint)
    }
}

/// How an import or its undoing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub checkpoint: Checkpoint,
    /// Progress said stop; rows are left.
    pub stopped: bool,
}
