//! `/v1/sessions`: signing in and out.

use super::refusals::{not_signed_in, wrong_credentials};
use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        body::JsonBody,
        codes::field,
        correlation::Correlation,
        network::PeerNetwork,
        problem::{Problem, ProblemDocument},
        token::ConsistencyToken,
    },
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bus_schema::{CommandId, TenantId, identity::session::CloseReason};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    identity::{
        session::{self, session_of},
        sign_in::Credentials,
    },
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sign_in)).routes(routes!(sign_out))
}

/// Who signs in where. Never printed: it holds the password.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"tenant": "demo", "email": "ada@example.org", "password": "Tulip-3-bridge"}))]
pub struct NewSession {
    pub tenant: String,
    pub email: String,
    pub password: String,
}

/// A session has begun.
#[derive(Serialize, ToSchema)]
pub struct SessionJson {
    /// Send it as `Authorization: Bearer`. It is shown only here.
    #[schema(example = "ms_demo_…")]
    pub token: String,
    /// The account that is signed in.
    pub account: Uuid,
    /// RFC 3339. A session also ends with another password and when the account is disabled.
    pub expires_at: String,
}

/// An attempt to sign in, counted by where it comes from before its body is read.
struct Attempt {
    body: NewSession,
    network: PeerNetwork,
    correlation: Correlation,
}

impl FromRequest<App> for Attempt {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Ok(network) = PeerNetwork::from_request_parts(&mut parts, app).await;
        app.limits().admit_stranger(&network, &parts.extensions)?;
        let correlation = Correlation::from_headers(&parts.headers);
        let JsonBody { value, .. } = JsonBody::from_request(Request::from_parts(parts, body), app).await?;
        Ok(Self { body: value, network, correlation })
    }
}

/// Signs in. Needs no token. Every request is an attempt of its own, so an `Idempotency-Key` has no effect; after five
/// failures nothing is tried for a while (`Retry-After`).
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", security(()), request_body = NewSession, responses(
    (status = 201, description = "Signed in", body = SessionJson),
    (status = 401, description = "wrong_credentials, locked, account_disabled", body = ProblemDocument),
    (status = 429, description = "Too many attempts from this network", body = ProblemDocument)))]
async fn sign_in(State(app): State<App>, attempt: Attempt) -> Result<Response, Problem> {
    let Attempt { body, network: PeerNetwork(network), correlation } = attempt;
    // What cannot be a tenant's name is no tenant.
    let tenant = TenantId::try_new(&body.tenant).map_err(|_| wrong_credentials())?;
    let meta = Meta {
        correlation: correlation.id(),
        trace: Some(correlation.traceparent()),
        ..Meta::system("sign-in", CommandId::random())
    };
    let credentials = Credentials { email: &body.email, password: &body.password, network: network.as_deref() };
    let signed_in = app.sign_in.log_in(&app.writer, &tenant, credentials, &meta).await;
    let signed_in = signed_in.map_err(|error| not_signed_in(error, app.clock.now()))?;
    let expires_at = signed_in.receipt.value.state.expires_at().unwrap_or_default();
    let answer =
        SessionJson { token: signed_in.token.expose(), account: signed_in.account, expires_at: expires_at.to_string() };
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    ConsistencyToken::at(app.cell.as_str(), signed_in.receipt.position).write(response.headers_mut());
    Ok(response)
}

/// Ends the session this request is made with.
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions", responses(
    (status = 200, description = "Signed out", body = CommandReceipt),
    (status = 409, description = "no_session: a key is revoked instead", body = ProblemDocument)))]
async fn sign_out(State(app): State<App>, command: Command) -> Result<Response, Problem> {
    let token = command.caller.session().ok_or_else(|| {
        Problem::rejected(field::NO_SESSION, "a program's key has no session; revoke it with DELETE /v1/api-keys/{id}")
    })?;
    let id = session_of(&*app.writer.tenant_key(&token.tenant).await?, &token);
    let receipt = session::close(&app.writer, &token, &command.meta, CloseReason::LoggedOut).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
