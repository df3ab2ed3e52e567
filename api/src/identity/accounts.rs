//! `/v1/accounts`
//!
//! Nobody gives an account more than they have, and nobody disables, demotes or takes over an account that has more. To
//! themselves people do only one thing, a new password: so whoever administers a tenant cannot lock everybody out.

use super::refusals::{invalid, not_signed_in};
use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        codes::{ProblemCode, field},
        extract::Path,
        list::ListSpec,
        network::PeerNetwork,
        problem::{Problem, ProblemDocument},
    },
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Actor, CommandId, Keyring,
    identity::{account::AccountPerson, role::Role},
};
use projectors::{
    Record,
    identity::accounts::{AccountRow, Accounts},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta, Receipt, WriteError,
    identity::{
        account::{self, Account, AccountCommand, AccountError, AccountRejection},
        sign_in::Credentials,
    },
    writer::Loaded,
};

const WRITE: &str = "identity.account:write";
/// Times a change is tried again because the account changed between looking and acting.
const TRIES: usize = 5;

pub struct AccountResource;

/// A person who signs in to work for the tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountJson {
    pub id: Uuid,
    pub revision: u64,
    /// Absent once the person was erased.
    pub email: Option<String>,
    pub name: Option<String>,
    #[schema(value_type = Vec<String>, example = json!(["editor"]))]
    pub roles: Vec<Role>,
    pub disabled: bool,
    /// The last time the person signed in.
    pub signed_in_at: Option<String>,
    pub password_changed_at: String,
    pub created_at: String,
    pub updated_at: String,
}

impl Resource for AccountResource {
    type View = Accounts;
    type Json = AccountJson;
    const NOUN: &'static str = "account";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("email", FieldType::Keyword),
            ("name", FieldType::Text),
            ("roles", FieldType::Keyword),
            ("disabled", FieldType::Bool),
            ("signed_in_at", FieldType::Time),
            ("password_changed_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["email", "name", "signed_in_at", "password_changed_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["roles", "disabled"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<AccountRow>, keys: &Keyring) -> AccountJson {
        let row = &record.row;
        let (email, name) = row.reveal(keys).map(|person| (person.email, person.name)).unzip();
        AccountJson {
            id,
            revision: record.revision,
            email,
            name,
            roles: row.roles.iter().copied().collect(),
            disabled: row.disabled,
            signed_in_at: row.signed_in_at.map(|at| at.to_string()),
            password_changed_at: row.password_changed_at.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(set_roles))
        .routes(routes!(disable))
        .routes(routes!(enable))
        .routes(routes!(set_password))
        .routes(routes!(invite))
}

/// A new account. Never printed: it holds a password.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "name": "Ada", "password": "Tulip-3-bridge", "roles": ["editor"]}))]
pub struct NewAccount {
    /// One account for each address; it never changes.
    pub email: String,
    pub name: String,
    /// At least 10 characters with an upper-case letter and a number.
    pub password: String,
    /// At least one of owner, admin, editor, marketer, analyst, support.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
}

/// Makes an account. Its roles allow no more than the caller may do.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = NewAccount, responses(
    (status = 201, description = "Made", body = CommandReceipt),
    (status = 403, description = "A role allows more than the caller may do", body = ProblemDocument),
    (status = 409, description = "account_exists", body = ProblemDocument),
    (status = 422, description = "A rule of names or passwords", body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewAccount>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let new = &command.body;
    command.caller.may_grant(&Role::scopes_of(new.roles.iter().copied()))?;
    let person = AccountPerson { email: new.email.clone(), name: new.name.clone() };
    let (tenant, passwords) = (&command.caller.tenant, app.sign_in.passwords());
    let (id, receipt) =
        account::create(&app.writer, passwords, tenant, &command.meta, &person, &new.password, &new.roles).await?;
    Ok(app.created("accounts", id, &receipt))
}

/// All roles of an account.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"roles": ["editor", "support"]}))]
pub struct Roles {
    /// At least one of owner, admin, editor, marketer, analyst, support.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
}

/// Sets the roles of another account. They count from its next request on.
#[utoipa::path(put, path = "/v1/accounts/{id}/roles", tag = "accounts", request_body = Roles,
    params(("id" = Uuid, Path)), responses((status = 200, description = "Set", body = CommandReceipt),
    (status = 403, description = "The roles, old or new, allow more than the caller may do", body = ProblemDocument)))]
async fn set_roles(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Roles>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    command.caller.may_grant(&Role::scopes_of(command.body.roles.iter().copied()))?;
    let change = AccountCommand::SetRoles { roles: command.body.roles.clone() };
    administer(&app, id, &command, Change::Command(&change)).await
}

/// Disables another account: its sessions end, nobody signs in to it.
#[utoipa::path(post, path = "/v1/accounts/{id}/disable", tag = "accounts", params(("id" = Uuid, Path)),
    responses((status = 200, description = "Disabled", body = CommandReceipt), (status = 403, body = ProblemDocument)))]
async fn disable(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    administer(&app, id, &command, Change::Command(&AccountCommand::Disable)).await
}

/// Enables an account again.
#[utoipa::path(post, path = "/v1/accounts/{id}/enable", tag = "accounts", params(("id" = Uuid, Path)),
    responses((status = 200, description = "Enabled", body = CommandReceipt), (status = 403, body = ProblemDocument)))]
async fn enable(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    administer(&app, id, &command, Change::Command(&AccountCommand::Enable)).await
}

/// Sends the person a mail with a link to choose a password, which works once within a week; at most one every five minutes.
/// The password so far goes on working until then.
#[utoipa::path(post, path = "/v1/accounts/{id}/invitation", tag = "accounts", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mail is on its way", body = CommandReceipt),
    (status = 401, description = "account_disabled", body = ProblemDocument), (status = 403, body = ProblemDocument)))]
async fn invite(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    administer(&app, id, &command, Change::Command(&AccountCommand::Invite)).await
}

/// Another password. Never printed.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"password": "Tulip-3-bridge"}))]
pub struct NewPassword {
    /// At least 10 characters with an upper-case letter and a number.
    pub password: String,
    /// The password so far: needed for one's own account.
    pub current_password: Option<String>,
}

/// Gives an account another password and ends all its sessions. One's own account needs no scope, but the present
/// password.
#[utoipa::path(put, path = "/v1/accounts/{id}/password", tag = "accounts", request_body = NewPassword,
    params(("id" = Uuid, Path)), responses((status = 200, description = "Changed", body = CommandReceipt),
    (status = 403, description = "The account may do more than the caller", body = ProblemDocument),
    (status = 422, description = "wrong_credentials, a rule of passwords", body = ProblemDocument)))]
async fn set_password(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    network: PeerNetwork,
    command: Command<NewPassword>,
) -> Result<Response, Problem> {
    let new = &command.body;
    if command.caller.actor != Actor::Account(id) {
        command.allow(WRITE)?;
        return administer(&app, id, &command, Change::Password(&new.password)).await;
    }
    let current = new.current_password.as_deref().unwrap_or_default();
    confirm(&app, id, &command, current, &network).await?;
    let receipt = Change::Password(&new.password).run(&app, id, &command, &command.meta).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Somebody's present password, checked by signing in: so guessing counts as it does there. The session that comes of
/// it ends with the old password.
async fn confirm<T>(
    app: &App,
    id: Uuid,
    command: &Command<T>,
    password: &str,
    PeerNetwork(network): &PeerNetwork,
) -> Result<(), Problem> {
    let tenant = &command.caller.tenant;
    let person = account::person_of(&app.writer, tenant, id).await?;
    let credentials = Credentials { email: &person.email, password, network: network.as_deref() };
    let meta = Meta { content: None, if_match: None, command: CommandId::random(), ..command.meta.clone() };
    let Err(error) = app.sign_in.log_in(&app.writer, tenant, credentials, &meta).await else { return Ok(()) };
    let problem = not_signed_in(error, app.clock.now());
    if problem.code() != ProblemCode::Unauthenticated {
        return Err(problem);
    }
    // The caller's token is good, so this is no 401.
    let code = problem.errors().first().map_or("wrong_credentials".into(), |error| error.code.clone());
    Err(invalid("/current_password", code, problem.detail()))
}

/// What is done to an account.
#[derive(Clone, Copy)]
enum Change<'a> {
    Command(&'a AccountCommand),
    Password(&'a str),
}

impl Change<'_> {
    async fn run<T>(
        self,
        app: &App,
        id: Uuid,
        command: &Command<T>,
        meta: &Meta,
    ) -> Result<Receipt<Loaded<Account>>, AccountError> {
        let (writer, tenant) = (&app.writer, &command.caller.tenant);
        match self {
            Self::Command(change) => Ok(writer.execute::<Account>(tenant, id, meta, change).await?),
            Self::Password(password) => {
                account::change_password(writer, app.sign_in.passwords(), tenant, id, meta, password).await
            }
        }
    }
}

/// Changes another person's account, which may do no more than the caller. Should its roles change between looking and
/// acting, both are done again.
async fn administer<T>(app: &App, id: Uuid, command: &Command<T>, change: Change<'_>) -> Result<Response, Problem> {
    if command.caller.actor == Actor::Account(id) {
        return Err(Problem::rejected(field::OWN_ACCOUNT, "somebody else has to do this to your account"));
    }
    for _ in 0..TRIES {
        let account = app.writer.load::<Account>(&command.caller.tenant, id).await?;
        if !account.state.exists() {
            return Err(WriteError::from(AccountRejection::Unknown).into());
        }
        command.caller.may_grant(&Role::scopes_of(account.state.roles()))?;
        let if_match = command.meta.if_match.or(Some(account.revision));
        let meta = Meta { if_match, ..command.meta.clone() };
        match change.run(app, id, command, &meta).await {
            Err(AccountError::Write(WriteError::Stale { .. })) if command.meta.if_match.is_none() => {}
            done => return Ok(app.answer(StatusCode::OK, id, &done?)),
        }
    }
    Err(Problem::conflict(1))
}
