//! `/v1/tenant`: the caller's own tenant; `/v1/tenants`: founding another.

use super::refusals::invalid;
use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        codes::field,
        etag::{self, IfNoneMatch},
        idempotency::mark_replayed,
        problem::{Problem, ProblemDocument},
        token::ConsistencyToken,
    },
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bus_schema::{
    CommandId, TenantId,
    identity::{account::AccountPerson, role::Role},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta,
    identity::{
        account::{self, AccountRejection},
        password::check_password,
        tenant::{self, Tenant, TenantCommand, tenant_aggregate},
    },
};

const READ: &str = "identity.tenant:read";
const WRITE: &str = "identity.tenant:write";
const FOUND: &str = "platform.tenant:write";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get, rename))
        .routes(routes!(set_hosts))
        .routes(routes!(set_postal_address))
        .routes(routes!(found))
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantJson {
    pub id: Uuid,
    pub revision: u64,
    /// Its fixed name: in tokens, positions and addresses of sites.
    #[schema(example = "demo")]
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// BCP 47.
    pub locale: String,
    /// IANA name.
    pub time_zone: String,
    /// Host names its sites answer under, beside `<tenant>.<anything>`.
    pub hosts: Vec<String>,
    /// Lines as on a letter; marketing mail shows them. Empty when none was given.
    pub postal_address: Vec<String>,
}

/// The caller's tenant as it is now. Needs `identity.tenant:read`.
#[utoipa::path(get, path = "/v1/tenant", tag = "tenant", responses(
    (status = 200, description = "The tenant", body = TenantJson)))]
async fn get(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    caller.allow(READ)?;
    let id = tenant_aggregate(&app.writer, &caller.tenant).await?;
    let tenant = app.writer.load::<Tenant>(&caller.tenant, id).await?;
    if !tenant.state.exists() {
        return Err(Problem::not_found("tenant"));
    }
    let body = TenantJson {
        id,
        revision: tenant.revision,
        tenant: caller.tenant.to_string(),
        name: tenant.state.name().to_owned(),
        locale: tenant.state.locale().to_owned(),
        time_zone: tenant.state.time_zone().to_owned(),
        hosts: tenant.state.hosts().to_vec(),
        postal_address: tenant.state.postal_address().to_vec(),
    };
    Ok(etag::respond(&IfNoneMatch::from_headers(&headers), tenant.revision, Json(body)))
}

/// Changes of the tenant: a field that is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct TenantChanges {
    pub name: Option<String>,
}

/// Calls the tenant something else. Its fixed name stays.
#[utoipa::path(patch, path = "/v1/tenant", tag = "tenant", request_body = TenantChanges, responses(
    (status = 200, description = "Renamed", body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn rename(State(app): State<App>, command: Command<TenantChanges>) -> Result<Response, Problem> {
    let name = match &command.body.name {
        Some(name) => name.clone(),
        None => {
            let id = tenant_aggregate(&app.writer, &command.caller.tenant).await?;
            app.writer.load::<Tenant>(&command.caller.tenant, id).await?.state.name().to_owned()
        }
    };
    run(&app, &command, TenantCommand::Rename { name }).await
}

/// The whole list of host names.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"hosts": ["www.example.org"]}))]
pub struct Hosts {
    pub hosts: Vec<String>,
}

/// Sets under which host names the tenant's sites answer, at most 50.
#[utoipa::path(put, path = "/v1/tenant/hosts", tag = "tenant", request_body = Hosts, responses(
    (status = 200, description = "Set", body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn set_hosts(State(app): State<App>, command: Command<Hosts>) -> Result<Response, Problem> {
    let hosts = command.body.hosts.clone();
    run(&app, &command, TenantCommand::SetHosts { hosts }).await
}

/// A postal address.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"lines": ["Garden Ltd", "1 Example Street", "12345 Exampleton"]}))]
pub struct PostalAddress {
    /// At most 6 lines of 100 characters; none takes it away.
    pub lines: Vec<String>,
}

/// Sets where the tenant gets post. Marketing mail shows it, and without it no marketing campaign is scheduled.
#[utoipa::path(put, path = "/v1/tenant/postal-address", tag = "tenant", request_body = PostalAddress, responses(
    (status = 200, description = "Set", body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn set_postal_address(State(app): State<App>, command: Command<PostalAddress>) -> Result<Response, Problem> {
    let lines = command.body.lines.clone();
    run(&app, &command, TenantCommand::SetPostalAddress { lines }).await
}

async fn run<T>(app: &App, command: &Command<T>, what: TenantCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let tenant = &command.caller.tenant;
    let id = tenant_aggregate(&app.writer, tenant).await?;
    let receipt = app.writer.execute::<Tenant>(tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// A new tenant with its first owner. Never printed: it holds a password.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"tenant": "acme", "name": "Acme", "email": "ada@example.org", "password": "Tulip-3-bridge"}))]
pub struct NewTenant {
    /// 1 to 40 of a-z, 0-9 and '-', starting with a letter; for good.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// The owner's.
    pub email: String,
    /// The owner's.
    pub password: String,
    /// The owner's; the part of the address before the @ when absent.
    pub owner_name: Option<String>,
    /// BCP 47; `en` when absent.
    pub locale: Option<String>,
    /// IANA name; `UTC` when absent.
    pub time_zone: Option<String>,
}

/// A tenant was founded.
#[derive(Serialize, ToSchema)]
pub struct FoundedTenant {
    pub id: Uuid,
    pub revision: u64,
    /// `cell:position` in the log.
    #[schema(example = "eu1:48213")]
    pub position: String,
    pub tenant: String,
    /// The owner's account in the new tenant.
    pub account: Uuid,
}

/// Founds another tenant with an owner account. Only for the tenant that operates the installation. A request that was
/// cut off is finished by sending it again with its `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant, responses(
    (status = 201, description = "Founded", body = FoundedTenant), (status = 403, body = ProblemDocument),
    (status = 409, description = "tenant_exists", body = ProblemDocument),
    (status = 422, description = "A rule of names or passwords", body = ProblemDocument)))]
async fn found(State(app): State<App>, command: Command<NewTenant>) -> Result<Response, Problem> {
    command.allow(FOUND)?;
    let new = &command.body;
    let tenant =
        TenantId::try_new(&new.tenant).map_err(|error| invalid("/tenant", field::INVALID_TENANT, error.to_string()))?;
    // Everything that can be wrong is found before the tenant is there.
    let local = new.email.split('@').next().unwrap_or_default();
    let name = new.owner_name.clone().unwrap_or_else(|| local.trim().to_owned());
    let person = account::valid_person(&AccountPerson { email: new.email.clone(), name }).map_err(owner_field)?;
    check_password(&new.password, &person.email).map_err(writers::WriteError::from)?;
    let create = TenantCommand::Create {
        name: new.name.clone(),
        locale: new.locale.clone().unwrap_or_else(|| "en".into()),
        time_zone: new.time_zone.clone().unwrap_or_else(|| "UTC".into()),
    };
    let (id, receipt) = tenant::found(&app.writer, &tenant, &command.meta, &create).await?;
    let owner = Meta { command: CommandId::derived(&[&command.meta.command.to_string(), "owner"]), ..command.meta };
    let passwords = app.sign_in.passwords();
    let made = account::create(&app.writer, passwords, &tenant, &owner, &person, &new.password, &[Role::Owner]).await?;
    let (account, owner) = made;
    let position = receipt.position.max(owner.position);
    let token = ConsistencyToken::at(app.cell.as_str(), position);
    let revision = receipt.value.revision;
    let body = FoundedTenant { id, revision, position: token.to_string(), tenant: tenant.to_string(), account };
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    token.write(response.headers_mut());
    if receipt.replayed && owner.replayed {
        mark_replayed(response.headers_mut());
    }
    Ok(response)
}

/// The owner's name is another field here than in an account.
fn owner_field(rejection: AccountRejection) -> Problem {
    match rejection {
        AccountRejection::InvalidName => invalid("/owner_name", "invalid_name", rejection.to_string()),
        other => writers::WriteError::from(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_name_has_its_own_pointer() {
        assert_eq!(owner_field(AccountRejection::InvalidName).errors()[0].pointer, "/owner_name");
        assert_eq!(owner_field(AccountRejection::InvalidEmail).errors()[0].pointer, "/email");
    }
}
