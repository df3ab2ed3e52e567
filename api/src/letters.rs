//! What other contexts ask of messages: a mail to a contact. Contexts do not name each other, so it stands beside them.

use crate::{
    app::App,
    http::{
        codes::field,
        problem::{FieldError, Problem},
    },
};
use bus_schema::{
    Revealed, TenantId,
    mail::message::{MessageContent, MessageKind, MessageWords},
};
use serde_json::{Map, Value};
use uuid::Uuid;
use writers::{
    Meta, Receipt,
    crm::contact::Contact,
    mail::{
        message::{Message, NewMessage, request, usual_life},
        settings::settings_of,
    },
    writer::Loaded,
};

/// A mail to a contact, at the address it has now. Everything but kind and contact may be left as it is by default.
#[derive(Clone, Debug)]
pub struct ToContact {
    pub kind: MessageKind,
    pub contact: Uuid,
    /// What it is about: an order, a campaign.
    pub about: Option<Uuid>,
    /// A template of the tenant instead of that of the kind.
    pub template: Option<String>,
    /// The fields of the template. Beside them it knows `name`, `email`, `tenant_name`, `site_url`, `public_url`, and `link` when
    /// `path` is a path of this platform (`/v1/…`). No secrets: who may read messages may read these.
    pub fields: Map<String, Value>,
    /// Its own words instead of a template.
    pub words: Option<MessageWords>,
    /// How long it may wait, in seconds; what is usual for its kind when absent.
    pub life_seconds: Option<i64>,
}

impl ToContact {
    pub fn new(kind: MessageKind, contact: Uuid) -> Self {
        let (about, template, words, life_seconds) = (None, None, None, None);
        Self { kind, contact, about, template, fields: Map::new(), words, life_seconds }
    }
}

/// Requests a mail to a contact: durable when this returns, sent from then on. `id` is the message's: the same id again is the
/// same message (see `writers::mail::message::message_of`). `pointer` is where the request names the contact.
pub async fn to_contact(
    app: &App,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    mail: ToContact,
    pointer: &str,
) -> Result<Receipt<Loaded<Message>>, Problem> {
    let contact = app.writer.load::<Contact>(tenant, mail.contact).await?;
    let nobody = |code, message| Problem::validation(vec![FieldError::new(pointer, code, message)]);
    let erased = || nobody("contact_erased", "the contact was erased");
    let Some(details) = contact.state.details() else {
        let unknown = || nobody("unknown_contact", "there is no such contact");
        return Err(if contact.state.is_erased() { erased() } else { unknown() });
    };
    if let Some(name) = &mail.template
        && settings_of(&app.writer, tenant).await?.template(name).is_none()
    {
        let message = "there is no template of this name; see /v1/mail/templates";
        return Err(Problem::validation(vec![FieldError::new("/template", field::UNKNOWN_TEMPLATE, message)]));
    }
    let keys = app.keys.load(tenant, &[details.key()]).await?;
    let Revealed::Known(person) = details.open(&keys).map_err(|error| Problem::fault(&error))? else {
        return Err(erased());
    };
    let name = [&person.first_name, &person.last_name].into_iter().flatten().map(String::as_str);
    let name = name.collect::<Vec<_>>().join(" ");
    let new = NewMessage {
        kind: mail.kind,
        template: mail.template,
        contact: Some(mail.contact),
        account: None,
        about: mail.about,
        key: details.key(),
        content: MessageContent {
            email: person.email,
            name: Some(name).filter(|name| !name.is_empty()),
            fields: if mail.fields.is_empty() { String::new() } else { Value::Object(mail.fields).to_string() },
            words: mail.words,
        },
        sender: None,
        life_seconds: mail.life_seconds.unwrap_or_else(|| usual_life(mail.kind)),
    };
    Ok(request(&app.writer, tenant, id, meta, new).await?)
}
