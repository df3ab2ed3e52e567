//! An import of contacts from a file, and its undoing. Holds no personal data: the file lies in the blob store and its
//! name is not kept; `label` is what the user calls the import.

use crate::events;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

events! {
    /// What can happen to an import.
    pub enum ImportEvent {
        Started(ImportStarted) = "import.started" @ 1,
        Progressed(ImportProgressed) = "import.progressed" @ 1,
        Finished(ImportFinished) = "import.finished" @ 1,
        Failed(ImportFailed) = "import.failed" @ 1,
        Cancelled(ImportCancelled) = "import.cancelled" @ 1,
        UndoStarted(ImportUndoStarted) = "import.undo_started" @ 1,
        UndoProgressed(ImportUndoProgressed) = "import.undo_progressed" @ 1,
        Undone(ImportUndone) = "import.undone" @ 1,
    }
}

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    Csv,
    Ndjson,
}

/// What happens with a row whose e-mail address belongs to a contact already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    Skip,
    /// Fields of the row take the place of the contact's.
    Merge,
}

/// Everything an import needs to be carried out, and to be taken up again after a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportPlan {
    /// What the user calls it; no personal data.
    pub label: String,
    pub format: ImportFormat,
    /// Column of the file to field of the contact.
    pub mapping: BTreeMap<String, String>,
    pub duplicates: Duplicates,
    /// WHATWG label of the file's encoding, for example `utf-8`.
    pub encoding: String,
    /// The file in the blob store: SHA-256, 64 lower-case hexadecimal digits.
    pub blob: String,
    /// Everything is checked and counted, nothing is stored.
    #[serde(default)]
    pub dry_run: bool,
    /// Tags every contact of the import gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// How far an import has come. Counts are totals since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Rows dealt with: the sum of the next four.
    pub rows: u64,
    pub created: u64,
    pub merged: u64,
    pub skipped: u64,
    pub failed: u64,
    /// Where the next row begins in the file, bytes.
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportStarted {
    pub plan: ImportPlan,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportProgressed {
    pub progress: ImportProgress,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportFinished {
    pub progress: ImportProgress,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportFailed {
    /// Why, no personal data: never a row's content.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportCancelled {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportUndoStarted {}

/// How far the undoing has come. Counts are totals since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoProgress {
    /// Contacts looked at. Those neither removed nor kept have again what they had before, or were erased meanwhile.
    pub rows: u64,
    /// Contacts the import had made and that are gone again.
    pub removed: u64,
    /// Contacts somebody has changed since, left as they are.
    pub kept: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportUndoProgressed {
    pub progress: UndoProgress,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportUndone {
    pub progress: UndoProgress,
}
