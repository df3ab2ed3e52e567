//! Whether the process lives and whether it can serve; per view where it stands.

use crate::{
    app::App,
    mail::providers::{self, MailProvider},
    platform::workers::{self, WorkerJson},
    protection::ProviderReadiness,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bus_schema::subject::Family;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// The process lives; restart it when this does not answer.
#[utoipa::path(get, path = "/livez", tag = "health", security(()), responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain")))]
async fn livez() -> &'static str {
    "ok\n"
}

/// Everything measured, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses(
    (status = 200, description = "The values now", body = String, content_type = "text/plain")))]
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.registry.render())
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// What keeps it from being ready, in words.
    pub problems: Vec<String>,
    pub cell: String,
    pub log_connected: bool,
    /// The last position of the log.
    pub log_position: u64,
    pub facts_position: u64,
    #[schema(value_type = Vec<Object>)]
    pub views: Vec<projectors::lane::ViewStatus>,
    pub search_position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_trouble: Option<String>,
    /// Where the log is copied to. It never keeps the process from being ready: see `/v1/protection` and the metrics.
    pub protection: Vec<ProviderReadiness>,
    /// In the order in which they are tried. One that rests keeps nothing from being ready: its mails go to the next, or wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mail_providers: Vec<MailProvider>,
    /// What an operator should look at although the platform is ready.
    pub notes: Vec<String>,
    /// What acts on the log.
    pub workers: Vec<WorkerJson>,
    /// Alarms that are raised.
    pub alarms: usize,
}

impl App {
    /// What is in the log now has to be seen before this process is ready.
    pub async fn starts_now(&self) {
        let (log, facts) = (self.bus.last_seq(Family::Events).await, self.bus.last_seq(Family::Facts).await);
        self.catch_up().begin(log.ok().zip(facts.ok()));
    }

    pub async fn readiness(&self) -> Readiness {
        let log_connected = self.bus.is_connected();
        let mut problems = Vec::new();
        let last = async |family| if log_connected { self.bus.last_seq(family).await.ok() } else { None };
        let (log, facts) = (last(Family::Events).await, last(Family::Facts).await);
        if log.is_none() {
            problems.push("the log does not answer: commands are refused until it does".to_owned());
        }
        let (log_position, facts_position) = (log.unwrap_or(0), facts.unwrap_or(0));
        let views = self.views.status();
        self.catch_up().begin(log.zip(facts));
        for view in &views {
            if let Some(pause) = &view.paused {
                let fix = format!("see `millrace views list`, then `millrace views resume {}`", view.view);
                problems
                    .push(format!("{} is paused before event {}: {}; {fix}", view.generation, pause.seq, pause.error));
            }
            if let Some(why) = &view.interrupted {
                problems.push(format!("{} is interrupted and tries again: {why}", view.generation));
            }
            if view.stage == "serving" && view.paused.is_none() {
                let is_facts = view.stream == Family::Facts.token();
                let (family, last) =
                    if is_facts { (Family::Facts, facts_position) } else { (Family::Events, log_position) };
                problems.extend(self.catch_up().problem(&view.generation, family, view.position, last));
            }
        }
        let search_position = self.search.position();
        let search_trouble = self.search.trouble();
        if let Some(why) = &search_trouble {
            problems.push(format!("search is interrupted and tries again: {why}"));
        }
        problems.extend(self.catch_up().problem("search", Family::Events, search_position, log_position));
        let workers = self.workforce.workers();
        let alarms = self.board.alarms().len();
        let mail_providers = self.mail_providers.providers();
        let mut notes = workers::notes(&workers, alarms);
        notes.extend(providers::note(&mail_providers));
        problems.extend(workers::problems(&workers));
        if problems.is_empty() {
            self.catch_up().done();
        }
        Readiness {
            ready: problems.is_empty(),
            problems,
            cell: self.cell.to_string(),
            log_connected,
            log_position,
            facts_position,
            views,
            search_position,
            search_trouble,
            protection: self.protection.status().providers.into_iter().map(ProviderReadiness::from).collect(),
            mail_providers,
            notes,
            workers,
            alarms,
        }
    }
}

/// Whether the process can serve, and where its views stand.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "It can", body = Readiness),
    (status = 503, description = "It cannot; `problems` says why", body = Readiness)))]
async fn readyz(State(app): State<App>) -> Response {
    let readiness = app.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
