//! Operating the platform through the API: the views and their generations.

use crate::{app::App, caller::Caller, http::problem::Problem};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{delete, get, post},
};
use projectors::lane::ViewStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The scope of operators.
const OPERATE: &str = "platform.view:write";

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/views", get(list))
        .route("/v1/views/{view}/build", post(build))
        .route("/v1/views/{view}/switch", post(switch))
        .route("/v1/views/{view}/resume", post(resume))
        .route("/v1/views/generations/{generation}", delete(retire))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ViewList {
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<ViewStatus>,
    pub log_position: u64,
}

async fn list(State(app): State<App>, caller: Caller) -> Result<Json<ViewList>, Problem> {
    caller.allow("platform.view:read")?;
    let log_position = app.readiness().await.log_position;
    Ok(Json(ViewList { items: app.views.status(), log_position }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GenerationName {
    #[schema(example = "contacts_v1_g1")]
    pub generation: String,
}

async fn build(
    State(app): State<App>,
    caller: Caller,
    Path(view): Path<String>,
) -> Result<Json<GenerationName>, Problem> {
    caller.allow(OPERATE)?;
    Ok(Json(GenerationName { generation: app.views.build(&view).await?.to_string() }))
}

async fn switch(
    State(app): State<App>,
    caller: Caller,
    Path(view): Path<String>,
) -> Result<Json<GenerationName>, Problem> {
    caller.allow(OPERATE)?;
    Ok(Json(GenerationName { generation: app.views.switch(&view).await?.to_string() }))
}

async fn retire(
    State(app): State<App>,
    caller: Caller,
    Path(generation): Path<String>,
) -> Result<Json<GenerationName>, Problem> {
    caller.allow(OPERATE)?;
    app.views.retire(&generation).await?;
    Ok(Json(GenerationName { generation }))
}

/// How to go on with a paused view.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Pass over this event for good. Its effect will be missing from the view until it is rebuilt.
    pub skip: Option<u64>,
}

async fn resume(
    State(app): State<App>,
    Path(view): Path<String>,
    command: crate::command::Command<Resume>,
) -> Result<Json<GenerationName>, Problem> {
    command.allow(OPERATE)?;
    app.views.resume(&view, command.body.skip)?;
    if let Some(seq) = command.body.skip {
        tracing::warn!(%view, seq, actor = %command.caller.actor, "an event is passed over by an operator's order");
    }
    Ok(Json(GenerationName { generation: app.views.serving(&view)?.generation().to_string() }))
}
