//! `/v1/messages`: mails to one person.

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        body::BodyLimit,
        codes::field,
        extract::Path,
        list::ListSpec,
        problem::{FieldError, Problem, ProblemDocument},
    },
    letters::{self, ToContact},
    resource::Resource,
};
use axum::{Extension, extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring,
    mail::message::{MessageKind, MessageWords},
};
use projectors::{
    Record,
    mail::messages::{MessageRow, MessageState, Messages, Step},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::message::{Message, MessageCommand, valid_words};

const WRITE: &str = "mail.message:write";
const READ_CONTACT: &str = "crm.contact:read";
const KINDS: &[&str] = &["receipt", "enrolment", "password_reset", "invitation", "confirmation", "test", "own"];
const STATES: &[&str] = &MessageState::WORDS;
/// The largest request, in bytes: the decider bounds its parts, and JSON may escape many of their characters.
const LIMIT: usize = 2 * 1024 * 1024;

pub struct MessageResource;

/// A mail to one person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageJson {
    pub id: Uuid,
    pub revision: u64,
    /// `receipt`, `enrolment`, `password_reset`, `invitation`, `confirmation`, `test` or `own`.
    pub kind: &'static str,
    /// The tenant's template it is made from; null: that of its kind, or its own words.
    pub template: Option<String>,
    /// `queued` and `deferred` are waiting to be sent (again), `parked` waits for a person, the others are ends.
    pub state: &'static str,
    /// Why it is deferred, rejected, parked, withheld or bounced: a stage and a code.
    pub cause: Option<String>,
    pub contact: Option<Uuid>,
    pub account: Option<Uuid>,
    /// What it is about: an order, an enrolment, a campaign.
    pub about: Option<Uuid>,
    /// Its receiver was erased: nobody can read or send it any more.
    pub erased: bool,
    pub to: Option<ReceiverJson>,
    /// The fields of its template. Lists leave them out unless `fields` names them.
    #[schema(value_type = Option<Object>)]
    pub data: Option<Value>,
    /// Its own words. Lists leave them out unless `fields` names them.
    pub words: Option<WordsJson>,
    /// Whom it comes from; null: the platform.
    pub from: Option<SenderJson>,
    /// Raised by each resend; each has a Message-ID of its own.
    pub generation: u32,
    /// Message-IDs of the mails that were or may have been taken.
    pub message_ids: Vec<String>,
    /// When it is tried again.
    pub retry_at: Option<String>,
    /// When it is given up.
    pub expires_at: String,
    /// What happened to it, oldest first.
    pub attempts: Vec<StepJson>,
    pub created_at: String,
    pub updated_at: String,
}

/// Who gets a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageReceiver)]
pub struct ReceiverJson {
    pub email: String,
    pub name: Option<String>,
}

/// What a message says, as templates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageWords)]
pub struct WordsJson {
    pub subject: String,
    pub html: String,
    /// Null: made from the HTML.
    pub text: Option<String>,
}

/// Whom a message comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageSender)]
pub struct SenderJson {
    pub name: String,
    pub email: String,
    pub reply_to: Option<String>,
}

/// A step on a message's way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageStep)]
pub struct StepJson {
    pub at: String,
    /// A state, or `requeued`, or `unknown`: the provider may have taken it, and it is sent again with the same Message-ID; or
    /// what came back beside a bounce: `delivered`, `complained`, `complaint_withdrawn`.
    pub what: String,
    pub generation: u32,
    /// Counts the attempts of a generation.
    pub attempt: Option<u32>,
    pub cause: Option<String>,
    /// What the provider calls the mail.
    pub provider_id: Option<String>,
}

impl From<&Step> for StepJson {
    fn from(step: &Step) -> Self {
        let Step { at, what, generation, attempt, cause, provider_id } = step.clone();
        Self { at: at.to_string(), what, generation, attempt, cause, provider_id }
    }
}

impl Resource for MessageResource {
    type View = Messages;
    type Json = MessageJson;
    const NOUN: &'static str = "message";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("kind", FieldType::Choice(KINDS)),
            ("state", FieldType::Choice(STATES)),
            ("template", FieldType::Keyword),
            ("contact", FieldType::Keyword),
            ("account", FieldType::Keyword),
            ("about", FieldType::Keyword),
            ("expires_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["kind", "state", "expires_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["kind", "state"],
        ..ListSpec::NOTHING
    };
    const LARGE: &'static [&'static str] = &["data", "words"];

    fn present(id: Uuid, record: &Record<MessageRow>, keys: &Keyring) -> MessageJson {
        let row = &record.row;
        let content = row.reveal(keys);
        let erased = content.is_none();
        let (to, data, words) = match content {
            Some(content) => {
                let to = ReceiverJson { email: content.email, name: content.name };
                let words = content.words.map(|MessageWords { subject, html, text }| WordsJson { subject, html, text });
                (Some(to), serde_json::from_str(&content.fields).ok(), words)
            }
            None => (None, None, None),
        };
        let from = row.sender.clone();
        MessageJson {
            id,
            revision: record.revision,
            kind: row.kind.as_str(),
            template: row.template.clone(),
            state: row.state.as_str(),
            cause: row.cause.clone(),
            contact: row.contact,
            account: row.account,
            about: row.about,
            erased,
            to,
            data,
            words,
            from: from.map(|from| SenderJson { name: from.name, email: from.email, reply_to: from.reply_to }),
            generation: row.generation,
            message_ids: row.message_ids.clone(),
            retry_at: row.retry_at.map(|at| at.to_string()),
            expires_at: row.expires_at.to_string(),
            attempts: row.attempts.iter().map(StepJson::from).collect(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    let large = OpenApiRouter::new().routes(routes!(create)).layer(Extension(BodyLimit(LIMIT)));
    OpenApiRouter::new().routes(routes!(cancel)).routes(routes!(retry)).routes(routes!(resend)).merge(large)
}

/// A mail to a contact: a template or own words, with fields.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"to": "0198f2a0-0000-7000-8000-000000000001", "subject": "Your table on {{ day }}",
    "html": "<p>Hello {{ name }}, we expect you on {{ day }}.</p>", "data": {"day": "Friday"}}))]
pub struct NewMessageJson {
    /// The contact who gets it, at the address it has now.
    pub to: Uuid,
    /// Instead of own words.
    pub template: Option<String>,
    pub subject: Option<String>,
    pub html: Option<String>,
    /// The plain part; made from the HTML when absent.
    pub text: Option<String>,
    /// The fields of the template or of the own words: `{{ day }}`. `name`, `email`, `tenant_name`, `site_url` and `public_url` are
    /// there anyway. No secrets: who may read messages may read these.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
    /// What it is about, for finding it again: the id of an order, of a booking elsewhere.
    pub about: Option<Uuid>,
    /// How long it may wait to be taken: 1 to 720 hours, 72 when absent.
    pub expires_in_hours: Option<u32>,
}

/// Sends one mail to one contact, because of something they did or asked for; for mail to many who agreed to it there are
/// campaigns. It is durable when this is answered and is sent at least once, each attempt with the same Message-ID. Send an
/// `Idempotency-Key`, so that a retry is not another mail. Needs `mail.message:write` and `crm.contact:read`.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = NewMessageJson, responses(
    (status = 201, body = CommandReceipt),
    (status = 422, description = "unknown_contact, contact_erased, required, too_long, invalid_text, invalid_fields, \
    invalid_template_name, unknown_template, invalid_life", body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewMessageJson>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    command.allow(READ_CONTACT)?;
    let body = &command.body;
    let mut mail = ToContact::new(MessageKind::Own, body.to);
    mail.words = words(body)?;
    if let Some(words) = &mail.words {
        let words = valid_words(words).map_err(writers::WriteError::from)?;
        app.messages.check(words).await?;
    }
    mail.template.clone_from(&body.template);
    mail.fields.clone_from(&body.data);
    mail.about = body.about;
    mail.life_seconds = body.expires_in_hours.map(|hours| i64::from(hours) * 3600);
    let id = command.meta.command.aggregate(0);
    let receipt = letters::to_contact(&app, &command.caller.tenant, id, &command.meta, mail, "/to").await?;
    Ok(app.created("messages", id, &receipt))
}

/// The own words of a request; `None`: it names a template.
fn words(body: &NewMessageJson) -> Result<Option<MessageWords>, Problem> {
    let refused = |pointer: &str, code, message: &str| {
        Problem::validation(vec![FieldError::new(pointer.to_owned(), code, message.to_owned())])
    };
    let NewMessageJson { template, subject, html, text, .. } = body;
    if template.is_some() {
        return match (subject, html, text) {
            (None, None, None) => Ok(None),
            _ => Err(refused("/template", field::INVALID_VALUE, "a template or own words, not both")),
        };
    }
    let Some(subject) = subject.clone() else {
        return Err(refused("/subject", field::REQUIRED, "a template, or own words with subject and html"));
    };
    let Some(html) = html.clone() else {
        return Err(refused("/html", field::REQUIRED, "a template, or own words with subject and html"));
    };
    Ok(Some(MessageWords { subject, html, text: text.clone() }))
}

/// Cancels a message that waits to be sent. What is being handed over at this moment still goes out, and is then accepted.
#[utoipa::path(post, path = "/v1/messages/{id}/cancel", tag = "messages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "message_not_open", body = ProblemDocument)))]
async fn cancel(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, MessageCommand::Cancel).await
}

/// Tries a parked message again: the same mail, with the same Message-ID.
#[utoipa::path(post, path = "/v1/messages/{id}/retry", tag = "messages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "message_not_parked, message_under_way", body = ProblemDocument)))]
async fn retry(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, MessageCommand::Retry).await
}

/// Sends a message again, whatever became of it: another mail with another Message-ID, made from what was requested.
#[utoipa::path(post, path = "/v1/messages/{id}/resend", tag = "messages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "message_under_way, too_many_resends", body = ProblemDocument)))]
async fn resend(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, MessageCommand::Resend).await
}

async fn run(app: &App, id: Uuid, command: &Command, what: MessageCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Message>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::{KeyId, Micros, Sealed, SealingKey, mail::message::MessageContent};
    use std::sync::Arc;

    fn record() -> (Record<MessageRow>, Keyring) {
        let key = Arc::new(SealingKey::new(KeyId(Uuid::from_u128(1)), [1; 32]));
        let content = MessageContent {
            email: "ada@x.example".into(),
            name: None,
            fields: r#"{"day":"Friday"}"#.into(),
            words: None,
        };
        let at = Micros(1_769_903_910_000_000);
        let row = MessageRow {
            kind: MessageKind::Own,
            template: Some("order-ready".into()),
            contact: Some(Uuid::from_u128(2)),
            account: Some(Uuid::from_u128(3)),
            about: Some(Uuid::from_u128(4)),
            content: Sealed::seal(&key, "test", &content).unwrap(),
            sender: None,
            state: MessageState::Parked,
            generation: 0,
            cause: None,
            retry_at: None,
            expires_at: at,
            message_ids: Vec::new(),
            attempts: Vec::new(),
        };
        (Record { revision: 9, first: 5, created_at: at, updated_at: at, row }, Keyring::default().with(key))
    }

    #[test]
    fn search_knows_every_field_a_list_names() {
        let (record, keys) = record();
        assert_eq!(missing_from_search::<MessageResource>(&record, &keys), Vec::<&str>::new());
        assert!(MessageKind::ALL.iter().map(|kind| kind.as_str()).eq(KINDS.iter().copied()));
    }

    #[test]
    fn an_erased_receiver_leaves_no_trace_of_who_it_was() {
        let (record, keys) = record();
        let shown = MessageResource::present(Uuid::from_u128(1), &record, &keys);
        assert_eq!(shown.to.unwrap().email, "ada@x.example");
        assert_eq!(shown.data.unwrap()["day"], "Friday");
        let shown = MessageResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        assert!(shown.erased && shown.to.is_none() && shown.data.is_none());
        assert!(!serde_json::to_string(&shown).unwrap().contains("ada"));
    }
}
