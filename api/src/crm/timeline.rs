//! `/v1/contacts/{id}/timeline`: a contact's own events, its orders and its enrolments, newest first.

use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
};
use axum::{
    Json,
    extract::{Query, State},
};
use projectors::crm::timeline::{TIMELINE, TimelineEntry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(timeline))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    /// 1 to 200, 50 when absent.
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<u64>,
    /// How long to wait for the consistency token.
    #[serde(rename = "wait_ms")]
    #[param(rename = "wait_ms")]
    _wait_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineJson {
    pub items: Vec<TimelineItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// When the person was erased; items are then without actor and summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// One event that concerns the contact. No personal data.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineItem {
    /// Position in the log.
    pub position: u64,
    pub kind: String,
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub context: String,
    pub aggregate: String,
    pub id: Uuid,
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub summary: Map<String, Value>,
}

/// What happened with a contact, newest first.
#[utoipa::path(get, path = "/v1/contacts/{id}/timeline", tag = "contacts",
    params(("id" = Uuid, Path), TimelineQuery),
    responses((status = 200, body = TimelineJson), (status = 404, body = ProblemDocument)))]
async fn timeline(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<TimelineJson>, Problem> {
    caller.allow("crm.contact:read")?;
    app.settle(TIMELINE, &consistency).await?;
    let limit = query.limit.unwrap_or(50).clamp(1, 200);
    let page = app.views.timeline(&caller.tenant, id, query.after, limit).await?;
    if page.entries.is_empty() && query.after.is_none() {
        return Err(Problem::not_found("contact"));
    }
    let erased = page.erased_at.is_some();
    let next = page.entries.last().filter(|_| page.more).map(|(position, _)| *position);
    let item = |(position, entry): (u64, TimelineEntry)| TimelineItem {
        position,
        kind: entry.kind,
        at: entry.at.to_string(),
        actor: (!erased).then(|| entry.actor.to_string()),
        context: entry.context,
        aggregate: entry.aggregate,
        id: entry.id,
        summary: if erased { Map::new() } else { entry.summary },
    };
    let items = page.entries.into_iter().map(item).collect();
    Ok(Json(TimelineJson { items, next, erased_at: page.erased_at.map(|at| at.to_string()) }))
}
