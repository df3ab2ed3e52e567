//! Imports of contacts as people look at them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Actor, Keyring, Micros, TenantId,
    crm::import::{ImportEvent, ImportPlan, ImportProgress, UndoProgress},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Imports;

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStage {
    Running,
    Finished,
    Failed,
    Cancelled,
    Undoing,
    Undone,
}

impl ImportStage {
    pub const NAMES: [&'static str; 6] = ["running", "finished", "failed", "cancelled", "undoing", "undone"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// An import; it holds no personal data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportView {
    pub plan: ImportPlan,
    pub stage: ImportStage,
    pub started_by: Actor,
    pub progress: ImportProgress,
    /// When the last row was dealt with, or the import failed or was cancelled.
    pub ended_at: Option<Micros>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Once it is taken back.
    pub undo: Option<UndoProgress>,
}

impl RecordView for Imports {
    const NAME: &'static str = "imports";
    const VERSION: u32 = 1;
    type Event = ImportEvent;
    type Row = ImportView;

    fn fold(row: Option<ImportView>, event: &ImportEvent, happening: &Happening) -> Option<ImportView> {
        if let ImportEvent::Started(started) = event {
            return Some(ImportView {
                plan: started.plan.clone(),
                stage: ImportStage::Running,
                started_by: happening.actor.clone(),
                progress: ImportProgress::default(),
                ended_at: None,
                failure: None,
                undo: None,
            });
        }
        let mut row = row?;
        let ended = |row: ImportView, stage| Some(ImportView { stage, ended_at: Some(happening.at), ..row });
        match event {
            ImportEvent::Started(_) => {}
            ImportEvent::Progressed(progressed) => row.progress = progressed.progress,
            ImportEvent::Finished(finished) => {
                row.progress = finished.progress;
                return ended(row, ImportStage::Finished);
            }
            ImportEvent::Failed(failed) => {
                row.failure = Some(failed.reason.clone());
                return ended(row, ImportStage::Failed);
            }
            ImportEvent::Cancelled(_) => return ended(row, ImportStage::Cancelled),
            ImportEvent::UndoStarted(_) => {
                row.undo = Some(UndoProgress::default());
                row.stage = ImportStage::Undoing;
            }
            ImportEvent::UndoProgressed(progressed) => row.undo = Some(progressed.progress),
            ImportEvent::Undone(undone) => {
                row.undo = Some(undone.progress);
                row.stage = ImportStage::Undone;
            }
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<ImportView>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![TextPart { weight: Weight::Heading, text: row.plan.label.clone() }],
            fields: vec![
                ("label".to_owned(), FieldValue::Str(row.plan.label.clone())),
                ("status".to_owned(), FieldValue::Str(row.stage.name().to_owned())),
                ("dry_run".to_owned(), FieldValue::Bool(row.plan.dry_run)),
                ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
                ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::crm::import::{
        Duplicates, ImportFinished, ImportFormat, ImportProgressed, ImportStarted, ImportUndoStarted, ImportUndone,
    };

    fn started() -> ImportEvent {
        let plan = ImportPlan {
            label: "Fair".into(),
            format: ImportFormat::Csv,
            mapping: [("E-Mail".to_owned(), "email".to_owned())].into(),
            duplicates: Duplicates::Skip,
            encoding: "utf-8".into(),
            blob: "0".repeat(64),
            dry_run: false,
            tags: Vec::new(),
        };
        ImportStarted { plan }.into()
    }

    fn fold(events: &[ImportEvent]) -> Option<ImportView> {
        let happening = |at| Happening { id: Uuid::nil(), seq: 1, at: Micros(at), actor: Actor::Visitor };
        events.iter().zip(1..).fold(None, |row, (event, at)| Imports::fold(row, event, &happening(at)))
    }

    #[test]
    fn an_import_and_its_undoing_are_told_in_full() {
        let progress = ImportProgress { rows: 3, created: 2, failed: 1, ..ImportProgress::default() };
        let undo = UndoProgress { rows: 2, removed: 2, kept: 0 };
        let events = [
            started(),
            ImportProgressed { progress: ImportProgress { rows: 1, created: 1, ..progress } }.into(),
            ImportFinished { progress }.into(),
            ImportUndoStarted {}.into(),
            ImportUndone { progress: undo }.into(),
        ];
        let running = fold(&events[..2]).unwrap();
        assert_eq!((running.stage.name(), running.progress.rows, running.ended_at), ("running", 1, None));
        let finished = fold(&events[..3]).unwrap();
        assert_eq!((finished.stage.name(), finished.progress.rows), ("finished", 3));
        let undone = fold(&events).unwrap();
        assert_eq!((undone.stage.name(), undone.undo, undone.ended_at), ("undone", Some(undo), Some(Micros(3))));
        assert_eq!(fold(&events[1..]), None);
    }

    #[test]
    fn every_stage_has_its_name() {
        for name in ImportStage::NAMES {
            let stage: ImportStage = serde_json::from_value(name.into()).unwrap();
            assert_eq!(stage.name(), name);
        }
    }
}
