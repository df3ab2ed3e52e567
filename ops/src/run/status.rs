//! Whether this process lives and does its part, over HTTP, for supervisors of any role. No tenant's data is here.

use crate::workforce::Staff;
use api::{
    App,
    platform::workers::{self as team, Workforce},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bus_schema::bus::Bus;
use projectors::platform::board::Board;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is looked at.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) bus: Bus,
    /// Of this process.
    pub(super) staff: Arc<Staff>,
    pub(super) board: Board,
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
    let workers = seen.staff.own();
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
            team::render(&seen.staff.own(), seen.board.alarms().len(), &mut out);
            out
        }
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
