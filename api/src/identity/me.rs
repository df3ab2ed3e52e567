//! `GET /v1/me`: who asks, and what they may do.

use crate::{app::App, caller::Caller, http::problem::Problem};
use axum::{Json, extract::State};
use bus_schema::Actor;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::identity::{
    account::{self, Account},
    api_key::ApiKey,
    authenticate::MAX_AGE,
    session::{Session, session_of},
    tenant::{Tenant, tenant_aggregate},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me))
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub struct Me {
    #[schema(example = "demo")]
    pub tenant: String,
    /// What the tenant is called.
    pub tenant_name: String,
    pub locale: String,
    pub time_zone: String,
    /// As events name it: `account:` or `key:` and an id.
    pub actor: String,
    /// The account's or the key's id.
    pub id: Uuid,
    /// What the account or the key is called.
    pub name: String,
    /// Of an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Of an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub roles: Option<Vec<bus_schema::identity::role::Role>>,
    #[schema(value_type = Vec<String>, example = json!(["crm.*:read"]))]
    pub scopes: bus_schema::identity::scope::Scopes,
    /// Whether this tenant operates the installation, so that `platform.*` scopes count.
    pub operator: bool,
    /// When the session or the key ends; absent for a key without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Who asks, and what they may do. Needs no scope.
#[utoipa::path(get, path = "/v1/me", tag = "sessions", responses((status = 200, description = "The caller", body = Me)))]
async fn me(State(app): State<App>, caller: Caller) -> Result<Json<Me>, Problem> {
    let tenant_id = tenant_aggregate(&app.writer, &caller.tenant).await?;
    let tenant = app.writer.load_cached::<Tenant>(&caller.tenant, tenant_id, MAX_AGE).await?;
    let mut me = Me {
        tenant: caller.tenant.to_string(),
        tenant_name: tenant.state.name().to_owned(),
        locale: tenant.state.locale().to_owned(),
        time_zone: tenant.state.time_zone().to_owned(),
        actor: caller.actor.to_string(),
        id: Uuid::nil(),
        name: String::new(),
        email: None,
        roles: None,
        scopes: (*caller.scopes).clone(),
        operator: app.is_operated_by(&caller.tenant),
        expires_at: None,
    };
    match caller.actor {
        Actor::Account(id) => {
            let person = account::person_of(&app.writer, &caller.tenant, id).await?;
            let loaded = app.writer.load_cached::<Account>(&caller.tenant, id, MAX_AGE).await?;
            me.id = id;
            me.name = person.name;
            me.email = Some(person.email);
            me.roles = Some(loaded.state.roles().collect());
            if let Some(token) = caller.session() {
                let session = session_of(&*app.writer.tenant_key(&caller.tenant).await?, &token);
                let session = app.writer.load_cached::<Session>(&caller.tenant, session, MAX_AGE).await?;
                me.expires_at = session.state.expires_at().map(|at| at.to_string());
            }
        }
        Actor::ApiKey(id) => {
            let key = app.writer.load_cached::<ApiKey>(&caller.tenant, id, MAX_AGE).await?;
            me.id = id;
            if let Some(created) = key.state.created() {
                me.name.clone_from(&created.name);
                me.expires_at = created.expires_at.map(|at| at.to_string());
            }
        }
        // Only accounts and keys have tokens.
        Actor::Contact(_) | Actor::Visitor | Actor::System(_) => {}
    }
    Ok(Json(me))
}
