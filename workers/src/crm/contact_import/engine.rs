//! Carrying out an import: rows from a file become commands, many under way at once, and lines of a report in order.

use super::{
    apply::Import,
    checkpoint::{Checkpoint, Progress, Summary},
    conveyor::{Conveyor, ImportError, Item},
    report::{ReportRow, ReportWriter},
    source::{Parsed, SourceError},
};
use bus_schema::{Actor, TenantId};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;
use writers::{Writer, crm::contact::normal_email};

/// What happens to a row whose e-mail address a contact has already, from before or from an earlier row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    Skip,
    Merge(Merge),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Only what is empty is filled.
    Fill,
    /// What the file has wins; its empty cells change nothing.
    Overwrite,
}

/// How to carry out an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// The commands' ids follow from it and the row's number: the same import must always have the same file.
    pub import: Uuid,
    pub actor: Actor,
    pub duplicates: Duplicates,
    /// Tags every row gets beside its own.
    pub tags: Vec<String>,
    /// Nothing is written; the report says what would be done. Not resumable: repetitions are known from the beginning.
    pub dry_run: bool,
    /// Rows under way at once.
    pub in_flight: usize,
    /// Rows between two checkpoints.
    pub every: u64,
    /// How long one row waits for a log that cannot be reached before the import ends with an error.
    pub patience: Duration,
}

impl Options {
    pub fn new(import: Uuid, actor: Actor, duplicates: Duplicates) -> Self {
        let patience = Duration::from_secs(60);
        Self { import, actor, duplicates, tags: Vec::new(), dry_run: false, in_flight: 1_000, every: 2_000, patience }
    }
}

/// Imports `rows`, which begin after `from.position`, and writes `report`, opened at `from.report`.
///
/// Ends with an error when the file cannot be read further, the log stays away longer than `options.patience`, or
/// progress cannot be kept; then every row up to the last checkpoint is done and the import can be started again there.
pub async fn run<S, P>(
    writer: &Writer,
    tenant: &TenantId,
    options: &Options,
    rows: S,
    report: ReportWriter,
    from: Checkpoint,
    progress: &mut P,
) -> Result<Summary, ImportError>
where
    S: Iterator<Item = Result<Parsed, SourceError>> + Send + 'static,
    P: Progress,
{
    let (sender, items) = mpsc::channel(options.in_flight.max(1));
    // Files are read by blocking calls, so on a thread of their own. It ends when the channel is dropped.
    let reading = tokio::task::spawn_blocking(move || {
        for row in rows {
            let item = row.map_err(ImportError::from).map(|Parsed { after, row }| {
                let touches = row.as_ref().ok().and_then(|row| normal_email(&row.details.email).ok());
                Item { after, touches, work: row }
            });
            if sender.blocking_send(item).is_err() {
                break;
            }
        }
    });
    let import = &Import::new(writer, tenant, options);
    let conveyor = Conveyor { report, checkpoint: from, progress, every: options.every, in_flight: options.in_flight };
    let summary = conveyor
        .run(items, |row| match row {
            Ok(row) => import.row(row),
            Err(error) => Box::pin(std::future::ready(Ok(Some(ReportRow::from(error))))),
        })
        .await?;
    reading.await.map_err(|_| ImportError::Reader)?;
    Ok(summary)
}
