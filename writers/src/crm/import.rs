//! Imports of contacts: what is to be done, how far it has come, and its undoing. The rows are read by a worker, which
//! marks its progress here every few hundred of them and takes up from the last mark after a crash.

mod plan;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::crm::import::{
    ImportCancelled, ImportEvent, ImportFailed, ImportFinished, ImportPlan, ImportProgress, ImportProgressed,
    ImportStarted, ImportUndoProgressed, ImportUndoStarted, ImportUndone, UndoProgress,
};
pub use plan::{FIELDS, MAX_COLUMNS, valid_plan};
use serde::{Deserialize, Serialize};

/// Where an import stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// There is no such import.
    #[default]
    Absent,
    Running,
    Finished,
    Failed,
    Cancelled,
    Undoing,
    Undone,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Import {
    status: ImportStatus,
    plan: Option<ImportPlan>,
    progress: ImportProgress,
    undo: UndoProgress,
}

#[derive(Clone, Debug)]
pub enum ImportCommand {
    Start {
        plan: ImportPlan,
    },
    /// The rows up to here are dealt with. Refused once the import was cancelled: that is how the worker learns of it.
    Advance {
        progress: ImportProgress,
    },
    Finish {
        progress: ImportProgress,
    },
    /// `reason` holds nothing of a row.
    Fail {
        reason: String,
    },
    Cancel,
    /// Rows that were under way when the import was cancelled are dealt with too; no row is any more.
    Settle {
        progress: ImportProgress,
    },
    StartUndo,
    AdvanceUndo {
        progress: UndoProgress,
    },
    FinishUndo {
        progress: UndoProgress,
    },
}

rejections! {
    /// Why a command to an import is refused.
    pub enum ImportRejection {
        Unknown: Missing, "import_not_found", "", "there is no such import";
        Exists: State, "import_exists", "", "the import was started before";
        NotRunning: State, "import_not_running", "", "the import is not running any more";
        NotCancelled: State, "import_not_cancelled", "", "the import was not cancelled";
        StillRunning: State, "import_running", "", "the import is still running; cancel it or wait for its end";
        NotUndoing: State, "import_not_undoing", "", "the import is not being undone";
        DryRun: State, "import_dry_run", "", "a dry run has stored nothing that could be undone";
        Backwards: State, "progress_backwards", "", "the import is further than this mark";
        Uneven: Invalid, "progress_uneven", "/rows", "the rows do not agree with the sum of their outcomes";
        InvalidLabel: Invalid, "invalid_label", "/label", "a label has 1 to 100 characters and no control characters";
        InvalidReason: Invalid, "invalid_reason", "/reason", "a reason has 1 to 500 characters";
        InvalidEncoding: Invalid, "invalid_encoding", "/encoding", "an encoding is a WHATWG label, for example utf-8 or windows-1252";
        InvalidBlob: Invalid, "invalid_blob", "/blob", "a file is named by its SHA-256, 64 lower-case hexadecimal digits";
        TooManyColumns: Invalid, "too_many_columns", "/mapping", "at most 100 columns can be mapped";
        InvalidColumn: Invalid, "invalid_column", "/mapping", "a column's name has 1 to 200 characters and no control characters";
        UnknownField { field: String }: Invalid, "unknown_field", "/mapping", "a contact has no field {field}";
        FieldTwice { field: String }: Invalid, "field_twice", "/mapping", "two columns are mapped to {field}";
        NoEmail: Invalid, "no_email_column", "/mapping", "a column must be mapped to email";
        InvalidTag { index: usize }: Invalid, "invalid_tag", "/tags/{index}", "a tag has 1 to 60 characters of a-z, 0-9, space, '-', '_', '.', ':' and letters of other scripts";
        TooManyTags: Invalid, "too_many_tags", "/tags", "a contact has at most 100 tags";
    }
}

impl Import {
    pub fn status(&self) -> ImportStatus {
        self.status
    }

    pub fn plan(&self) -> Option<&ImportPlan> {
        self.plan.as_ref()
    }

    pub fn progress(&self) -> ImportProgress {
        self.progress
    }

    pub fn undo(&self) -> UndoProgress {
        self.undo
    }

    /// Refuses what only a running import can do.
    fn running(&self) -> Result<(), ImportRejection> {
        match self.status {
            ImportStatus::Running => Ok(()),
            ImportStatus::Absent => Err(ImportRejection::Unknown),
            _ => Err(ImportRejection::NotRunning),
        }
    }

    fn undoing(&self) -> Result<(), ImportRejection> {
        match self.status {
            ImportStatus::Undoing => Ok(()),
            ImportStatus::Absent => Err(ImportRejection::Unknown),
            _ => Err(ImportRejection::NotUndoing),
        }
    }

    fn checked(&self, next: &ImportProgress) -> Result<(), ImportRejection> {
        let sum = [next.created, next.merged, next.skipped, next.failed].into_iter().try_fold(0, u64::checked_add);
        if sum != Some(next.rows) {
            return Err(ImportRejection::Uneven);
        }
        let counts = |p: &ImportProgress| [p.rows, p.created, p.merged, p.skipped, p.failed, p.offset];
        forward(&counts(&self.progress), &counts(next))
    }

    fn checked_undo(&self, next: &UndoProgress) -> Result<(), ImportRejection> {
        // The rest was merely changed by the import and has again what it had, or was erased meanwhile.
        if next.removed.checked_add(next.kept).is_none_or(|sum| sum > next.rows) {
            return Err(ImportRejection::Uneven);
        }
        let counts = |p: &UndoProgress| [p.rows, p.removed, p.kept];
        forward(&counts(&self.undo), &counts(next))
    }
}

/// Totals never become less.
fn forward(before: &[u64], after: &[u64]) -> Result<(), ImportRejection> {
    let forward = before.iter().zip(after).all(|(before, after)| before <= after);
    if forward { Ok(()) } else { Err(ImportRejection::Backwards) }
}

impl Decider for Import {
    type Event = ImportEvent;
    type Command = ImportCommand;
    type Rejection = ImportRejection;

    fn decide(&self, command: &ImportCommand, _ctx: &Ctx) -> Result<Decision<ImportEvent>, ImportRejection> {
        use ImportRejection as R;
        use ImportStatus as S;
        match command {
            ImportCommand::Start { .. } if self.status != S::Absent => Err(R::Exists),
            ImportCommand::Start { plan } => Ok(Decision::event(ImportStarted { plan: valid_plan(plan)? })),
            ImportCommand::Advance { progress } => {
                self.running()?;
                self.checked(progress)?;
                if *progress == self.progress {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ImportProgressed { progress: *progress }))
            }
            ImportCommand::Finish { progress } if self.status == S::Finished && *progress == self.progress => {
                Ok(Decision::nothing())
            }
            ImportCommand::Finish { progress } => {
                self.running()?;
                self.checked(progress)?;
                Ok(Decision::event(ImportFinished { progress: *progress }))
            }
            ImportCommand::Fail { .. } if self.status == S::Failed => Ok(Decision::nothing()),
            ImportCommand::Fail { reason } => {
                self.running()?;
                let reason = reason.trim();
                if !(1..=500).contains(&reason.chars().count()) {
                    return Err(R::InvalidReason);
                }
                Ok(Decision::event(ImportFailed { reason: reason.to_owned() }))
            }
            ImportCommand::Cancel if self.status == S::Cancelled => Ok(Decision::nothing()),
            ImportCommand::Cancel => {
                self.running()?;
                Ok(Decision::event(ImportCancelled {}))
            }
            ImportCommand::Settle { progress } => {
                if !matches!(self.status, S::Cancelled | S::Undoing | S::Undone) {
                    return Err(if self.status == S::Absent { R::Unknown } else { R::NotCancelled });
                }
                self.checked(progress)?;
                if *progress == self.progress {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ImportProgressed { progress: *progress }))
            }
            ImportCommand::StartUndo => match self.status {
                S::Absent => Err(R::Unknown),
                S::Running => Err(R::StillRunning),
                S::Undoing | S::Undone => Ok(Decision::nothing()),
                S::Finished | S::Failed | S::Cancelled if self.plan.as_ref().is_none_or(|plan| plan.dry_run) => {
                    Err(R::DryRun)
                }
                S::Finished | S::Failed | S::Cancelled => Ok(Decision::event(ImportUndoStarted {})),
            },
            ImportCommand::AdvanceUndo { progress } => {
                self.undoing()?;
                self.checked_undo(progress)?;
                if *progress == self.undo {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ImportUndoProgressed { progress: *progress }))
            }
            ImportCommand::FinishUndo { progress } if self.status == S::Undone && *progress == self.undo => {
                Ok(Decision::nothing())
            }
            ImportCommand::FinishUndo { progress } => {
                self.undoing()?;
                self.checked_undo(progress)?;
                Ok(Decision::event(ImportUndone { progress: *progress }))
            }
        }
    }

    fn evolve(&mut self, event: &ImportEvent) {
        match event {
            ImportEvent::Started(started) => {
                self.plan = Some(started.plan.clone());
                self.status = ImportStatus::Running;
            }
            ImportEvent::Progressed(progressed) => self.progress = progressed.progress,
            ImportEvent::Finished(finished) => {
                self.progress = finished.progress;
                self.status = ImportStatus::Finished;
            }
            ImportEvent::Failed(_) => self.status = ImportStatus::Failed,
            ImportEvent::Cancelled(_) => self.status = ImportStatus::Cancelled,
            ImportEvent::UndoStarted(_) => self.status = ImportStatus::Undoing,
            ImportEvent::UndoProgressed(progressed) => self.undo = progressed.progress,
            ImportEvent::Undone(undone) => {
                self.undo = undone.progress;
                self.status = ImportStatus::Undone;
            }
        }
    }

    fn creates(command: &ImportCommand) -> bool {
        matches!(command, ImportCommand::Start { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> ImportRejection {
        ImportRejection::Exists
    }
}

#[cfg(test)]
mod tests;
