//! One import, carried as far as its events ask for: its rows, then perhaps their undoing.
//!
//! Everything it needs is read from the log and from the state beside the report, so it can be cut off anywhere. What
//! may pass (the log cannot be reached, the disk is full) is an error and the job is run again later; what cannot pass
//! (the file cannot be read any further) ends the import as failed.

use super::{
    super::contact_import::{
        Checkpoint, ImportError,
        csv_source::{CsvOptions, CsvRows, CsvSource},
        encoding::Encoding,
        engine::{self, Duplicates as HowDuplicates, Merge, Options},
        mapping::Mapping,
        ndjson_source::NdjsonRows,
        report::{ReportError, ReportWriter},
        source::{Parsed, SourceError},
        undo::{UndoOptions, undo},
    },
    ImportParts, ImportPaths, blob_of,
    files::{Stage, State},
    in_use::InSearch,
    marks::{Marks, Phase},
};
use crate::{blob::BlobError, worker::Stop};
use bus_schema::{
    Actor, CommandId, TenantId,
    bus::StreamError,
    catalog::Catalogued,
    crm::import::{Duplicates, ImportEvent, ImportFormat, ImportPlan, ImportProgress},
    subject::Family,
};
use projectors::ViewError;
use std::{fs::File, time::Duration};
use uuid::Uuid;
use writers::{
    Decider, Meta, Rejection, StoreError, WriteError,
    crm::import::{Import, ImportCommand, ImportRejection, ImportStatus},
};

/// How long an undoing waits for the search index to know everything up to its beginning.
const SEARCH_PATIENCE: Duration = Duration::from_secs(60);

/// Contacts an undoing has under way at once. The key directory overwrites one key after the other; more would only
/// queue there and run into its timeouts.
const UNDONE_AT_ONCE: usize = 32;

type Rows = Box<dyn Iterator<Item = Result<Parsed, SourceError>> + Send>;

/// Why a job ended early. It is run again later and goes on from its last checkpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error("its events cannot be read: {0}")]
    Log(#[from] StoreError),
    #[error("its events cannot be read: event {0} is not known to this version")]
    Unreadable(u64),
    #[error("its end cannot be recorded: {0}")]
    Write(#[from] WriteError),
    #[error("its state cannot be kept: {0}")]
    State(#[from] std::io::Error),
    #[error("{0}")]
    Import(#[from] ImportError),
    #[error("its file: {0}")]
    Blob(#[from] BlobError),
    #[error("the end of the log: {0}")]
    Stream(#[from] StreamError),
    #[error("what hangs on its contacts is not known yet: {0}")]
    Search(#[from] ViewError),
    #[error("its report is not here, so it cannot be taken back; restore the folder `imports` of the data directory")]
    NoReport,
}

/// An import as the log tells it.
struct Told {
    import: Import,
    started_by: Actor,
    undone_by: Actor,
}

struct Job<'a> {
    parts: &'a ImportParts,
    tenant: &'a TenantId,
    id: Uuid,
    stop: &'a Stop,
    paths: ImportPaths,
}

/// Runs an import as far as it goes. Nothing to do is fine.
pub(super) async fn run(parts: &ImportParts, tenant: &TenantId, id: Uuid, stop: &Stop) -> Result<(), JobError> {
    let job = Job { parts, tenant, id, stop, paths: parts.files.of(tenant, id) };
    let told = job.told().await?;
    let Some(plan) = told.import.plan().cloned() else { return Ok(()) };
    let mut state = job.paths.load().await?;
    match told.import.status() {
        ImportStatus::Running => job.import(&plan, &told, &mut state).await,
        ImportStatus::Cancelled | ImportStatus::Failed | ImportStatus::Finished => {
            job.settle(&plan, &told, &mut state).await
        }
        ImportStatus::Undoing => {
            job.settle(&plan, &told, &mut state).await?;
            if job.stop.is_asked() { Ok(()) } else { job.undo(&told, &mut state).await }
        }
        ImportStatus::Absent | ImportStatus::Undone => Ok(()),
    }
}

impl Job<'_> {
    async fn told(&self) -> Result<Told, JobError> {
        let system = || Actor::System("import".into());
        let mut told = Told { import: Import::default(), started_by: system(), undone_by: system() };
        let subject = self.parts.writer.subject::<Import>(self.tenant, self.id);
        for stored in self.parts.writer.store().load(&subject, 0).await? {
            let event = stored.decode().ok().flatten();
            let event = event.as_ref().and_then(ImportEvent::from_any).ok_or(JobError::Unreadable(stored.seq))?;
            match event {
                ImportEvent::Started(_) => told.started_by = stored.envelope.actor.clone(),
                ImportEvent::UndoStarted(_) => told.undone_by = stored.envelope.actor.clone(),
                _ => {}
            }
            told.import.evolve(event);
        }
        Ok(told)
    }

    /// Carries the rows out and records how the import ended.
    async fn import(&self, plan: &ImportPlan, told: &Told, state: &mut State) -> Result<(), JobError> {
        let mut stage = state.import.clone().unwrap_or_default();
        if !stage.ended {
            if plan.dry_run {
                // What it would do to repeated addresses is known from the first row on only.
                stage = Stage::default();
            }
            state.import = Some(stage.clone());
            self.paths.save(state).await?;
            match self.carry(plan, told, state, Phase::Import, None).await? {
                Carried::Stopped => return Ok(()),
                Carried::Ended(ended) => stage = ended,
            }
        }
        let progress = stage.checkpoint.import_progress();
        let end = match stage.failure {
            Some(reason) => ImportCommand::Fail { reason },
            None => ImportCommand::Finish { progress },
        };
        match self.command(end).await {
            // It was cancelled, and the rows that were under way then are done.
            Err(WriteError::Rejected(rejected)) if rejected.code == ImportRejection::NotRunning.code() => {
                self.count(progress).await
            }
            Err(WriteError::Rejected(rejected)) if rejected.code == ImportRejection::Backwards.code() => {
                let reason = "the import was interrupted, and what it counts now disagrees with what it counted before; run it again";
                self.command(ImportCommand::Fail { reason: reason.into() }).await
            }
            other => other,
        }
        .map_err(JobError::from)
    }

    /// Makes the report whole. An import that was cancelled while a crash cut it off had rows under way its report
    /// does not have: those are run again, and with them those that could have been.
    async fn settle(&self, plan: &ImportPlan, told: &Told, state: &mut State) -> Result<(), JobError> {
        match &state.import {
            None if told.import.progress().rows > 0 => Err(JobError::NoReport),
            Some(stage) if !stage.ended && !plan.dry_run => {
                let options = self.options(plan, told);
                let under_way = options.every + options.in_flight as u64;
                match self.carry(plan, told, state, Phase::Settle, usize::try_from(under_way).ok()).await? {
                    Carried::Stopped => Ok(()),
                    Carried::Ended(stage) => Ok(self.count(stage.checkpoint.import_progress()).await?),
                }
            }
            // A crash may have come between the last row and this.
            Some(stage) if told.import.status() == ImportStatus::Cancelled && stage.ended => {
                Ok(self.count(stage.checkpoint.import_progress()).await?)
            }
            _ => Ok(()),
        }
    }

    /// Tells a cancelled import what was done in the end.
    async fn count(&self, progress: ImportProgress) -> Result<(), WriteError> {
        match self.command(ImportCommand::Settle { progress }).await {
            // Only how far it came is not known exactly; the report is right.
            Err(WriteError::Rejected(rejected)) => {
                tracing::warn!(import = %self.id, code = rejected.code, "what a cancelled import did is not recorded");
                Ok(())
            }
            other => other,
        }
    }

    /// Runs rows from the checkpoint on, at most `most`, and keeps how that ended.
    async fn carry(
        &self,
        plan: &ImportPlan,
        told: &Told,
        state: &mut State,
        phase: Phase,
        most: Option<usize>,
    ) -> Result<Carried, JobError> {
        let from = state.import.clone().unwrap_or_default().checkpoint;
        let report = match ReportWriter::open(&self.paths.report(), from.report).await {
            Ok(report) => report,
            Err(error) => return Err(self.begin_anew(error, state, |state| state.import = None).await),
        };
        let mut marks = Marks::new(self.parts, self.tenant, self.id, self.stop, &self.paths, phase, state);
        let outcome = match self.rows(plan, &from).await? {
            Ok(rows) => {
                let rows: Rows = match most {
                    Some(most) => Box::new(rows.take(most)),
                    None => rows,
                };
                let options = self.options(plan, told);
                engine::run(&self.parts.writer, self.tenant, &options, rows, report, from, &mut marks).await
            }
            Err(why) => {
                let stage = Stage { checkpoint: from, ended: true, failure: Some(why) };
                state.import = Some(stage.clone());
                self.paths.save(state).await?;
                return Ok(Carried::Ended(stage));
            }
        };
        let (refused, mut stage) = (marks.refused(), state.import.clone().unwrap_or_default());
        match outcome {
            Ok(summary) if summary.stopped && !refused => return Ok(Carried::Stopped),
            Ok(summary) => stage.checkpoint = summary.checkpoint,
            // Rows before it are done and in the report.
            Err(ImportError::Source(error)) => stage.failure = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        stage.ended = true;
        state.import = Some(stage.clone());
        self.paths.save(state).await?;
        Ok(Carried::Ended(stage))
    }

    /// The rows after a checkpoint, or why there are none.
    async fn rows(&self, plan: &ImportPlan, from: &Checkpoint) -> Result<Result<Rows, String>, JobError> {
        let Some(blob) = blob_of(plan) else { return Ok(Err(BlobError::Name.to_string())) };
        let file = match self.parts.blobs.open(self.tenant, &blob).await {
            Ok(file) => file,
            Err(error @ BlobError::Missing) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let (plan, position) = (plan.clone(), from.position);
        let opened = tokio::task::spawn_blocking(move || open(file, &plan, position)).await;
        Ok(opened.unwrap_or_else(|_| Err("the beginning of the file could not be read".into())))
    }

    async fn undo(&self, told: &Told, state: &mut State) -> Result<(), JobError> {
        let mut stage = state.undo.clone().unwrap_or_default();
        if !stage.ended {
            state.undo = Some(stage.clone());
            self.paths.save(state).await?;
            let from = stage.checkpoint.clone();
            if state.import.is_none() {
                // It ended before its first row: there is nothing in its report.
                ReportWriter::open(&self.paths.report(), 0).await.map_err(ImportError::from)?;
            }
            let report = match ReportWriter::open(&self.paths.undo_report(), from.report).await {
                Ok(report) => report,
                Err(error) => return Err(self.begin_anew(error, state, |state| state.undo = None).await),
            };
            let now = self.parts.bus.last_seq(Family::Events).await?;
            self.parts.search.wait(now, SEARCH_PATIENCE).await?;
            let in_use = InSearch { search: &self.parts.search, tenant: self.tenant };
            let actor = told.undone_by.clone();
            let options = UndoOptions { in_flight: UNDONE_AT_ONCE, ..UndoOptions::new(self.id, actor) };
            let (writer, imported) = (&self.parts.writer, self.paths.report());
            let mut marks = Marks::new(self.parts, self.tenant, self.id, self.stop, &self.paths, Phase::Undo, state);
            let summary = undo(writer, self.tenant, &options, &imported, report, from, &in_use, &mut marks).await?;
            if summary.stopped && !marks.refused() {
                return Ok(());
            }
            stage = Stage { checkpoint: summary.checkpoint, ended: true, failure: None };
            state.undo = Some(stage.clone());
            self.paths.save(state).await?;
        }
        let progress = stage.checkpoint.undo_progress();
        Ok(self.command(ImportCommand::FinishUndo { progress }).await?)
    }

    /// A report that is shorter than its checkpoint says was lost in part: the next run begins at the first row.
    async fn begin_anew(&self, error: ReportError, state: &mut State, forget: impl FnOnce(&mut State)) -> JobError {
        if matches!(error, ReportError::Short { .. }) {
            forget(state);
            if let Err(error) = self.paths.save(state).await {
                return error.into();
            }
        }
        ImportError::from(error).into()
    }

    async fn command(&self, command: ImportCommand) -> Result<(), WriteError> {
        // What is done twice changes nothing: the import itself knows where it stands.
        let meta = Meta { correlation: self.id, ..Meta::system("import", CommandId::random()) };
        self.parts.writer.execute::<Import>(self.tenant, self.id, &meta, &command).await.map(|_| ())
    }

    fn options(&self, plan: &ImportPlan, told: &Told) -> Options {
        let duplicates = match plan.duplicates {
            Duplicates::Skip => HowDuplicates::Skip,
            Duplicates::Merge => HowDuplicates::Merge(Merge::Overwrite),
        };
        let (tags, dry_run) = (plan.tags.clone(), plan.dry_run);
        Options { tags, dry_run, ..Options::new(self.id, told.started_by.clone(), duplicates) }
    }
}

/// How carrying out rows ended, when not with an error.
enum Carried {
    /// The platform stops; rows are left.
    Stopped,
    Ended(Stage),
}

/// Opens a file as its plan says. The reason of a refusal names no column: where a heading is missing, those are data.
fn open(file: File, plan: &ImportPlan, from: super::super::contact_import::source::Position) -> Result<Rows, String> {
    if plan.format == ImportFormat::Ndjson {
        return match NdjsonRows::open(file, from) {
            Ok(rows) => Ok(Box::new(rows)),
            Err(error) => Err(error.to_string()),
        };
    }
    let encoding = Encoding::by_label(&plan.encoding)
        .ok_or_else(|| format!("files in the encoding {} cannot be read", plan.encoding))?;
    let options = CsvOptions { encoding: Some(encoding), delimiter: None };
    let source = CsvSource::open(file, options).map_err(|error| error.to_string())?;
    let mapping = Mapping::try_new(source.headings(), Some(&plan.mapping))
        .map_err(|error| format!("the columns of the file are not those of the import ({})", error.code()))?;
    let source = source.resume(from).map_err(|error| error.to_string())?;
    Ok(Box::new(CsvRows::new(source, mapping)))
}
