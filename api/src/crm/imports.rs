//! `/v1/imports`

pub mod desk;
mod query;

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        body::{self, BodyLimit},
        correlation::Correlation,
        extract::Path,
        idempotency::IdempotencyKey,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
        timed_body::TooSlow,
    },
    resource::Resource,
};
use axum::{
    Json,
    body::Body,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use bus_schema::{
    Keyring,
    crm::import::{Duplicates, ImportFormat, ImportPlan},
};
use bytes::Bytes;
use desk::{ImportPreview, Received, ReportPage, ReportQuery};
use futures::{StreamExt, stream::BoxStream};
use projectors::{
    Record,
    crm::imports::{ImportStage, ImportView, Imports},
    search::literal::FieldType,
};
use query::Wanted;
use serde::Serialize;
use std::{collections::BTreeMap, error::Error};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    crm::import::{Import, ImportCommand, ImportRejection, ImportStatus},
};

const READ: &str = "crm.import:read";
const WRITE: &str = "crm.import:write";
/// Bytes of one file.
const MAX_FILE: usize = 512 * 1024 * 1024;
/// Bytes of a file's beginning that a preview takes.
const MAX_HEAD: usize = 64 * 1024;

pub struct ImportResource;

/// An import of contacts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
pub struct ImportJson {
    pub id: Uuid,
    pub revision: u64,
    pub label: String,
    /// `running`, `finished`, `failed`, `cancelled`, `undoing` or `undone`.
    pub status: &'static str,
    pub format: &'static str,
    #[schema(example = "utf-8")]
    pub encoding: String,
    /// Column of the file to field of the contact.
    pub mapping: BTreeMap<String, String>,
    pub duplicates: &'static str,
    pub dry_run: bool,
    pub tags: Vec<String>,
    pub progress: ProgressJson,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Once it is being taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoJson>,
    pub started_by: String,
    pub created_at: String,
    pub updated_at: String,
    /// When its last row was dealt with, or it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// How far an import has come. Of a dry run: what it would have done.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressJson {
    pub rows: u64,
    pub created: u64,
    pub merged: u64,
    pub skipped: u64,
    pub failed: u64,
    /// Bytes of the file that are done.
    pub offset: u64,
}

/// How far an undoing has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndoJson {
    /// Contacts looked at; those neither removed nor kept have again what they had.
    pub rows: u64,
    pub removed: u64,
    pub kept: u64,
}

impl Resource for ImportResource {
    type View = Imports;
    type Json = ImportJson;
    const NOUN: &'static str = "import";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("label", FieldType::Text),
            ("status", FieldType::Choice(&ImportStage::NAMES)),
            ("dry_run", FieldType::Bool),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["label", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["status"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<ImportView>, _keys: &Keyring) -> ImportJson {
        let row = record.row.clone();
        let progress = row.progress;
        ImportJson {
            id,
            revision: record.revision,
            label: row.plan.label,
            status: row.stage.name(),
            format: match row.plan.format {
                ImportFormat::Csv => "csv",
                ImportFormat::Ndjson => "ndjson",
            },
            encoding: row.plan.encoding,
            mapping: row.plan.mapping,
            duplicates: match row.plan.duplicates {
                Duplicates::Skip => "skip",
                Duplicates::Merge => "merge",
            },
            dry_run: row.plan.dry_run,
            tags: row.plan.tags,
            progress: ProgressJson {
                rows: progress.rows,
                created: progress.created,
                merged: progress.merged,
                skipped: progress.skipped,
                failed: progress.failed,
                offset: progress.offset,
            },
            failure: row.failure,
            undo: row.undo.map(|undo| UndoJson { rows: undo.rows, removed: undo.removed, kept: undo.kept }),
            started_by: row.started_by.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
            ended_at: row.ended_at.map(|at| at.to_string()),
        }
    }
}

/// The endpoints beside the reads.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(preview))
        .routes(routes!(report))
        .routes(routes!(cancel))
        .routes(routes!(undo))
}

/// Uploads a file of contacts and starts importing it. The body is the file itself, at most 512 MiB: CSV with a heading
/// (comma, semicolon or tab; UTF-8 or Windows-1252), or NDJSON whose keys are the fields. Without `mapping` the columns
/// are matched by their headings. With an `Idempotency-Key` the same file can safely be sent again.
#[utoipa::path(post, path = "/v1/imports", tag = "imports",
    request_body(content = String, content_type = "text/csv", description = "The file"),
    params(("label" = Option<String>, Query, description = "What the import is called; no personal data"),
        ("duplicates" = Option<String>, Query, description = "`skip` (default) or `merge` rows whose e-mail address a contact has"),
        ("dry_run" = Option<bool>, Query, description = "Check and count everything, store nothing"),
        ("encoding" = Option<String>, Query, description = "`utf-8` or `windows-1252`; found out when absent"),
        ("format" = Option<String>, Query, description = "`csv` or `ndjson`; from the Content-Type when absent"),
        ("mapping" = Option<String>, Query, description = "JSON: column to field, `{\"E-Mail\": \"email\"}`"),
        ("tags" = Option<String>, Query, description = "Tags every row gets, separated by commas")),
    responses((status = 201, body = CommandReceipt), (status = 413, body = ProblemDocument),
        (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
async fn start(
    State(app): State<App>,
    caller: Caller,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    file: Body,
) -> Result<Response, Problem> {
    caller.allow(WRITE)?;
    let wanted = Wanted::parse(query.as_deref(), &headers)?;
    let key = IdempotencyKey::from_headers(&headers)?;
    let command = key.command_id(caller.tenant.as_str(), caller.principal(), method.as_str(), uri.path());
    let _running = app.running().begin(command)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_FILE) {
        return Err(Problem::payload_too_large(MAX_FILE));
    }
    let Received { blob, encoding, mapping } =
        app.imports.receive(&caller.tenant, pieces(file), MAX_FILE as u64, wanted.form.clone()).await?;
    let correlation = Correlation::from_headers(&headers);
    // The file is named by its content, so it stands for it here.
    let content = [blob.as_bytes(), b"?", query.as_deref().unwrap_or_default().as_bytes()].concat();
    let meta = Meta {
        command: command.id,
        actor: caller.actor.clone(),
        correlation: correlation.id(),
        content: command.repeatable.then_some(content),
        if_match: None,
        trace: Some(correlation.traceparent()),
        at: None,
    };
    let plan = ImportPlan {
        label: wanted.label,
        format: wanted.form.format,
        mapping,
        duplicates: wanted.duplicates,
        encoding,
        blob,
        dry_run: wanted.dry_run,
        tags: wanted.tags,
    };
    let id = meta.command.aggregate(0);
    let receipt = app.writer.execute::<Import>(&caller.tenant, id, &meta, &ImportCommand::Start { plan }).await?;
    Ok(app.created("imports", id, &receipt))
}

/// A body as it comes in, in memory one piece at a time.
fn pieces(body: Body) -> BoxStream<'static, Result<Bytes, Problem>> {
    let broken = |error: axum::Error| {
        let mut source = Some(&error as &(dyn Error + 'static));
        while let Some(inner) = source {
            if let Some(slow) = inner.downcast_ref::<TooSlow>() {
                return Problem::new(crate::http::codes::ProblemCode::RequestTimeout, slow.to_string());
            }
            source = inner.source();
        }
        let detail = "the connection ended before the file did; send it again";
        Problem::new(crate::http::codes::ProblemCode::RequestTimeout, detail)
    };
    body.into_data_stream().map(move |piece| piece.map_err(broken)).boxed()
}

/// Shows what the beginning of a file would become: encoding, delimiter, columns, the mapping they suggest, and the first
/// rows. The body is at most the first 64 KiB; `cut=true` says that the file goes on behind it. Nothing is stored.
#[utoipa::path(post, path = "/v1/imports/preview", tag = "imports",
    request_body(content = String, content_type = "text/csv", description = "The beginning of the file"),
    params(("cut" = Option<bool>, Query, description = "The file goes on behind this"),
        ("encoding" = Option<String>, Query), ("format" = Option<String>, Query),
        ("mapping" = Option<String>, Query, description = "A mapping to try")),
    responses((status = 200, body = ImportPreview), (status = 413, body = ProblemDocument),
        (status = 422, body = ProblemDocument)))]
async fn preview(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    mut request: Request,
) -> Result<Json<ImportPreview>, Problem> {
    caller.allow(WRITE)?;
    let (form, cut) = query::preview(query.as_deref(), request.headers())?;
    request.extensions_mut().insert(BodyLimit(MAX_HEAD));
    let head = body::read(request).await?;
    Ok(Json(app.imports.preview(head, cut, form).await?))
}

/// What became of each row, in the order of the file. `of=undo` is the report of taking the import back.
#[utoipa::path(get, path = "/v1/imports/{id}/report", tag = "imports",
    params(("id" = Uuid, Path), ("after" = Option<String>, Query, description = "The `next` of the previous page"),
        ("limit" = Option<u64>, Query, description = "1 to 1000, 100 when absent"),
        ("outcome" = Option<String>, Query, description = "Only these outcomes, separated by commas: `failed`"),
        ("of" = Option<String>, Query, description = "`import` (default) or `undo`")),
    responses((status = 200, body = ReportPage), (status = 404, body = ProblemDocument)))]
async fn report(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    RawQuery(query): RawQuery,
) -> Result<Json<ReportPage>, Problem> {
    caller.allow(READ)?;
    let wanted = ReportQuery::parse(query.as_deref())?;
    let import = app.writer.load::<Import>(&caller.tenant, id).await?;
    if import.state.status() == ImportStatus::Absent {
        return Err(writers::WriteError::from(ImportRejection::Unknown).into());
    }
    Ok(Json(app.imports.report(&caller.tenant, id, wanted).await?))
}

/// Stops an import. Rows that are done stay; `undo` takes them back.
#[utoipa::path(post, path = "/v1/imports/{id}/cancel", tag = "imports", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
        (status = 422, description = "import_not_running", body = ProblemDocument)))]
async fn cancel(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, ImportCommand::Cancel).await
}

/// Takes an import back: contacts it made are erased, contacts it changed get back what they had, as far as nobody built
/// on it since. The report with `of=undo` says what was kept and why.
#[utoipa::path(post, path = "/v1/imports/{id}/undo", tag = "imports", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
        (status = 422, description = "import_running, import_dry_run", body = ProblemDocument)))]
async fn undo(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, ImportCommand::StartUndo).await
}

async fn run(app: &App, id: Uuid, command: &Command, what: ImportCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Import>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
