//! `/v1/api-keys`

use super::refusals::invalid;
use crate::{
    app::App,
    command::{Command, CommandReceipt},
    errors::invalid_time,
    http::{
        extract::Path,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
    },
    resource::Resource,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bus_schema::{
    Keyring, Micros,
    identity::scope::{InvalidScope, Scopes},
};
use projectors::{
    Record,
    identity::api_keys::{ApiKeyRow, ApiKeys},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::identity::api_key::{self, ApiKey, ApiKeyCommand};

const WRITE: &str = "identity.api_key:write";

pub struct ApiKeyResource;

/// A key with which a program calls the API. Its token is nowhere to be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyJson {
    pub id: Uuid,
    pub revision: u64,
    pub name: String,
    #[schema(value_type = Vec<String>, example = json!(["crm.*:read"]))]
    pub scopes: Scopes,
    pub revoked: bool,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    /// As events name it: `account:` or `key:` and an id.
    pub created_by: String,
    pub created_at: String,
    pub updated_at: String,
}

impl Resource for ApiKeyResource {
    type View = ApiKeys;
    type Json = ApiKeyJson;
    const PATH: &'static str = "api-keys";
    const NOUN: &'static str = "api key";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("name", FieldType::Text),
            ("scopes", FieldType::Keyword),
            ("revoked", FieldType::Bool),
            ("expires_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["name", "expires_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["scopes", "revoked"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<ApiKeyRow>, _keys: &Keyring) -> ApiKeyJson {
        let row = &record.row;
        ApiKeyJson {
            id,
            revision: record.revision,
            name: row.name.clone(),
            scopes: row.scopes.clone(),
            revoked: row.revoked_at.is_some(),
            expires_at: row.expires_at.map(|at| at.to_string()),
            revoked_at: row.revoked_at.map(|at| at.to_string()),
            created_by: row.created_by.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(revoke))
}

/// A new key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"name": "newsletter sync", "scopes": ["crm.contact:read"]}))]
pub struct NewApiKey {
    /// What the key is for; no personal data.
    pub name: String,
    /// 1 to 100 of what the caller itself may do.
    pub scopes: Vec<String>,
    /// RFC 3339; without an end when absent.
    pub expires_at: Option<String>,
}

/// A key was made.
#[derive(Serialize, ToSchema)]
pub struct MadeApiKey {
    pub id: Uuid,
    pub revision: u64,
    /// `cell:position` in the log.
    #[schema(example = "eu1:48213")]
    pub position: String,
    /// Shown once. Absent when the request was sent again: the token went out with the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "mr_demo_…")]
    pub token: Option<String>,
}

/// Makes a key. Its token stands only in this answer.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = NewApiKey, responses(
    (status = 201, description = "Made", body = MadeApiKey),
    (status = 403, description = "The caller does not have all of the scopes itself", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewApiKey>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let new = &command.body;
    let scopes = Scopes::parse(&new.scopes).map_err(|error| invalid_scope(&new.scopes, &error))?;
    let expires_at = match &new.expires_at {
        Some(text) => Some(Micros::parse(text).ok_or_else(|| invalid_time("/expires_at"))?),
        None => None,
    };
    command.caller.may_grant(&scopes)?;
    let tenant = &command.caller.tenant;
    let made = api_key::create(&app.writer, tenant, &command.meta, &new.name, &scopes, expires_at).await?;
    let receipt = app.created("api-keys", made.key, &made.receipt);
    let position = format!("{}:{}", app.cell, made.receipt.position);
    let token = made.token.map(|token| token.expose());
    let body = MadeApiKey { id: made.key, revision: made.receipt.value.revision, position, token };
    // The headers are those of every creation; the body has the token beside.
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let mut headers = receipt.into_parts().0.headers;
    headers.remove(header::CONTENT_LENGTH);
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Names the scope at fault by its place in the list.
fn invalid_scope(texts: &[String], error: &InvalidScope) -> Problem {
    let at = texts.iter().position(|text| text.parse::<bus_schema::identity::scope::Scope>().is_err());
    let pointer = match (error, at) {
        (InvalidScope::Scope { .. }, Some(index)) => format!("/scopes/{index}"),
        _ => "/scopes".to_owned(),
    };
    invalid(&pointer, "invalid_scopes", error.to_string())
}

/// Revokes a key: at once here, within a second everywhere. There is no way back.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "Revoked", body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn revoke(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let revoke = ApiKeyCommand::Revoke;
    let receipt = app.writer.execute::<ApiKey>(&command.caller.tenant, id, &command.meta, &revoke).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_at_fault_is_named() {
        let texts = ["crm.*:read".to_owned(), "everything".to_owned()];
        let problem = invalid_scope(&texts, &Scopes::parse(&texts).unwrap_err());
        assert_eq!(problem.errors()[0].pointer, "/scopes/1");
        let none: [String; 0] = [];
        assert_eq!(invalid_scope(&none, &Scopes::parse(&none).unwrap_err()).errors()[0].pointer, "/scopes");
    }
}
