//! `/v1/subscription-form`: whether strangers may ask for a tenant's mail, and how.

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        etag::{self, IfNoneMatch},
        problem::{Problem, ProblemDocument},
    },
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bus_schema::crm::subscription_form::SubscriptionFormSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::crm::subscription_form::{SubscriptionForm, SubscriptionFormCommand, form_aggregate};

const READ: &str = "crm.subscription_form:read";
const WRITE: &str = "crm.subscription_form:write";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, set))
}

/// A tenant's public form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionForm)]
pub struct SubscriptionFormJson {
    pub id: Uuid,
    /// 0 as long as nothing was set.
    pub revision: u64,
    pub open: bool,
    pub double_opt_in: bool,
    pub tags: Vec<String>,
    pub text: String,
    pub text_version: String,
    /// Where the form is, below this platform's address. It answers 404 while the form is closed.
    #[schema(example = "/v1/sites/demo/subscribe")]
    pub path: String,
}

/// The tenant's form as it is now. Needs `crm.subscription_form:read`.
#[utoipa::path(get, path = "/v1/subscription-form", tag = "subscription-form",
    responses((status = 200, body = SubscriptionFormJson)))]
async fn get(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    caller.allow(READ)?;
    let id = form_aggregate(&app.writer, &caller.tenant).await?;
    let form = app.writer.load::<SubscriptionForm>(&caller.tenant, id).await?;
    let unset = || SubscriptionFormSet::from(NewSubscriptionForm::default());
    let SubscriptionFormSet { open, double_opt_in, tags, text, text_version } =
        form.state.settings().cloned().unwrap_or_else(unset);
    let path = format!("/v1/sites/{}/subscribe", caller.tenant);
    let body =
        SubscriptionFormJson { id, revision: form.revision, open, double_opt_in, tags, text, text_version, path };
    Ok(etag::respond(&IfNoneMatch::from_headers(&headers), form.revision, Json(body)))
}

/// What the form is to be, whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"open": true, "tags": ["newsletter"], "text": "Yes, send me news of Garden. I can leave at any time.",
    "text_version": "2026-01"}))]
pub struct NewSubscriptionForm {
    /// Whether strangers may ask for mail. False when absent.
    pub open: bool,
    /// Whether the owner of an address is asked by mail first. True when absent. Without it somebody who is new consents by
    /// sending the form; an address that is known is asked all the same.
    pub double_opt_in: bool,
    /// The tags a stranger may ask for, at most 10; a contact gets them with the consent.
    pub tags: Vec<String>,
    /// What people agree to, at most 4000 bytes. The page of the form shows it.
    pub text: String,
    /// Names that text in the evidence of consents, at most 100 characters. Another text needs another version.
    pub text_version: String,
}

impl Default for NewSubscriptionForm {
    fn default() -> Self {
        let (text, text_version) = (String::new(), String::new());
        Self { open: false, double_opt_in: true, tags: Vec::new(), text, text_version }
    }
}

impl From<NewSubscriptionForm> for SubscriptionFormSet {
    fn from(new: NewSubscriptionForm) -> Self {
        let NewSubscriptionForm { open, double_opt_in, tags, text, text_version } = new;
        Self { open, double_opt_in, tags, text, text_version }
    }
}

/// Sets the tenant's form, whole. Links of mails that went out before work on. Needs `crm.subscription_form:write`.
#[utoipa::path(put, path = "/v1/subscription-form", tag = "subscription-form", request_body = NewSubscriptionForm,
    responses((status = 200, body = CommandReceipt), (status = 409, description = "text_version_used", body = ProblemDocument),
    (status = 422, description = "required, too_long, invalid_text, invalid_tag, too_many_tags", body = ProblemDocument)))]
async fn set(State(app): State<App>, command: Command<NewSubscriptionForm>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let tenant = &command.caller.tenant;
    let id = form_aggregate(&app.writer, tenant).await?;
    let set = SubscriptionFormCommand::Set(command.body.clone().into());
    let receipt = app.writer.execute::<SubscriptionForm>(tenant, id, &command.meta, &set).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
