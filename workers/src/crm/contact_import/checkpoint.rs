//! How far an import or its undoing has come, and whom to tell.

use super::{report::Outcome, source::Position};
use bus_schema::crm::import::{ImportProgress, UndoProgress};
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

impl Checkpoint {
    /// As an import's events tell it. What a dry run would do counts as done; a contact that had everything counts as
    /// merged.
    pub fn import_progress(&self) -> ImportProgress {
        use Outcome::*;
        let sum = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| self.tally.of(*outcome)).sum::<u64>();
        let (created, merged) = (sum(&[Created, WouldCreate]), sum(&[Merged, Unchanged, WouldMerge]));
        let (skipped, failed) = (sum(&[Skipped, WouldSkip]), sum(&[Failed]));
        let rows = created + merged + skipped + failed;
        ImportProgress { rows, created, merged, skipped, failed, offset: self.position.offset }
    }

    /// As the events of an undoing tell it. Contacts that got back what they had are looked at, neither removed nor
    /// kept.
    pub fn undo_progress(&self) -> UndoProgress {
        use Outcome::*;
        let kept = [PartlyReverted, Kept, Failed].iter().map(|outcome| self.tally.of(*outcome)).sum();
        let rows = self.tally.iter().map(|(_, rows)| rows).sum();
        UndoProgress { rows, removed: self.tally.of(Removed), kept }
    }
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
