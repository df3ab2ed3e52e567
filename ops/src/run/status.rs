//! Whether this process lives and does its part, over HTTP, for supervisors of any role. No tenant's data is here.

use ::workers::runtime::Roster;
use api::{App, platform::workers as team};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bus_schema::bus::Bus;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is looked at.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) bus: Bus,
    pub(super) roster: Roster,
    /// Of a process that answers requests too: then it is ready when they can be answered.
    pub(super) app: Option<App>,
}

pub(super) async fn serve(listener: TcpListener, seen: Seen, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(seen);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "the status is not served any more");
    }
}

async fn readyz(State(seen): State<Seen>) -> Response {
    let mut problems = Vec::new();
    if !seen.bus.is_connected() {
        problems.push("the NATS servers do not answer".to_owned());
    }
    let workers = crate::workforce::shown(&seen.roster);
    problems.extend(team::problems(&workers));
    if let Some(app) = &seen.app {
        problems = app.readiness().await.problems;
    }
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": problems.is_empty(), "problems": problems, "workers": workers }))).into_response()
}

async fn metrics(State(seen): State<Seen>) -> Response {
    let text = match &seen.app {
        Some(app) => app.registry.render(),
        None => {
            let mut out = String::new();
            team::render(&crate::workforce::shown(&seen.roster), 0, &mut out);
            out
        }
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
