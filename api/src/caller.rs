//! Who asks: an API key or a session, named by a bearer token. The tenant comes from the token, never from the request.

use crate::{app::App, errors::rejection, http::problem::Problem};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use bus_schema::{Actor, TenantId, identity::scope::Scopes};
use std::sync::Arc;
use writers::{
    WriteError,
    identity::{
        authenticate::{authenticate_key, authenticate_session},
        token::{KeyToken, SessionToken},
    },
};

/// An authenticated caller and what it may do.
#[derive(Clone, Debug)]
pub struct Caller {
    pub tenant: TenantId,
    pub actor: Actor,
    pub scopes: Arc<Scopes>,
    principal: String,
    token: Arc<str>,
}

impl Caller {
    /// Who it is, as one text: scopes idempotency keys and rate limits.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// 403 unless the caller has the scope.
    pub fn allow(&self, scope: &str) -> Result<(), Problem> {
        if self.scopes.allows(scope) { Ok(()) } else { Err(Problem::forbidden(scope)) }
    }

    /// Checks the credential again; for answers that stay open.
    pub async fn still_valid(&self, app: &App) -> Result<(), Problem> {
        Self::authenticate(app, &self.token).await.map(|_| ())
    }

    /// The caller behind a token.
    pub async fn authenticate(app: &App, token: &str) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("the token is unknown, expired or revoked; log in again");
        let (tenant, access) = if let Some(key) = KeyToken::parse(token) {
            let access = authenticate_key(&app.writer, &key.tenant, token).await;
            (key.tenant, access.map(|(id, scopes)| (Actor::ApiKey(id), scopes)))
        } else if let Some(session) = SessionToken::parse(token) {
            let access = authenticate_session(&app.writer, &session.tenant, token).await;
            (session.tenant, access.map(|(id, scopes)| (Actor::Account(id), scopes)))
        } else {
            return Err(refused());
        };
        match access {
            Ok((actor, scopes)) => {
                Ok(Self { principal: actor.to_string(), tenant, actor, scopes: Arc::new(scopes), token: token.into() })
            }
            Err(WriteError::Rejected(rejected)) => Err(rejection(rejected)),
            Err(WriteError::NoTenant(_)) => Err(refused()),
            Err(other) => Err(other.into()),
        }
    }
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let missing = || Problem::unauthenticated("send `Authorization: Bearer <API key or session token>`");
        Self::authenticate(app, bearer(&parts.headers).ok_or_else(missing)?).await
    }
}
