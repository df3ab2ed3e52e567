//! Replays: a view built once more beside the live ones, for one tenant, up to a time or position, and queried.
//!
//! `POST /v1/replays` begins one, `GET /v1/replays/{id}` tells how far it is, `GET /v1/replays/{id}/records` asks it
//! with the filter and sort of the live list. A replay lives for half an hour after its last use.

mod query;
mod registry;

use crate::{
    app::App,
    caller::Caller,
    command::Command,
    describe,
    history::AsOf,
    http::{
        extract::Path,
        problem::{FieldError, Problem},
    },
};
use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use projectors::replay::Replay;
pub use query::Replayable;
use registry::Running;
pub use registry::{ReplayStatus, Replays};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes(replayable: Vec<Replayable>) -> OpenApiRouter<App> {
    let replayable = Arc::new(replayable);
    let handler = move |State(app): State<App>, caller: Caller, Path(id): Path<Uuid>, RawQuery(query): RawQuery| {
        let replayable = replayable.clone();
        async move { query::records(&app, &caller, id, query.as_deref(), &replayable).await }
    };
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(status, discard))
        .routes(describe::replayed_records().answered_by(get(handler)))
}

/// What to replay.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"view": "contacts", "until": "2026-06-30T23:59:59Z"}))]
pub struct NewReplay {
    /// A collection: contacts, pages, products, …
    pub view: String,
    /// Up to this time (RFC 3339) or position (eu1:48213), included; everything when absent.
    pub until: Option<String>,
}

/// Begins a replay. Nothing live is touched and no effect runs.
#[utoipa::path(post, path = "/v1/replays", tag = "events", request_body = NewReplay,
    responses((status = 202, body = ReplayStatus)))]
async fn begin(State(app): State<App>, command: Command<NewReplay>) -> Result<Response, Problem> {
    command.allow("*.*:read")?;
    let new = &command.body;
    let until = new.until.as_deref().map(AsOf::parse).transpose()?;
    let projection = app.views.projection(&new.view).map_err(|_| {
        let message = "there is no such view; `GET /v1/views` lists them";
        Problem::validation(vec![FieldError::new("/view", "unknown_view", message)])
    })?;
    let replay = Arc::new(Replay::new(app.views.scratch().clone(), projection, command.caller.tenant.clone()));
    let running = app.replays().admit(command.meta.command.0, &new.view, replay.clone())?;
    let bus = app.bus.clone();
    tokio::spawn({
        let running = running.clone();
        async move {
            let wanted = |event: &bus_schema::StoredEvent| until.is_none_or(|until| until.includes(event));
            let upto = until.and_then(AsOf::position).unwrap_or(u64::MAX);
            running.finish(replay.run(&bus, upto, wanted).await);
        }
    });
    Ok((StatusCode::ACCEPTED, Json(running.status())).into_response())
}

/// How far a replay is.
#[utoipa::path(get, path = "/v1/replays/{id}", tag = "events", params(("id" = Uuid, Path)),
    responses((status = 200, body = ReplayStatus)))]
async fn status(State(app): State<App>, caller: Caller, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    Ok(Json(find(&app, &caller, id)?.status()).into_response())
}

/// Drops a replay before its time.
#[utoipa::path(delete, path = "/v1/replays/{id}", tag = "events", params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn discard(State(app): State<App>, caller: Caller, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    find(&app, &caller, id)?;
    app.replays().discard(id).await;
    Ok(StatusCode::NO_CONTENT)
}

fn find(app: &App, caller: &Caller, id: Uuid) -> Result<Arc<Running>, Problem> {
    caller.allow("*.*:read")?;
    app.replays().find(id, &caller.tenant).ok_or_else(|| Problem::not_found("replay"))
}
