//! The API's port to the importer, over the blob store and the reports of this data directory.

use api::{
    crm::imports::desk::{
        FileForm, ImportDesk, ImportPreview, PreviewRow, Received, ReportLine, ReportPage, ReportQuery, RowProblem,
    },
    http::{
        codes::ProblemCode,
        problem::{FieldError, Problem},
    },
};
use bus_schema::TenantId;
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use serde_json::Value;
use std::{collections::BTreeMap, io::ErrorKind};
use tokio::sync::Semaphore;
use uuid::Uuid;
use workers::{
    blob::{BlobError, BlobStore},
    crm::{
        contact_import::{
            report::{Outcome, ReportError, ReportRow, read_page},
            row::{Field, ImportRow, RowError},
        },
        import_desk::{self, FileError, Told},
        import_worker::ImportFiles,
    },
};

/// Files on their way in at once; each may take half a gigabyte of disk.
const UPLOADS: usize = 8;

pub struct Desk {
    blobs: BlobStore,
    files: ImportFiles,
    uploads: Semaphore,
}

impl Desk {
    pub fn new(blobs: BlobStore, files: ImportFiles) -> Self {
        Self { blobs, files, uploads: Semaphore::new(UPLOADS) }
    }

    async fn take(
        &self,
        tenant: &TenantId,
        mut file: BoxStream<'_, Result<Bytes, Problem>>,
        limit: u64,
        told: Told,
    ) -> Result<Received, Problem> {
        let _upload =
            self.uploads.try_acquire().map_err(|_| Problem::overloaded("too many files are being uploaded", 5))?;
        let mut upload = self.blobs.receive(tenant, limit).await.map_err(refused)?;
        while let Some(piece) = file.next().await {
            upload.write(&piece?).await.map_err(refused)?;
        }
        let seen = upload.look().await.map_err(refused)?;
        let examined = blocking(move || import_desk::examine(std::io::BufReader::new(seen), &told)).await?;
        let examined = examined.map_err(unfit)?;
        let blob = upload.keep().await.map_err(refused)?;
        let encoding = examined.encoding.label().to_owned();
        Ok(Received { blob: blob.to_string(), encoding, mapping: examined.mapping })
    }

    async fn page(&self, tenant: &TenantId, import: Uuid, wanted: ReportQuery) -> Result<ReportPage, Problem> {
        let paths = self.files.of(tenant, import);
        let path = if wanted.undo { paths.undo_report() } else { paths.report() };
        let offset = match &wanted.after {
            Some(cursor) => cursor.parse().map_err(|_| api::errors::unknown_cursor())?,
            None => 0,
        };
        let only = outcomes(&wanted.outcomes)?;
        match read_page(&path, offset, wanted.limit, only.as_deref()).await {
            Ok(page) => Ok(ReportPage {
                items: page.rows.into_iter().map(line).collect(),
                next: page.next.map(|next| next.to_string()),
            }),
            // Nothing was done yet.
            Err(ReportError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(ReportPage { items: Vec::new(), next: None })
            }
            Err(ReportError::Malformed { .. }) if offset > 0 => Err(api::errors::unknown_cursor()),
            Err(error) => Err(Problem::fault(&error)),
        }
    }
}

impl ImportDesk for Desk {
    fn receive<'a>(
        &'a self,
        tenant: &'a TenantId,
        file: BoxStream<'a, Result<Bytes, Problem>>,
        limit: u64,
        told: FileForm,
    ) -> BoxFuture<'a, Result<Received, Problem>> {
        Box::pin(self.take(tenant, file, limit, of(told)))
    }

    fn preview(&self, head: Bytes, cut: bool, told: FileForm) -> BoxFuture<'_, Result<ImportPreview, Problem>> {
        Box::pin(async move {
            let preview = blocking(move || import_desk::preview(&head, cut, &of(told))).await?;
            Ok(shown(preview.map_err(unfit)?))
        })
    }

    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        import: Uuid,
        wanted: ReportQuery,
    ) -> BoxFuture<'a, Result<ReportPage, Problem>> {
        Box::pin(self.page(tenant, import, wanted))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::fault(&error))
}

fn of(FileForm { format, encoding, mapping }: FileForm) -> Told {
    Told { format, encoding, mapping }
}

fn refused(error: BlobError) -> Problem {
    match error {
        BlobError::TooLarge { limit } => Problem::payload_too_large(usize::try_from(limit).unwrap_or(usize::MAX)),
        error => Problem::unavailable(&error, 5),
    }
}

fn unfit(error: FileError) -> Problem {
    let message = error.to_string();
    Problem::new(ProblemCode::ValidationFailed, message.clone()).with_error(FieldError::new(
        error.pointer(),
        error.code(),
        message,
    ))
}

fn outcomes(words: &[String]) -> Result<Option<Vec<Outcome>>, Problem> {
    let known = |word: &String| {
        serde_json::from_value(Value::String(word.clone())).map_err(|_| {
            let message = format!("{word:?} is no outcome, such as created, skipped or failed");
            Problem::parameters(vec![FieldError::new("outcome", "unknown_variant", message)])
        })
    };
    let outcomes: Vec<Outcome> = words.iter().map(known).collect::<Result<_, _>>()?;
    Ok((!outcomes.is_empty()).then_some(outcomes))
}

fn word(outcome: Outcome) -> String {
    serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn line(row: ReportRow) -> ReportLine {
    let ReportRow { row, line, outcome, contact, field, code, message, value } = row;
    ReportLine { row, line, outcome: word(outcome), contact, field, code, message, value }
}

fn shown(preview: import_desk::Preview) -> ImportPreview {
    let row = |row: import_desk::PreviewRow| {
        let (contact, problem) = match row.contact {
            Some(Ok(contact)) => (Some(fields(contact)), None),
            Some(Err(error)) => (None, Some(problem(error))),
            None => (None, None),
        };
        PreviewRow { row: row.row, line: row.line, cells: row.cells, contact, problem }
    };
    let without_mapping = preview.problem.map(|error| RowProblem {
        field: None,
        code: error.code().to_owned(),
        message: error.to_string(),
        value: None,
    });
    ImportPreview {
        encoding: preview.encoding.label().to_owned(),
        delimiter: preview.delimiter.map(String::from),
        columns: preview.columns,
        mapping: preview.mapping,
        unmapped: preview.unmapped,
        fields: Field::ALL.map(|field| field.name().to_owned()).to_vec(),
        problem: without_mapping,
        rows: preview.rows.into_iter().map(row).collect(),
    }
}

fn fields(contact: ImportRow) -> BTreeMap<String, String> {
    let value = |field: &Field| Some((field.name().to_owned(), field.of(&contact.details)?.to_owned()));
    let mut fields: BTreeMap<String, String> = Field::ALL.iter().filter_map(value).collect();
    if !contact.tags.is_empty() {
        fields.insert(Field::Tags.name().to_owned(), contact.tags.join(", "));
    }
    fields
}

fn problem(error: RowError) -> RowProblem {
    let field = error.field.map(|field| field.name().to_owned());
    RowProblem { field, code: error.code.to_owned(), message: error.message, value: error.value }
}
