//! Who asks: an API key or a session, named by a bearer token. The tenant comes from the token, never from the request.

use crate::{
    app::App,
    errors::rejection,
    http::{codes::ProblemCode, problem::Problem},
};
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
    /// Belongs to the tenant that operates the installation.
    operates: bool,
}

/// Scopes of what concerns all tenants begin so.
const PLATFORM: &str = "platform.";

impl Caller {
    /// Who it is, as one text: scopes idempotency keys and rate limits.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// 403 unless the caller has the scope.
    pub fn allow(&self, scope: &str) -> Result<(), Problem> {
        if !self.scopes.allows(scope) {
            return Err(Problem::forbidden(scope));
        }
        if scope.starts_with(PLATFORM) && !self.operates {
            let only = "only the tenant that operates this installation may do what concerns all tenants";
            return Err(Problem::new(ProblemCode::Forbidden, only));
        }
        Ok(())
    }

    /// 403 unless the caller has all of these scopes: nobody gives more than they have, and nobody takes from somebody
    /// who has more.
    pub fn may_grant(&self, scopes: &Scopes) -> Result<(), Problem> {
        if self.scopes.covers(scopes) {
            return Ok(());
        }
        let beyond = scopes.iter().map(ToString::to_string).find(|scope| !self.scopes.allows(scope));
        Err(Problem::forbidden(beyond.as_deref().unwrap_or("*")))
    }

    /// The session the caller asks with; `None` for a program's key.
    pub fn session(&self) -> Option<SessionToken> {
        SessionToken::parse(&self.token)
    }

    #[cfg(test)]
    pub(crate) fn of(tenant: TenantId, actor: Actor, scopes: Scopes) -> Self {
        let principal = actor.to_string();
        Self { tenant, actor, scopes: Arc::new(scopes), principal, token: Arc::from(""), operates: false }
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
            Ok((actor, scopes)) => Ok(Self {
                principal: actor.to_string(),
                operates: app.is_operated_by(&tenant),
                tenant,
                actor,
                scopes: Arc::new(scopes),
                token: token.into(),
            }),
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
        let caller = Self::authenticate(app, bearer(&parts.headers).ok_or_else(missing)?).await?;
        app.limits().admit(&caller, &parts.extensions)?;
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::identity::role::Role;
    use uuid::Uuid;

    fn caller(scopes: Scopes) -> Caller {
        Caller::of(TenantId::try_new("demo").unwrap(), Actor::Account(Uuid::nil()), scopes)
    }

    #[test]
    fn only_the_operator_may_do_what_concerns_all_tenants() {
        let owner = caller(Role::Owner.scopes());
        for scope in ["platform.view:write", "platform.tenant:write", "platform.*:read"] {
            assert!(owner.allow(scope).is_err(), "{scope}");
            assert!(Caller { operates: true, ..owner.clone() }.allow(scope).is_ok(), "{scope}");
        }
        assert!(owner.allow("*.*:read").is_ok() && owner.allow("crm.contact:erase").is_ok());
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let admin = caller(Role::Admin.scopes());
        assert!(admin.may_grant(&Role::Marketer.scopes()).is_ok());
        let refused = admin.may_grant(&Role::Owner.scopes()).unwrap_err();
        assert_eq!((refused.code(), refused.detail()), (ProblemCode::Forbidden, "this needs the scope *"));
        assert!(caller(Scopes::default()).may_grant(&Scopes::parse(["crm.*:read"]).unwrap()).is_err());
    }
}
