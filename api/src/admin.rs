//! Operating the platform through the API: the views and their generations.

use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
    },
};
use axum::{Json, extract::State};
use projectors::lane::ViewStatus;
use projectors::{skips::SkipOrder, views::ViewDigest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The scope of operators.
const OPERATE: &str = "platform.view:write";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(digests))
        .routes(routes!(build))
        .routes(routes!(switch))
        .routes(routes!(resume))
        .routes(routes!(retire))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ViewList {
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<ViewStatus>,
    pub log_position: u64,
}

/// Every generation of every view and where it stands. Only for the tenant that operates the installation.
#[utoipa::path(get, path = "/v1/views", tag = "views",
    responses((status = 200, body = ViewList)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<ViewList>, Problem> {
    caller.allow("platform.view:read")?;
    let log_position = app.readiness().await.log_position;
    Ok(Json(ViewList { items: app.views.status(), log_position }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ViewDigests {
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<ViewDigest>,
}

/// What each serving view holds, in one number: two of one version that saw the same log up to the same position have the
/// same. Reads every row. Only for the tenant that operates the installation.
#[utoipa::path(get, path = "/v1/views/digests", tag = "views", responses((status = 200, body = ViewDigests)))]
async fn digests(State(app): State<App>, caller: Caller) -> Result<Json<ViewDigests>, Problem> {
    caller.allow("platform.view:read")?;
    Ok(Json(ViewDigests { items: app.views.digests().await? }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GenerationName {
    #[schema(example = "contacts_v1_g1")]
    pub generation: String,
}

/// Builds a new generation of a view beside the one that serves.
#[utoipa::path(post, path = "/v1/views/{view}/build", tag = "views", params(("view" = String, Path, example = "contacts")),
    responses((status = 200, body = GenerationName), (status = 404, body = ProblemDocument)))]
async fn build(
    State(app): State<App>,
    caller: Caller,
    Path(view): Path<String>,
) -> Result<Json<GenerationName>, Problem> {
    caller.allow(OPERATE)?;
    Ok(Json(GenerationName { generation: app.views.build(&view).await?.to_string() }))
}

/// Lets the newest built generation serve.
#[utoipa::path(post, path = "/v1/views/{view}/switch", tag = "views", params(("view" = String, Path, example = "contacts")),
    responses((status = 200, body = GenerationName), (status = 404, body = ProblemDocument)))]
async fn switch(
    State(app): State<App>,
    caller: Caller,
    Path(view): Path<String>,
) -> Result<Json<GenerationName>, Problem> {
    caller.allow(OPERATE)?;
    Ok(Json(GenerationName { generation: app.views.switch(&view).await?.to_string() }))
}

/// Drops the tables of a generation that serves no longer.
#[utoipa::path(delete, path = "/v1/views/generations/{generation}", tag = "views", params(("generation" = String, Path, example = "contacts_v1_g1")),
    responses((status = 200, body = GenerationName), (status = 404, body = ProblemDocument)))]
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

/// Lets a paused view go on, over the event it stands at if `skip` names it.
#[utoipa::path(post, path = "/v1/views/{view}/resume", tag = "views", request_body = Resume, params(("view" = String, Path, example = "contacts")),
    responses((status = 200, body = GenerationName), (status = 404, body = ProblemDocument),
    (status = 409, description = "The view is not paused before the event `skip` names", body = ProblemDocument)))]
async fn resume(
    State(app): State<App>,
    Path(view): Path<String>,
    command: crate::command::Command<Resume>,
) -> Result<Json<GenerationName>, Problem> {
    command.allow(OPERATE)?;
    let order = |seq| SkipOrder { seq, by: command.caller.actor.to_string(), at: app.clock.now() };
    app.views.resume(&view, command.body.skip.map(order)).await?;
    if let Some(seq) = command.body.skip {
        tracing::warn!(%view, seq, actor = %command.caller.actor, "an event is passed over by an operator's order");
    }
    Ok(Json(GenerationName { generation: app.views.serving(&view)?.generation().to_string() }))
}
