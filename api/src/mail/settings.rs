//! `/v1/mail/settings`: from whom a tenant's messages come and which are sent by themselves.

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    http::{
        codes::field,
        etag::{self, IfNoneMatch},
        problem::{FieldError, Problem, ProblemDocument},
    },
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bus_schema::mail::message::{MessageKind, MessageSender};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::settings::{MailSettings, MailSettingsCommand, SWITCHES, settings_aggregate};

pub(super) const READ: &str = "mail.settings:read";
pub(super) const WRITE: &str = "mail.settings:write";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, set))
}

/// How the tenant writes to one person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailSettings)]
pub struct SettingsJson {
    pub id: Uuid,
    /// 0 as long as nothing was set.
    pub revision: u64,
    /// Null: messages come from the platform, and customers get none by themselves.
    pub sender: Option<SenderBody>,
    pub reasons: Reasons,
    /// The domain senders are at or below; null: there is no mail provider yet.
    pub domain: Option<String>,
    /// Why no mail goes out, for people; null: it does.
    pub obstacle: Option<String>,
}

/// From whom messages come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SenderBody {
    #[schema(example = "Garden")]
    pub name: String,
    #[schema(example = "shop@garden.example")]
    pub email: String,
    #[serde(default)]
    pub reply_to: Option<String>,
}

/// Which messages are sent by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Reasons {
    /// An order is paid. Needs a sender.
    pub receipt: bool,
    /// Somebody is in a course. Needs a sender.
    pub enrolment: bool,
    /// Somebody forgot a password.
    pub password_reset: bool,
}

impl Default for Reasons {
    fn default() -> Self {
        Self { receipt: true, enrolment: true, password_reset: true }
    }
}

impl Reasons {
    fn of(settings: &MailSettings) -> Self {
        let on = |kind| settings.is_on(kind);
        Self {
            receipt: on(MessageKind::Receipt),
            enrolment: on(MessageKind::Enrolment),
            password_reset: on(MessageKind::PasswordReset),
        }
    }

    fn off(self) -> BTreeSet<MessageKind> {
        let on = [self.receipt, self.enrolment, self.password_reset];
        SWITCHES.into_iter().zip(on).filter(|(_, on)| !on).map(|(kind, _)| kind).collect()
    }
}

/// From whom messages come and which are sent by themselves. Needs `mail.settings:read`.
#[utoipa::path(get, path = "/v1/mail/settings", tag = "mail-settings", responses((status = 200, body = SettingsJson)))]
async fn get(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    caller.allow(READ)?;
    let id = settings_aggregate(&app.writer, &caller.tenant).await?;
    let settings = app.writer.load::<MailSettings>(&caller.tenant, id).await?;
    let sender = settings.state.sender().cloned();
    let body = SettingsJson {
        id,
        revision: settings.revision,
        sender: sender.map(|MessageSender { name, email, reply_to }| SenderBody { name, email, reply_to }),
        reasons: Reasons::of(&settings.state),
        domain: app.messages.domain(),
        obstacle: app.mail_obstacle.clone(),
    };
    Ok(etag::respond(&IfNoneMatch::from_headers(&headers), settings.revision, Json(body)))
}

/// From whom messages come and which are sent by themselves, whole.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"sender": {"name": "Garden", "email": "shop@garden.example"}, "reasons": {"enrolment": false}}))]
pub struct NewSettings {
    /// Absent or null: messages come from the platform, and customers get none by themselves.
    pub sender: Option<SenderBody>,
    /// What is absent in it is on.
    pub reasons: Reasons,
}

/// Sets from whom messages come and which are sent by themselves, whole. What happened before the first sender was set is no
/// reason to write to a customer. Messages that were requested before keep their sender.
#[utoipa::path(put, path = "/v1/mail/settings", tag = "mail-settings", request_body = NewSettings, responses(
    (status = 200, body = CommandReceipt),
    (status = 422, description = "invalid_sender, sender_domain, required, too_long, invalid_text",
    body = ProblemDocument)))]
async fn set(State(app): State<App>, command: Command<NewSettings>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewSettings { sender, reasons } = command.body.clone();
    if let Some(sender) = &sender {
        // What is no address at all is told by the command itself.
        if sender.email.contains('@') && !app.messages.takes_sender(sender.email.trim()) {
            let domain = app.messages.domain().unwrap_or_default();
            let message =
                format!("this platform sends for {domain} only (--mail-from-domain); a sender is at it or below it");
            return Err(Problem::validation(vec![FieldError::new("/sender/email", field::SENDER_DOMAIN, message)]));
        }
    }
    let sender = sender.map(|SenderBody { name, email, reply_to }| MessageSender { name, email, reply_to });
    let set = MailSettingsCommand::Set { sender, off: reasons.off() };
    run(&app, &command, set).await
}

pub(super) async fn run<T>(app: &App, command: &Command<T>, what: MailSettingsCommand) -> Result<Response, Problem> {
    let tenant = &command.caller.tenant;
    let id = settings_aggregate(&app.writer, tenant).await?;
    let receipt = app.writer.execute::<MailSettings>(tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
