//! `/v1/files`

mod content;
pub mod desk;
mod upload;
pub(super) mod uses;

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        correlation::Correlation,
        etag::IfMatch,
        extract::{Path, Query},
        idempotency::IdempotencyKey,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    resource::{Resource, read_scope},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri},
    response::Response,
};
use bus_schema::{CommandId, Keyring, TenantId, cms::media::Family};
pub use content::{respond, segment};
use desk::FileSpace;
use projectors::{
    Record, RecordView,
    cms::files::{FileRow, Files},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    cms::file::{File, FileCommand},
};

const WRITE: &str = "cms.file:write";
const ERASE: &str = "cms.file:erase";

pub struct FileResource;

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = File)]
pub struct FileJson {
    pub id: Uuid,
    pub revision: u64,
    pub name: String,
    /// What its bytes were found to be.
    #[serde(rename = "type")]
    #[schema(example = "image/png")]
    pub media_type: String,
    /// image, audio, video, document, font or archive.
    pub family: &'static str,
    /// Bytes.
    pub size: u64,
    pub sha256: String,
    pub alt: String,
    /// Of a picture, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Where everybody gets it, under every host of the platform; for pages and, behind the platform's own address, mails.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    pub deleted: bool,
    /// Of a deleted file: until then it can be reinstated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restorable_until: Option<String>,
    pub uploaded_by: String,
    pub created_at: String,
    pub updated_at: String,
}

/// The public address of a file.
pub fn public_path(tenant: &TenantId, id: Uuid, name: &str) -> String {
    format!("/sites/{tenant}/files/{id}/{}", segment(name))
}

impl Resource for FileResource {
    type View = Files;
    type Json = FileJson;
    const NOUN: &'static str = "file";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("name", FieldType::Text),
            ("type", FieldType::Keyword),
            ("family", FieldType::Choice(&Family::NAMES)),
            ("sha256", FieldType::Keyword),
            ("size", FieldType::Integer),
            ("deleted", FieldType::Bool),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["name", "type", "size", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["family", "type", "deleted"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<FileRow>, _keys: &Keyring) -> FileJson {
        let row = &record.row;
        FileJson {
            id,
            revision: record.revision,
            name: row.name.clone(),
            media_type: row.media_type.clone(),
            family: row.family(),
            size: row.size,
            sha256: row.blob.clone(),
            alt: row.alt.clone(),
            width: row.pixels.map(|pixels| pixels.width),
            height: row.pixels.map(|pixels| pixels.height),
            url: String::new(),
            deleted: row.is_deleted(),
            restorable_until: row.until.map(|until| until.to_string()),
            uploaded_by: row.uploaded_by.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }

    fn present_in(tenant: &TenantId, id: Uuid, record: &Record<FileRow>, keys: &Keyring) -> FileJson {
        FileJson { url: public_path(tenant, id, &record.row.name), ..Self::present(id, record, keys) }
    }
}

/// The endpoints beside the reads.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(space))
        .routes(routes!(download, put))
        .routes(routes!(change, delete))
        .routes(routes!(reinstate))
        .routes(routes!(erase))
}

/// What is said of a file in the address.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// The file's name; of a form, instead of the one in it. A path before it is cut off.
    name: Option<String>,
    /// What stands for it where it cannot be seen.
    alt: Option<String>,
}

/// Uploads a file: a form (`multipart/form-data`) with the fields `file`, `name` and `alt`, or the file itself with its
/// Content-Type and `?name=`. What the bytes are must fit what they are called: pictures (PNG, JPEG, GIF, WebP, AVIF, SVG), sound,
/// film, PDF, office documents, text, CSV, fonts and ZIP; HTML is not taken. At most 25 MiB, unless the installation says
/// otherwise. The same bytes are kept once within a tenant. With an `Idempotency-Key` the same file can safely be sent again.
#[utoipa::path(post, path = "/v1/files", tag = "files", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "multipart/form-data", description = "The file"),
    responses((status = 201, body = CommandReceipt), (status = 413, description = "Too large, or the quota is used up", body = ProblemDocument),
        (status = 415, description = "type_not_allowed", body = ProblemDocument),
        (status = 422, description = "type_mismatch, empty_file, unreadable_image, too_many_pixels, invalid_name", body = ProblemDocument)))]
async fn upload(
    State(app): State<App>,
    caller: Caller,
    (method, uri): (Method, Uri),
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.allow(WRITE)?;
    let key = IdempotencyKey::from_headers(&headers)?;
    let command = key.command_id(caller.tenant.as_str(), caller.principal(), method.as_str(), uri.path());
    let _running = app.running().begin(command)?;
    let received = upload::receive(&app, &caller.tenant, &headers, query.name, query.alt, body).await?;
    let fingerprint = command.repeatable.then(|| received.fingerprint());
    let meta = meta(&caller, &headers, command.id, fingerprint);
    store(&app, &caller, command.id.aggregate(0), &meta, received).await
}

/// Uploads the body as a file under an id of the caller's own making (a UUID nobody can guess: it is in the file's
/// address). Sent again with the same bytes, it changes nothing; other bytes are refused, because content never changes.
#[utoipa::path(put, path = "/v1/files/{id}/content", tag = "files", params(("id" = Uuid, Path), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file"),
    responses((status = 201, body = CommandReceipt), (status = 409, description = "file_exists", body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.allow(WRITE)?;
    // `*`: whether there is one already is what the command itself finds out.
    IfMatch::from_headers(&headers)?;
    let received = upload::receive(&app, &caller.tenant, &headers, query.name, query.alt, body).await?;
    let meta = meta(&caller, &headers, CommandId::random(), None);
    store(&app, &caller, id, &meta, received).await
}

fn meta(caller: &Caller, headers: &HeaderMap, command: CommandId, content: Option<Vec<u8>>) -> Meta {
    let correlation = Correlation::from_headers(headers);
    Meta {
        command,
        actor: caller.actor.clone(),
        correlation: correlation.id(),
        content,
        if_match: None,
        trace: Some(correlation.traceparent()),
        at: None,
    }
}

async fn store(
    app: &App,
    caller: &Caller,
    id: Uuid,
    meta: &Meta,
    received: upload::Received,
) -> Result<Response, Problem> {
    let upload::Received { content, name, alt } = received;
    let command = FileCommand::Upload { content, name, alt };
    let receipt = app.writer.execute::<File>(&caller.tenant, id, meta, &command).await?;
    Ok(app.created("files", id, &receipt))
}

/// How much the tenant has uploaded and may upload.
#[utoipa::path(get, path = "/v1/files/space", tag = "files", responses((status = 200, body = FileSpace)))]
async fn space(State(app): State<App>, caller: Caller) -> Result<Json<FileSpace>, Problem> {
    caller.allow(&read_scope::<FileResource>())?;
    Ok(Json(app.files.space(&caller.tenant).await?))
}

/// The bytes of a file, also of a deleted one; `HEAD` answers without them. Answers `Range`, `If-Range` and `If-None-Match`; the tag is the SHA-256.
#[utoipa::path(get, path = "/v1/files/{id}/content", tag = "files", params(("id" = Uuid, Path)), responses(
    (status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 206, description = "The range"),
    (status = 304, description = "The caller holds it"), (status = 404, body = ProblemDocument),
    (status = 416, description = "Nothing of the file lies in the range")))]
async fn download(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.allow(&read_scope::<FileResource>())?;
    app.settle(Files::NAME, &consistency).await?;
    let record = app.views.record::<Files>(&caller.tenant, id).await?;
    let row = record.ok_or_else(|| Problem::not_found(FileResource::NOUN))?.row;
    let file = app.files.open(&caller.tenant, &row.blob).await?;
    let cache = HeaderValue::from_static("private, no-cache");
    respond(file, &row, &method, &headers, cache).map_err(|error| Problem::unavailable(&error, 5))
}

/// What to change; a field that is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct FileChanges {
    pub name: Option<String>,
    pub alt: Option<String>,
}

/// Gives the file another name or alternative text. Addresses with the old name lead to the new one.
#[utoipa::path(patch, path = "/v1/files/{id}", tag = "files", request_body = FileChanges, params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument), (status = 412, body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<FileChanges>,
) -> Result<Response, Problem> {
    let FileChanges { name, alt } = &command.body;
    run(&app, id, &command, WRITE, FileCommand::Change { name: name.clone(), alt: alt.clone() }).await
}

/// Takes the file away from everybody. It can be brought back for 30 days; browsers that have it may keep it.
#[utoipa::path(delete, path = "/v1/files/{id}", tag = "files", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn delete(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, WRITE, FileCommand::Delete).await
}

/// Brings a deleted file back.
#[utoipa::path(post, path = "/v1/files/{id}/reinstate", tag = "files", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 409, description = "too_late, file_erased", body = ProblemDocument)))]
async fn reinstate(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, WRITE, FileCommand::Reinstate).await
}

/// Removes the file for good, also from the past: its bytes are gone within a day or two, unless another file has the same.
/// Cannot be undone. Needs `cms.file:erase`.
#[utoipa::path(post, path = "/v1/files/{id}/erase", tag = "files", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn erase(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, ERASE, FileCommand::Erase).await
}

async fn run<T>(
    app: &App,
    id: Uuid,
    command: &Command<T>,
    scope: &str,
    what: FileCommand,
) -> Result<Response, Problem> {
    command.allow(scope)?;
    let receipt = app.writer.execute::<File>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
