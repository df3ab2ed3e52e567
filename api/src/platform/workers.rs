//! `/v1/workers`: what acts on the log. Only for the tenant that operates the installation.

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt, NoBody},
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use bus_schema::platform::worker::worker_id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::platform::worker::{Worker, WorkerCommand};

const READ: &str = "platform.worker:read";
const WRITE: &str = "platform.worker:write";

/// How long a read waits for the board at most: it follows the log within milliseconds.
const BOARD_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// The port to the workers.
pub trait Workforce: Send + Sync + 'static {
    /// Every worker as it stands now, in whatever process it runs.
    fn workers(&self) -> Vec<WorkerJson>;

    /// Those of this process, which it measures.
    fn own(&self) -> Vec<WorkerJson>;
}

/// A worker.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerJson {
    #[schema(example = "campaigns")]
    pub name: String,
    /// Where it runs; absent where all run in one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// `running`, `paused`, `standby`: another process does its work; or `stopped`: it ended although nobody asked it to.
    pub state: String,
    /// Everything up to here in the log was looked at; 0 for a worker that does not follow it.
    pub position: u64,
    /// Items that wait for it; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Items it is handling now.
    pub in_flight: u64,
    /// How many it handles at once at most.
    pub concurrency: u64,
    /// Items it has done since the process started.
    pub done: u64,
    /// Items it has given up until somebody looks at them.
    pub parked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<WorkerError>,
}

/// What went wrong last.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerError {
    pub at: String,
    pub why: String,
}

/// The workers of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerList {
    pub items: Vec<WorkerJson>,
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pause)).routes(routes!(resume))
}

/// Waits until the board has what the caller wrote. What it wrote elsewhere does not concern the board, so this ends in any
/// case.
pub(super) async fn board_wait(app: &App, consistency: &Consistency) {
    if let Some(position) = consistency.token.position(app.cell.as_str()) {
        app.board.wait(position, BOARD_WAIT.min(consistency.wait)).await;
    }
}

/// Every worker: whether it runs, how far it is, what went wrong last. Only for the tenant that operates the installation.
#[utoipa::path(get, path = "/v1/workers", tag = "workers", responses((status = 200, body = WorkerList)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<WorkerList>, Problem> {
    caller.allow(READ)?;
    Ok(Json(WorkerList { items: app.workforce.workers() }))
}

/// Why a worker is paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct NewPause {
    /// No personal data.
    pub reason: String,
}

/// Pauses a worker: what it has begun comes to a safe end, nothing new is begun until it is resumed, also after a restart.
#[utoipa::path(post, path = "/v1/workers/{name}/pause", tag = "workers", request_body = NewPause,
    params(("name" = String, Path, example = "campaigns")),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn pause(
    State(app): State<App>,
    Path(name): Path<String>,
    command: Command<NewPause>,
) -> Result<Response, Problem> {
    let what = WorkerCommand::Pause { worker: name.clone(), reason: command.body.reason.clone() };
    tell(&app, &name, &command, what).await
}

/// Lets a paused worker go on.
#[utoipa::path(post, path = "/v1/workers/{name}/resume", tag = "workers",
    params(("name" = String, Path, example = "campaigns")),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn resume(
    State(app): State<App>,
    Path(name): Path<String>,
    command: Command<NoBody>,
) -> Result<Response, Problem> {
    tell(&app, &name, &command, WorkerCommand::Resume { worker: name.clone() }).await
}

async fn tell<T>(app: &App, name: &str, command: &Command<T>, what: WorkerCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    if app.workforce.workers().iter().all(|worker| worker.name != name) {
        return Err(Problem::not_found("worker"));
    }
    let (tenant, id) = (&command.caller.tenant, worker_id(name));
    let receipt = app.writer.execute::<Worker>(tenant, id, &command.meta, &what).await?;
    // The answer is given when it is so.
    app.board.wait(receipt.position, BOARD_WAIT).await;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// What keeps the platform from being ready, as far as its workers go.
pub fn problems(workers: &[WorkerJson]) -> impl Iterator<Item = String> {
    workers.iter().filter(|worker| worker.state == "stopped").map(|worker| {
        let why = worker.last_error.as_ref().map_or("see the log output", |error| error.why.as_str());
        format!("the worker {} ended although nobody asked it to: {why}; restart the platform", worker.name)
    })
}

/// What an operator should look at although the platform is ready; once, in however many processes a worker runs.
pub fn notes(workers: &[WorkerJson], alarms: usize) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut note = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    for worker in workers {
        if worker.state == "paused" {
            note(format!("the worker {0} is paused; `millrace workers resume {0}` lets it go on", worker.name));
        }
        if worker.parked > 0 {
            let (parked, name) = (worker.parked, &worker.name);
            note(format!("{parked} items of {name} are parked; see `millrace workers parked list`"));
        }
    }
    if alarms > 0 {
        notes.push(format!("{alarms} alarms are raised; see `millrace workers alarms`"));
    }
    notes
}

/// The metrics of all workers, in the text format of Prometheus.
pub fn render(workers: &[WorkerJson], alarms: usize, out: &mut String) {
    use crate::http::metrics::{label_text, render_head};
    use std::fmt::Write as _;
    type Figure = fn(&WorkerJson) -> Option<u64>;
    let figures: [(&str, &str, &str, Figure); 7] = [
        ("millrace_worker_up", "gauge", "1 unless the worker ended although nobody asked it to.", |worker| {
            Some(u64::from(worker.state != "stopped"))
        }),
        ("millrace_worker_paused", "gauge", "1 while an operator has paused the worker.", |worker| {
            Some(u64::from(worker.state == "paused"))
        }),
        ("millrace_worker_position", "gauge", "Position of the log up to which it has looked.", |worker| {
            Some(worker.position)
        }),
        ("millrace_worker_lag", "gauge", "Items that wait for the worker.", |worker| worker.lag),
        ("millrace_worker_in_flight", "gauge", "Items the worker is handling.", |worker| Some(worker.in_flight)),
        ("millrace_worker_done_total", "counter", "Items done since the process started.", |worker| Some(worker.done)),
        ("millrace_worker_parked", "gauge", "Items given up until somebody looks at them.", |worker| {
            Some(worker.parked)
        }),
    ];
    for (name, kind, help, figure) in figures {
        render_head(out, name, kind, help);
        for worker in workers {
            if let Some(value) = figure(worker) {
                _ = writeln!(out, "{name}{{{}}} {value}", label_text(&[("worker", &worker.name)]));
            }
        }
    }
    render_head(out, "millrace_alarms", "gauge", "Alarms that are raised.");
    _ = writeln!(out, "millrace_alarms {alarms}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, state: &'static str) -> WorkerJson {
        WorkerJson {
            name: name.into(),
            process: None,
            state: state.into(),
            position: 9,
            lag: None,
            in_flight: 1,
            concurrency: 4,
            done: 3,
            parked: 2,
            last_error: None,
        }
    }

    #[test]
    fn a_worker_that_ended_is_a_problem() {
        let workers = [worker("eraser", "running"), worker("imports", "paused"), worker("campaigns", "stopped")];
        let found: Vec<_> = problems(&workers).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("campaigns"), "{found:?}");
        let said = notes(&workers, 1);
        assert_eq!(said.len(), 5, "a pause, three times parked, an alarm: {said:?}");
        let twice = [worker("imports", "paused"), worker("imports", "paused")];
        assert_eq!(notes(&twice, 0).len(), 2, "in two processes it is still one worker");
    }

    #[test]
    fn the_metrics_name_each_worker() {
        let mut out = String::new();
        render(&[worker("eraser", "running"), worker("imports", "stopped")], 2, &mut out);
        for line in [
            "# TYPE millrace_worker_up gauge",
            "millrace_worker_up{worker=\"eraser\"} 1",
            "millrace_worker_up{worker=\"imports\"} 0",
            "millrace_alarms 2",
            "millrace_worker_done_total{worker=\"eraser\"} 3",
            "millrace_worker_parked{worker=\"imports\"} 2",
        ] {
            assert!(out.contains(line), "{line} in {out}");
        }
        assert!(!out.contains("millrace_worker_lag{"), "what is not known is not shown");
    }
}
