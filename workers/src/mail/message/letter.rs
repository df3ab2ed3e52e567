//! A message made into a mail: its words with its fields, its sender, its Message-ID.

use super::{
    JobError, MessageParts, builtin,
    words::{Words, Written},
};
use crate::mail::{
    Class, Composed, FeedbackId, HeaderName, HeaderText, IntentKey, Letter, MAIL_HEADER, MailAddress, Mailbox, Purpose,
    SingleVerp,
    campaign::{Outlet, stack},
};
use bus_schema::{
    Micros, Revealed, TenantId, crm,
    mail::{
        message::{MessageContent, MessageKind, MessageSender, MessageWords},
        suppression::SuppressionReason,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;
use writers::{
    WriteError,
    crm::{
        contact::{Contact, LinkState},
        subscription::ConfirmationLink,
    },
    identity::{
        account::Account,
        password_reset::ResetLink,
        tenant::{Tenant, tenant_aggregate},
    },
    mail::{
        message::{Intent, Message},
        settings::settings_of,
        suppression::held,
    },
};

/// What names the platform in the Feedback-ID.
const SENDER: &str = "millrace";
/// How old what is known of a tenant may be.
const FRESH: Duration = Duration::from_secs(1);
/// Before the address messages come from whose tenant named no sender.
const LOCAL: &str = "no-reply";

/// A mail ready to be handed over.
pub(super) struct Made {
    pub(super) mail: Composed,
    /// Without angle brackets.
    pub(super) message_id: String,
}

/// Why there is no mail; without anything of its receiver.
pub(super) enum Unmade {
    /// It is not to be sent.
    Withheld(String),
    /// It cannot be made as it is; somebody has to change something.
    Unfit(String),
}

/// Makes the mail of a message. The same message and generation give the same Message-ID.
pub(super) async fn make(
    parts: &MessageParts,
    outlet: &Outlet,
    tenant: &TenantId,
    id: Uuid,
    message: &Message,
    intent: &Intent,
) -> Result<Result<Made, Unmade>, JobError> {
    let keys = parts.writer.keys().load(tenant, &[intent.content.key()]).await?;
    let content = match intent.content.open(&keys) {
        Ok(Revealed::Known(content)) => content,
        Ok(Revealed::Erased) => return Ok(Err(Unmade::Withheld("its receiver was erased".to_owned()))),
        Err(error) => return Ok(Err(Unmade::Unfit(format!("its content cannot be opened: {error}")))),
    };
    if let Some(reason) = stopped(parts, tenant, intent.kind, &content.email).await? {
        return Ok(Err(Unmade::Withheld(format!("suppressed: {}", reason.as_str()))));
    }
    let tenant_key = parts.writer.tenant_key(tenant).await?;
    let home = tenant_aggregate(&parts.writer, tenant).await?;
    let home = parts.writer.load_cached::<Tenant>(tenant, home, FRESH).await?;
    let tenant_name = match home.state.name() {
        "" => tenant.to_string(),
        name => name.to_owned(),
    };
    let settings = settings_of(&parts.writer, tenant).await?;
    let name = intent.template.as_deref().unwrap_or(intent.kind.as_str());
    let words = content.words.clone().or_else(|| settings.template(name).cloned());
    let built_in = || builtin::words(intent.kind).filter(|_| intent.template.is_none());
    let Some(words) = words.or_else(built_in) else {
        return Ok(Err(Unmade::Unfit(format!("the tenant has no template {name}"))));
    };
    let link = match intent.account.filter(|_| opens_an_account(intent.kind)) {
        Some(account) => match password_link(parts, outlet, tenant, account, message.expires_at()).await? {
            Some(link) => Some(link),
            None => return Ok(Err(Unmade::Withheld("the account is gone or disabled".to_owned()))),
        },
        None => None,
    };
    let link = match intent.contact.filter(|_| intent.kind == MessageKind::Confirmation && link.is_none()) {
        Some(contact) => match confirmation_link(parts, outlet, tenant, contact, &content).await? {
            Some(link) => Some(link),
            None => return Ok(Err(Unmade::Withheld("the question was answered, withdrawn or asked again".to_owned()))),
        },
        None => link,
    };
    let site = match home.state.hosts().first() {
        Some(host) => format!("https://{host}/"),
        None => format!("{}/sites/{tenant}/", outlet.public()),
    };
    let token = IntentKey::of(&tenant_key).token(tenant, "message", &id.to_string(), message.generation());
    let draft = Draft {
        fields: fields(&content, &tenant_name, outlet.public(), site, link, message.expires_at()),
        sender: intent.sender.clone().unwrap_or_else(|| MessageSender {
            name: tenant_name,
            email: format!("{LOCAL}@{}", outlet.domain()),
            reply_to: None,
        }),
        verp: SingleVerp::of(&token, id, message.generation()),
        token,
        feedback: FeedbackId::try_new(intent.kind.as_str(), tenant.as_str(), Class::Transactional, SENDER).ok(),
        outlet: outlet.clone(),
        content,
        words,
        at: parts.writer.clock().now(),
    };
    let made = stack::run(move || draft.made()).await?;
    Ok(made.map_err(Unmade::Unfit))
}

/// Why an address gets no mail of a kind. What somebody needs to get into their own account stops only where nobody reads it.
async fn stopped(
    parts: &MessageParts,
    tenant: &TenantId,
    kind: MessageKind,
    email: &str,
) -> Result<Option<SuppressionReason>, JobError> {
    let held = match held(&parts.writer, tenant, email).await {
        Ok(held) => held,
        // It is no address; making the mail says so.
        Err(WriteError::Rejected(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stops = |reason: &SuppressionReason| match opens_an_account(kind) {
        true => *reason == SuppressionReason::HardBounce,
        false => reason.stops_transactional(),
    };
    Ok(held.into_iter().find(stops))
}

fn opens_an_account(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::PasswordReset | MessageKind::Invitation)
}

/// The link to choose a password: made here and nowhere else.
async fn password_link(
    parts: &MessageParts,
    outlet: &Outlet,
    tenant: &TenantId,
    account: Uuid,
    expires_at: Micros,
) -> Result<Option<String>, JobError> {
    let state = parts.writer.load::<Account>(tenant, account).await?;
    let Some((_, count)) = state.state.password().filter(|_| !state.state.is_disabled()) else { return Ok(None) };
    let key = parts.writer.tenant_key(tenant).await?;
    let token = ResetLink { tenant: tenant.clone(), account, expires_at }.token(&key, count);
    Ok(Some(format!("{}/v1/password_resets/{token}", outlet.public())))
}

/// The link with which a contact confirms a consent: made here and nowhere else. `None`: there is nothing to confirm any more.
async fn confirmation_link(
    parts: &MessageParts,
    outlet: &Outlet,
    tenant: &TenantId,
    contact: Uuid,
    content: &MessageContent,
) -> Result<Option<String>, JobError> {
    let Ok(Question { purpose, round }) = serde_json::from_str(&content.fields) else { return Ok(None) };
    let state = parts.writer.load::<Contact>(tenant, contact).await?;
    if state.state.link(purpose, round, parts.writer.clock().now()) != LinkState::Open {
        return Ok(None);
    }
    let key = parts.writer.tenant_key(tenant).await?;
    let token = ConfirmationLink { tenant: tenant.clone(), contact, purpose, round }.token(&key);
    Ok(Some(format!("{}/v1/subscriptions/{token}", outlet.public())))
}

/// What a confirmation asks, in its fields.
#[derive(Deserialize)]
struct Question {
    purpose: crm::contact::Purpose,
    round: u32,
}

/// What templates may name: what its author gave, and what every message has.
fn fields(
    content: &MessageContent,
    tenant_name: &str,
    public: &str,
    site: String,
    link: Option<String>,
    expires_at: Micros,
) -> Map<String, Value> {
    let mut fields: Map<String, Value> = serde_json::from_str(&content.fields).unwrap_or_default();
    let path = fields.get("path").and_then(Value::as_str).filter(|path| path.starts_with('/'));
    if let Some(link) = link.or_else(|| path.map(|path| format!("{public}{path}"))) {
        fields.insert("link".to_owned(), link.into());
    }
    // Where there is nothing better to open.
    fields.entry("link").or_insert_with(|| site.clone().into());
    let minute = expires_at.to_string().chars().take(16).collect::<String>().replace('T', " ");
    fields.insert("valid_until".to_owned(), minute.into());
    let ours = [
        ("tenant_name", tenant_name.to_owned()),
        ("public_url", public.to_owned()),
        ("site_url", site),
        ("email", content.email.clone()),
        ("name", content.name.clone().unwrap_or_default()),
    ];
    fields.extend(ours.map(|(name, value)| (name.to_owned(), Value::String(value))));
    fields
}

/// Everything a mail is made of, to be moved to a deep stack.
struct Draft {
    outlet: Outlet,
    token: crate::mail::Token,
    /// Where it comes back to, which names it.
    verp: Option<SingleVerp>,
    sender: MessageSender,
    content: MessageContent,
    words: MessageWords,
    fields: Map<String, Value>,
    feedback: Option<FeedbackId>,
    at: Micros,
}

impl Draft {
    fn made(self) -> Result<Made, String> {
        let written = Words::try_new(&self.words).and_then(|words| words.write(&self.fields));
        let Written { subject, html, text } = written.map_err(|error| format!("template {error}"))?;
        let from = address("sender", &self.sender.email)?;
        if !self.outlet.takes_sender(from.domain()) {
            let (sender, domain) = (from.domain(), self.outlet.domain());
            return Err(format!(
                "its sender is at {sender}, and this platform sends for {domain} only (--mail-from-domain)"
            ));
        }
        let message_id = self.token.message_id(from.domain());
        let from = Mailbox::new(line("the sender's name", &self.sender.name)?, from);
        let reply_to = match &self.sender.reply_to {
            Some(reply_to) => Some(Mailbox::new(line("", "")?, address("reply address", reply_to)?)),
            None => None,
        };
        let name = self.content.name.as_deref().unwrap_or_default();
        let to = Mailbox::new(line("the receiver's name", name)?, address("receiver", &self.content.email)?);
        let subject = line("the subject", &subject)?;
        if subject.is_empty() {
            return Err("template subject: it becomes empty".to_owned());
        }
        let named = match &self.verp {
            Some(verp) => vec![(header(MAIL_HEADER)?, line("its own name", &verp.to_string())?)],
            None => Vec::new(),
        };
        let letter = Letter {
            token: &self.token,
            from: &from,
            to: &to,
            reply_to: reply_to.as_ref(),
            subject: &subject,
            html: &html,
            text: text.as_deref(),
            purpose: Purpose::Transactional,
            feedback: self.feedback.as_ref(),
            automatic: true,
            headers: &named,
            at: self.at,
        };
        let composer = self.outlet.composer();
        let mut mail = composer.compose(&letter).map_err(|error| error.to_string())?;
        if let Some(verp) = &self.verp {
            mail.envelope.sender = Some(verp.address(composer.bounce()));
        }
        Ok(Made { mail, message_id })
    }
}

fn address(what: &str, address: &str) -> Result<MailAddress, String> {
    MailAddress::try_new(address).map_err(|error| format!("its {what}: {error}"))
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_new(name).map_err(|error| error.to_string())
}

fn line(what: &str, text: &str) -> Result<HeaderText, String> {
    HeaderText::try_new(text).map_err(|error| format!("{what}: {error}"))
}
