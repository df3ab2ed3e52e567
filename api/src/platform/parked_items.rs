//! `/v1/parked-items`: events that workers have given up, in all tenants. Only for the tenant that operates the
//! installation.

use super::workers::board_wait;
use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt, NoBody},
    http::{
        extract::{Path, Query},
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use projectors::platform::board::ParkedEntry;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::platform::parked_item::{ParkedItem, ParkedItemCommand};

const READ: &str = "platform.parked_item:read";
const WRITE: &str = "platform.parked_item:write";
/// Items of a page.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(retry)).routes(routes!(give_up))
}

/// An event a worker has given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParkedItem)]
pub struct ParkedItemJson {
    pub id: Uuid,
    /// The tenant of the event.
    pub tenant: String,
    pub worker: String,
    /// `parked`, or `retrying` while the worker tries again.
    pub state: &'static str,
    /// Why it failed the last time.
    pub cause: String,
    /// How often it was tried since the worker was started. 0: not at all, because it seems to end the processes that take it.
    pub attempts: u32,
    /// How often it was parked.
    pub times_parked: u32,
    pub parked_at: String,
    pub event: ParkedEvent,
}

/// The event, without its content.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedEvent {
    /// `cell:position` in the log.
    #[schema(example = "eu1:48213")]
    pub position: String,
    pub id: Uuid,
    #[schema(example = "order.paid")]
    pub kind: String,
    /// `context.aggregate.id`.
    pub subject: String,
}

/// A page of parked items, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedItemList {
    pub items: Vec<ParkedItemJson>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    pub total: usize,
}

fn present(app: &App, entry: ParkedEntry) -> ParkedItemJson {
    let ParkedEntry { id, tenant, item, retrying, times, at, .. } = entry;
    ParkedItemJson {
        id,
        tenant: tenant.to_string(),
        worker: item.worker,
        state: if retrying { "retrying" } else { "parked" },
        cause: item.cause,
        attempts: item.attempts,
        times_parked: times,
        parked_at: at.to_string(),
        event: ParkedEvent {
            position: format!("{}:{}", app.cell, item.position),
            id: item.event.0,
            kind: item.kind,
            subject: item.subject,
        },
    }
}

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ParkedQuery {
    /// Only those of this worker.
    worker: Option<String>,
    /// Only those of this tenant.
    tenant: Option<String>,
    /// The `next` of the page before.
    after: Option<u64>,
    /// 1 to 1000, 100 when absent.
    limit: Option<usize>,
    #[serde(rename = "wait_ms")]
    #[param(ignore)]
    _wait_ms: Option<u64>,
}

/// Everything that is parked, in all tenants, the oldest first. Only for the tenant that operates the installation.
#[utoipa::path(get, path = "/v1/parked-items", tag = "parked-items", params(ParkedQuery),
    responses((status = 200, body = ParkedItemList)))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Query(query): Query<ParkedQuery>,
) -> Result<Json<ParkedItemList>, Problem> {
    caller.allow(READ)?;
    board_wait(&app, &consistency).await;
    let mut entries = app.board.parked(query.worker.as_deref());
    entries.retain(|entry| query.tenant.as_deref().is_none_or(|tenant| entry.tenant.as_str() == tenant));
    let total = entries.len();
    entries.retain(|entry| query.after.is_none_or(|after| entry.first > after));
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.first.to_string());
    let items = entries.into_iter().map(|entry| present(&app, entry)).collect();
    Ok(Json(ParkedItemList { items, next, total }))
}

fn find(app: &App, id: Uuid) -> Result<ParkedEntry, Problem> {
    app.board.parked_item(id).ok_or_else(|| Problem::not_found("parked item"))
}

/// One parked item. 404 when it was handled or dropped.
#[utoipa::path(get, path = "/v1/parked-items/{id}", tag = "parked-items", params(("id" = Uuid, Path)),
    responses((status = 200, body = ParkedItemJson), (status = 404, body = ProblemDocument)))]
async fn one(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<ParkedItemJson>, Problem> {
    caller.allow(READ)?;
    board_wait(&app, &consistency).await;
    Ok(Json(present(&app, find(&app, id)?)))
}

/// Lets the worker try again, at once. The item is gone from the list when it succeeds, and parked again when not.
#[utoipa::path(post, path = "/v1/parked-items/{id}/retry", tag = "parked-items", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "not_parked", body = ProblemDocument)))]
async fn retry(State(app): State<App>, Path(id): Path<Uuid>, command: Command<NoBody>) -> Result<Response, Problem> {
    tell(&app, id, &command, ParkedItemCommand::Retry).await
}

/// Why nobody wants it done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct NewDrop {
    /// No personal data.
    pub reason: String,
}

/// Drops an item: its effect will never happen. The event stays in the log.
#[utoipa::path(post, path = "/v1/parked-items/{id}/drop", tag = "parked-items", request_body = NewDrop,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "not_parked", body = ProblemDocument)))]
async fn give_up(State(app): State<App>, Path(id): Path<Uuid>, command: Command<NewDrop>) -> Result<Response, Problem> {
    let reason = command.body.reason.clone();
    tell(&app, id, &command, ParkedItemCommand::Drop { reason }).await
}

async fn tell<T>(app: &App, id: Uuid, command: &Command<T>, what: ParkedItemCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    // The event's tenant, which is seldom the operator's own.
    let tenant = find(app, id)?.tenant;
    let receipt = app.writer.execute::<ParkedItem>(&tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
