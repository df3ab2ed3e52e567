//! The tenant's log as a feed: bounded or following, as JSON pages, NDJSON or server-sent events.
//!
//! `GET /v1/events` and `GET /v1/changes?since=` are the same reader. Both are resumable: every event carries its
//! position, and a client goes on from the last one it has.

mod query;
mod stream;

use crate::{
    app::App,
    caller::Caller,
    describe,
    history::{EventJson, event_json, keys_of},
    http::problem::Problem,
};
use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bus_schema::StoredEvent;
use query::{FeedQuery, Form};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

/// A page of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedPage {
    pub items: Vec<EventJson>,
    /// Go on with `since=` this; also when no item was found up to here.
    pub next: String,
    /// Whether there is more now.
    pub more: bool,
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(describe::feed("/v1/events", "The tenant's log", "list").answered_by(get(feed)))
        .routes(describe::feed("/v1/changes", "What changed since a position", "changes").answered_by(get(feed)))
}

async fn feed(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Problem> {
    let query = FeedQuery::parse(raw.as_deref().unwrap_or_default(), &headers)?;
    caller.allow(&query.scope())?;
    let range = query.range(&app, &caller.tenant).await?;
    match query.form {
        Form::Page => {
            let (events, next, more) = stream::page(&app, &caller.tenant, &query, range).await?;
            let keys = keys_of(&app, &caller.tenant, &events).await?;
            let items = events.iter().map(|event: &StoredEvent| event_json(event, &keys)).collect();
            let next = format!("{}:{next}", query.cell(&app));
            Ok(Json(FeedPage { items, next, more }).into_response())
        }
        Form::Ndjson => {
            let mut response = stream::ndjson(app, caller, query, range).await?.into_response();
            let ndjson = HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
            Ok(response)
        }
        Form::ServerSentEvents => stream::sse(app, caller, query, range).await,
    }
}
