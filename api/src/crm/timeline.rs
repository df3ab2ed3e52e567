//! `/v1/contacts/{id}/timeline`

use super::contacts::ContactResource;
use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::{Path, Query},
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    resource::read_scope,
};
use axum::{Json, extract::State};
use projectors::crm::timeline::{TIMELINE, TimelineEntry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(timeline))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// 1 to 200, 50 when absent.
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<u64>,
    #[serde(rename = "wait_ms")]
    #[param(ignore)]
    _wait_ms: Option<u64>,
}

/// A page of a contact's timeline, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    pub items: Vec<Moment>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the person was erased: items then have neither actor nor summary.
    pub erased: bool,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// One event that concerns the contact.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineMoment)]
pub struct Moment {
    /// `cell:position` in the log.
    pub position: String,
    #[schema(example = "order.paid")]
    pub kind: String,
    /// RFC 3339.
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[schema(example = "shop")]
    pub context: String,
    #[schema(example = "order")]
    pub aggregate: String,
    /// The id of the contact, order, enrolment or campaign.
    pub id: Uuid,
    /// A few fields, by kind; never personal data.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub summary: Map<String, Value>,
}

/// What happened with a contact: its own events, its orders, its enrolments and the ends of its mails, newest first. Needs `crm.contact:read`.
///
/// After an erasure kinds and times stay, which say nothing about the person; actors and summaries are no longer shown.
#[utoipa::path(get, path = "/v1/contacts/{id}/timeline", tag = "contacts", params(("id" = Uuid, Path), TimelineQuery),
    responses((status = 200, body = Timeline), (status = 404, body = ProblemDocument)))]
async fn timeline(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<Timeline>, Problem> {
    caller.allow(&read_scope::<ContactResource>())?;
    app.settle(TIMELINE, &consistency).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let page = app.views.timeline(&caller.tenant, id, query.after, limit).await?;
    if page.entries.is_empty() && query.after.is_none() {
        return Err(Problem::not_found("contact"));
    }
    let next = page.entries.last().filter(|_| page.more).map(|(seq, _)| seq.to_string());
    let erased = page.erased_at.is_some();
    let moment = |(seq, entry): (u64, TimelineEntry)| Moment {
        position: format!("{}:{seq}", app.cell),
        kind: entry.kind,
        at: entry.at.to_string(),
        actor: Some(entry.actor.to_string()).filter(|_| !erased),
        context: entry.context,
        aggregate: entry.aggregate,
        id: entry.id,
        summary: if erased { Map::new() } else { entry.summary },
    };
    let items = page.entries.into_iter().map(moment).collect();
    Ok(Json(Timeline { items, next, erased, erased_at: page.erased_at.map(|at| at.to_string()) }))
}
