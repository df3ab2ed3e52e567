//! What every command request has: who asks, which command it is (idempotency), which revision the caller saw.

use crate::{
    app::App,
    caller::Caller,
    http::{
        body::{self, JsonBody},
        correlation::Correlation,
        etag::{self, IfMatch},
        idempotency::{IdempotencyKey, RunningGuard, mark_replayed},
        problem::Problem,
        token::ConsistencyToken,
    },
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bus_schema::Micros;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use uuid::Uuid;
use writers::{Meta, Receipt, decider::Decider, writer::Loaded};

/// A command request: its body, its caller and what the writer needs beside the content.
pub struct Command<T = NoBody> {
    pub caller: Caller,
    pub body: T,
    pub meta: Meta,
    if_match_given: bool,
    _running: RunningGuard,
}

/// A command without content: `{}`, which is also what an empty body of any command stands for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

impl<T> Command<T> {
    /// 428 unless the caller said which revision it saw: for changes where a lost update would hurt.
    pub fn require_if_match(&self) -> Result<(), Problem> {
        if self.if_match_given { Ok(()) } else { Err(Problem::precondition_required()) }
    }

    /// 403 unless the caller has the scope.
    pub fn allow(&self, scope: &str) -> Result<(), Problem> {
        self.caller.allow(scope)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Command<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, stream) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let key = IdempotencyKey::from_headers(&parts.headers)?;
        let if_match = IfMatch::from_headers(&parts.headers)?;
        let correlation = Correlation::from_headers(&parts.headers);
        let path = parts.uri.path();
        let command = key.command_id(caller.tenant.as_str(), caller.principal(), parts.method.as_str(), path);
        let running = app.running().begin(command)?;
        let empty = parts.headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && !parts.headers.contains_key(header::TRANSFER_ENCODING);
        let at = happened_at(&parts.headers, &caller, app)?;
        let (body, digest) = if empty {
            (body::decode(b"{}")?, [0; 32])
        } else {
            let JsonBody { value, digest } =
                JsonBody::<T>::from_request(Request::from_parts(parts, stream), app).await?;
            (value, digest)
        };
        let meta = Meta {
            command: command.id,
            actor: caller.actor.clone(),
            correlation: correlation.id(),
            content: command.repeatable.then(|| digest.to_vec()),
            if_match: expected(&if_match)?,
            trace: Some(correlation.traceparent()),
            at,
        };
        Ok(Self { caller, body, meta, if_match_given: if_match != IfMatch::default(), _running: running })
    }
}

/// The header that says when a command of the past happened.
pub const HAPPENED_AT: &str = "millrace-happened-at";

/// The revision an `If-Match` names. `*` names none: the aggregate itself says whether it exists.
fn expected(if_match: &IfMatch) -> Result<Option<u64>, Problem> {
    if *if_match == IfMatch::default() || if_match.is_any() {
        return Ok(None);
    }
    match if_match.expected() {
        Some(revision) => Ok(Some(revision)),
        None => Err(Problem::precondition_failed(None)),
    }
}

/// When a command happened that is brought in from elsewhere (RFC 3339, not in the future). Needs a scope of its own:
/// a time in the log is evidence.
fn happened_at(headers: &HeaderMap, caller: &Caller, app: &App) -> Result<Option<Micros>, Problem> {
    let Some(value) = headers.get(HAPPENED_AT) else { return Ok(None) };
    caller.allow("platform.history:write")?;
    let at = value.to_str().ok().and_then(Micros::parse).filter(|at| *at <= app.clock.now());
    at.map(Some).ok_or_else(|| Problem::header("Millrace-Happened-At", "a time of the past, 2026-01-31T12:00:00Z"))
}

/// The answer to every command: where the record stands now. `Consistency-Token` repeats the position for reads that
/// must see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommandReceipt {
    pub id: Uuid,
    /// The record's revision after the command; `ETag` carries the same.
    pub revision: u64,
    /// `cell:position` in the log.
    #[schema(example = "eu1:48213")]
    pub position: String,
}

impl App {
    /// Answers a command to one aggregate.
    pub fn answer<D: Decider>(&self, status: StatusCode, id: Uuid, receipt: &Receipt<Loaded<D>>) -> Response {
        self.answer_at(status, id, receipt.value.revision, receipt.position, receipt.replayed)
    }

    /// Answers a creation: 201 with the record's address.
    pub fn created<D: Decider>(&self, collection: &str, id: Uuid, receipt: &Receipt<Loaded<D>>) -> Response {
        let mut response = self.answer(StatusCode::CREATED, id, receipt);
        if let Ok(location) = HeaderValue::try_from(format!("/v1/{collection}/{id}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    pub fn answer_at(&self, status: StatusCode, id: Uuid, revision: u64, position: u64, replayed: bool) -> Response {
        let token = ConsistencyToken::at(self.cell.as_str(), position);
        let body = CommandReceipt { id, revision, position: token.to_string() };
        let mut response = (status, Json(body)).into_response();
        token.write(response.headers_mut());
        response.headers_mut().insert(header::ETAG, etag::of_revision(revision));
        if replayed {
            mark_replayed(response.headers_mut());
        }
        response
    }
}
