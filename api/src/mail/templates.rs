//! `/v1/mail/templates`: what messages say, by kind, and templates of the tenant's own.

use super::settings::{READ, WRITE, run};
use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        body::{BodyLimit, JsonBody},
        extract::Path,
        problem::{Problem, ProblemDocument},
    },
};
use axum::{Extension, Json, extract::State, response::Response};
use bus_schema::mail::message::{MessageKind, MessageWords};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use writers::mail::{
    message::{is_template_name, valid_words},
    settings::{MailSettings, MailSettingsCommand, settings_aggregate},
};

/// The largest request, in bytes: the decider bounds its parts, and JSON may escape many of their characters.
const LIMIT: usize = 2 * 1024 * 1024;

pub fn routes() -> OpenApiRouter<App> {
    let large = OpenApiRouter::new()
        .routes(routes!(get, set, remove))
        .routes(routes!(preview))
        .layer(Extension(BodyLimit(LIMIT)));
    OpenApiRouter::new().routes(routes!(list)).merge(large)
}

/// All templates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplates)]
pub struct TemplateList {
    /// Those of kinds first, then the tenant's own by name.
    pub items: Vec<TemplateLine>,
}

/// A template of the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplateLine)]
pub struct TemplateLine {
    /// A kind's word (`receipt`) or the tenant's own name.
    pub name: String,
    /// It belongs to a kind, so it is there always.
    pub built_in: bool,
    /// The tenant has its own words for it.
    pub own: bool,
    pub subject: String,
}

/// A template with its words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplate)]
pub struct TemplateJson {
    pub name: String,
    pub built_in: bool,
    pub own: bool,
    pub subject: String,
    pub html: String,
    /// Null: made from the HTML.
    pub text: Option<String>,
    /// Fields as messages of this kind have them: what the template may name. Of an own template only those that every message
    /// has; the others are what its sender gives.
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
}

/// The words of a template, whole.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"subject": "Your receipt, {{ name }}", "html": "<p>Total: {{ total | money }}</p>"}))]
pub struct NewTemplate {
    pub subject: String,
    pub html: String,
    /// The plain part; made from the HTML when absent.
    #[serde(default)]
    pub text: Option<String>,
}

/// What to look at: the template as it is, or with other words or fields.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct PreviewRequest {
    pub subject: Option<String>,
    pub html: Option<String>,
    pub text: Option<String>,
    /// Instead of fields of the sample, or beside them.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// A template with fields in it, as a receiver would read it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplatePreview)]
pub struct PreviewJson {
    pub subject: String,
    pub html: String,
    pub text: String,
}

/// All templates. Needs `mail.settings:read`.
#[utoipa::path(get, path = "/v1/mail/templates", tag = "mail-templates", responses((status = 200, body = TemplateList)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<TemplateList>, Problem> {
    caller.allow(READ)?;
    let settings = settings(&app, &caller).await?;
    let kinds = MessageKind::ALL.into_iter().filter_map(|kind| {
        let (name, own) = (kind.as_str(), settings.template(kind.as_str()));
        let subject = own.cloned().or_else(|| app.messages.built_in(kind))?.subject;
        Some(TemplateLine { name: name.to_owned(), built_in: true, own: own.is_some(), subject })
    });
    let others = settings.templates().filter(|(name, _)| MessageKind::parse(name).is_none());
    let others = others.map(|(name, words)| TemplateLine {
        name: name.to_owned(),
        built_in: false,
        own: true,
        subject: words.subject.clone(),
    });
    Ok(Json(TemplateList { items: kinds.chain(others).collect() }))
}

/// One template, the tenant's words if it has some. Needs `mail.settings:read`.
#[utoipa::path(get, path = "/v1/mail/templates/{name}", tag = "mail-templates", params(("name" = String, Path)),
    responses((status = 200, body = TemplateJson), (status = 404, body = ProblemDocument)))]
async fn get(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<TemplateJson>, Problem> {
    caller.allow(READ)?;
    let settings = settings(&app, &caller).await?;
    let words = words(&app, &settings, &name).ok_or_else(|| Problem::not_found("template"))?;
    let MessageWords { subject, html, text } = words;
    let kind = MessageKind::parse(&name);
    let fields = app.messages.sample(kind.unwrap_or(MessageKind::Own));
    let own = settings.template(&name).is_some();
    Ok(Json(TemplateJson { name, built_in: kind.is_some(), own, subject, html, text, fields }))
}

/// Sets what a kind of message says, or a template of the tenant's own, whole. A kind's words are tried with its sample fields:
/// what would not become a mail is refused. Messages that wait are made with the new words.
#[utoipa::path(put, path = "/v1/mail/templates/{name}", tag = "mail-templates", request_body = NewTemplate,
    params(("name" = String, Path)), responses((status = 200, body = CommandReceipt),
    (status = 422, description = "invalid_template, invalid_template_name, required, too_long, invalid_text",
    body = ProblemDocument), (status = 409, description = "too_many_templates", body = ProblemDocument)))]
async fn set(
    State(app): State<App>,
    Path(name): Path<String>,
    command: Command<NewTemplate>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewTemplate { subject, html, text } = &command.body;
    let words = MessageWords { subject: subject.clone(), html: html.clone(), text: text.clone() };
    // Their form first: what has no bound is not rendered.
    let words = valid_words(&words).map_err(writers::WriteError::from)?;
    match MessageKind::parse(&name) {
        Some(kind) => _ = app.messages.write(words.clone(), app.messages.sample(kind)).await?,
        None => app.messages.check(words.clone()).await?,
    }
    run(&app, &command, MailSettingsCommand::SetTemplate { name, words }).await
}

/// Gives a kind its built-in words back, or removes a template of the tenant's own.
#[utoipa::path(delete, path = "/v1/mail/templates/{name}", tag = "mail-templates", params(("name" = String, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn remove(State(app): State<App>, Path(name): Path<String>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    run(&app, &command, MailSettingsCommand::RemoveTemplate { name }).await
}

/// A template as a receiver would read it, with sample fields; nothing is changed or sent. Needs `mail.settings:read`.
#[utoipa::path(post, path = "/v1/mail/templates/{name}/preview", tag = "mail-templates",
    request_body = PreviewRequest, params(("name" = String, Path)), responses((status = 200, body = PreviewJson),
    (status = 404, body = ProblemDocument), (status = 422, description = "invalid_template", body = ProblemDocument)))]
async fn preview(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    JsonBody { value: request, .. }: JsonBody<PreviewRequest>,
) -> Result<Json<PreviewJson>, Problem> {
    caller.allow(READ)?;
    let settings = settings(&app, &caller).await?;
    // A template may be looked at before it is set.
    let present = words(&app, &settings, &name);
    if present.is_none() && (!is_template_name(&name) || request.html.is_none()) {
        return Err(Problem::not_found("template"));
    }
    let present = present.unwrap_or_default();
    let rewritten = request.html.is_some();
    let words = MessageWords {
        subject: request.subject.unwrap_or(present.subject),
        html: request.html.unwrap_or(present.html),
        // Of new HTML the plain part is made anew.
        text: request.text.or(present.text.filter(|_| !rewritten)),
    };
    let words = valid_words(&words).map_err(writers::WriteError::from)?;
    let mut fields = app.messages.sample(MessageKind::parse(&name).unwrap_or(MessageKind::Own));
    fields.extend(request.data);
    let written = app.messages.write(words, fields).await?;
    Ok(Json(PreviewJson { subject: written.subject, html: written.html, text: written.text }))
}

async fn settings(app: &App, caller: &Caller) -> Result<MailSettings, Problem> {
    let id = settings_aggregate(&app.writer, &caller.tenant).await?;
    Ok(app.writer.load::<MailSettings>(&caller.tenant, id).await?.state.clone())
}

/// The words under a name: the tenant's, or the built-in ones of the kind.
fn words(app: &App, settings: &MailSettings, name: &str) -> Option<MessageWords> {
    let built_in = || app.messages.built_in(MessageKind::parse(name)?);
    settings.template(name).cloned().or_else(built_in)
}
