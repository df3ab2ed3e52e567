//! Keeps checkpoints: the state beside the report every time, an event of the import now and then.

use super::{
    super::contact_import::{Checkpoint, Next, Progress, ProgressError},
    ImportParts, ImportPaths,
    files::State,
};
use crate::worker::Stop;
use bus_schema::{CommandId, TenantId};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;
use writers::{
    Meta, Rejection, WriteError,
    crm::import::{Import, ImportCommand, ImportRejection, ImportStatus},
};

/// The least time between two marks in the log.
const RHYTHM: Duration = Duration::from_millis(500);

/// What is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Import,
    /// Rows of an import that has ended already: its events know nothing of them.
    Settle,
    Undo,
}

pub(super) struct Marks<'a> {
    parts: &'a ImportParts,
    tenant: &'a TenantId,
    id: Uuid,
    stop: &'a Stop,
    paths: &'a ImportPaths,
    phase: Phase,
    state: &'a mut State,
    told: Instant,
    refused: bool,
}

impl<'a> Marks<'a> {
    pub(super) fn new(
        parts: &'a ImportParts,
        tenant: &'a TenantId,
        id: Uuid,
        stop: &'a Stop,
        paths: &'a ImportPaths,
        phase: Phase,
        state: &'a mut State,
    ) -> Self {
        Self { parts, tenant, id, stop, paths, phase, state, told: Instant::now(), refused: false }
    }

    /// The import does not take marks any more: somebody cancelled it.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    async fn tell(&mut self, checkpoint: &Checkpoint) -> Next {
        let (command, wanted) = match self.phase {
            Phase::Settle => return Next::GoOn,
            Phase::Import => (ImportCommand::Advance { progress: checkpoint.import_progress() }, ImportStatus::Running),
            Phase::Undo => (ImportCommand::AdvanceUndo { progress: checkpoint.undo_progress() }, ImportStatus::Undoing),
        };
        let meta = Meta { correlation: self.id, ..Meta::system("import", CommandId::random()) };
        let told = self.parts.writer.execute::<Import>(self.tenant, self.id, &meta, &command).await;
        let ended = [ImportRejection::NotRunning.code(), ImportRejection::NotUndoing.code()];
        match told {
            Ok(receipt) if receipt.value.state.status() == wanted => Next::GoOn,
            Ok(_) => Next::Stop,
            Err(WriteError::Rejected(rejected)) if ended.contains(&rejected.code) => Next::Stop,
            // Rows that run again count less than the last mark: it stays until they are past it.
            Err(WriteError::Rejected(rejected)) if rejected.code == ImportRejection::Backwards.code() => Next::GoOn,
            Err(error) => {
                // The rows themselves find out whether the log is there.
                tracing::warn!(%error, import = %self.id, "the progress of an import is not recorded this time");
                Next::GoOn
            }
        }
    }
}

impl Progress for Marks<'_> {
    async fn reached(&mut self, checkpoint: Checkpoint) -> Result<Next, ProgressError> {
        let stage = match self.phase {
            Phase::Import | Phase::Settle => self.state.import.get_or_insert_default(),
            Phase::Undo => self.state.undo.get_or_insert_default(),
        };
        stage.checkpoint = checkpoint.clone();
        self.paths.save(self.state).await?;
        if self.stop.is_asked() {
            return Ok(Next::Stop);
        }
        if self.refused || self.told.elapsed() < RHYTHM {
            return Ok(Next::GoOn);
        }
        let next = self.tell(&checkpoint).await;
        self.refused |= next == Next::Stop;
        self.told = Instant::now();
        Ok(next)
    }
}
