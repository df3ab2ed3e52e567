//! What happens is a reason to write to somebody: an order is paid, somebody is in a course, a password is forgotten, somebody
//! asked for mail at a form.
//!
//! This worker follows the log and requests messages under ids that follow from the reason, so each is requested once however
//! often the event is seen, and its place in the log only saves time. History that was brought in (ADR 10) is no reason: an
//! event that was stored more than a minute after it happened. Nor is what happened before the tenant named a sender, nor what
//! is older than three days. Without a provider customers are not written to later either: nothing is requested.

use crate::{
    history::was_brought_in,
    log_reader::LogReader,
    place::Place,
    worker::{Stop, Worker},
};
use bus_schema::{
    AnyEvent, CommandId, KeyId, Micros, Personal, Revealed, Sealed, StoredEvent, TenantId,
    bus::{Bus, ReadError},
    catalog::Catalogued,
    crm::contact::{ConsentAsked, ContactDetails, ContactEvent},
    identity::account::AccountEvent,
    keys::KeyError,
    learning::enrolment::{Enrolled, EnrolmentEvent},
    mail::message::{MessageContent, MessageKind},
    sealed::SealError,
    shop::order::{OrderEvent, OrderPaid},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use uuid::Uuid;
use writers::{
    Meta, Rejected, WriteError, Writer,
    crm::contact::Contact,
    identity::account::Account,
    learning::course::Course,
    mail::{
        message::{NewMessage, message_of, request, usual_life},
        settings::settings_of,
    },
    shop::order::Order,
};

const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after something failed that may pass.
const RETRY: Duration = Duration::from_secs(1);
/// Times an event is looked at again after something failed that need not pass; the others wait meanwhile.
const TRIES: u32 = 5;
/// Events looked at together.
const TOGETHER: usize = 8;
/// Seconds after which nobody is written to any more.
const TOO_LATE: i64 = 3 * 24 * 60 * 60;

/// What reasons are found with.
#[derive(Clone)]
pub struct ReasonParts {
    pub bus: Bus,
    pub writer: Writer,
    /// Whether there is a provider. Without one only links to passwords are requested, which an operator may see waiting.
    pub provider: bool,
    /// The folder in which this worker keeps its place.
    pub folder: PathBuf,
}

/// Starts following the reasons of the parts' cell.
pub fn start(parts: ReasonParts) -> Worker {
    Worker::start("message-reasons", |stop| run(parts, stop))
}

async fn run(parts: ReasonParts, mut stop: Stop) {
    let path = parts.folder.join("reasons.json");
    let Some(mut place) = Place::open(path, &parts.bus, &mut stop).await else { return };
    let aggregates = [
        (OrderEvent::CONTEXT, OrderEvent::AGGREGATE),
        (EnrolmentEvent::CONTEXT, EnrolmentEvent::AGGREGATE),
        (AccountEvent::CONTEXT, AccountEvent::AGGREGATE),
        (ContactEvent::CONTEXT, ContactEvent::AGGREGATE),
    ];
    let mut reader = LogReader::new(parts.bus.clone(), &aggregates, place.position() + 1);
    stop.status().set_concurrency(TOGETHER);
    let mut done = place.position();
    while !stop.is_asked() {
        stop.pass().await;
        let batch = tokio::select! {
            batch = reader.next(PATIENCE) => batch,
            () = stop.asked() => break,
        };
        let reasons = batch.events.iter().filter(|event| is_candidate(event));
        let all = stream::iter(reasons).for_each_concurrent(TOGETHER, |event| follow(&parts, event, &stop));
        all.await;
        // What was cut off is looked at again.
        if stop.is_asked() {
            break;
        }
        batch.report(stop.status());
        done = batch.upto.unwrap_or(done);
        place.reached(done, false).await;
    }
    place.reached(done, true).await;
}

/// The kind is in the headers: only these few bodies are decoded.
fn is_candidate(event: &StoredEvent) -> bool {
    let kinds = ["order.paid", "enrolment.enrolled", "account.reset_asked", "account.invited", "contact.consent_asked"];
    kinds.contains(&event.envelope.kind.as_str())
}

/// Looks at one event until it is known what comes of it.
async fn follow(parts: &ReasonParts, event: &StoredEvent, stop: &Stop) {
    let mut stop = stop.clone();
    let mut tries = 0;
    loop {
        let (tenant, position) = (&event.subject.tenant, event.seq);
        match look(parts, event).await {
            Ok(()) => {
                stop.status().is_done();
                return;
            }
            Err(ReasonError::Write(WriteError::Rejected(Rejected { code: "message_exists", .. }))) => return,
            // An address that is none, an erased receiver: it will not change by itself.
            Err(ReasonError::Write(WriteError::Rejected(rejected))) => {
                tracing::warn!(%tenant, position, code = rejected.code, "nobody can be written to for this event");
                return;
            }
            Err(error) if error.may_pass() || tries < TRIES => {
                stop.status().failed(format!("event {position} of {tenant} is looked at again: {error}"));
                tracing::warn!(%tenant, position, %error, "an event is looked at again");
            }
            Err(error) => {
                tracing::error!(%tenant, position, %error, "nobody is written to for this event");
                return;
            }
        }
        tries += 1;
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.asked() => return,
        }
    }
}

async fn look(parts: &ReasonParts, event: &StoredEvent) -> Result<(), ReasonError> {
    let (tenant, writer) = (&event.subject.tenant, &parts.writer);
    let Some(id) = event.subject.address.uuid() else { return Ok(()) };
    let decoded = match event.decode() {
        Ok(Some(decoded)) => decoded,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::error!(%tenant, position = event.seq, %error, "an event cannot be read, so nobody is written to");
            return Ok(());
        }
    };
    let kind = match &decoded {
        AnyEvent::Order(OrderEvent::Paid(paid)) if completes(paid) => MessageKind::Receipt,
        AnyEvent::Enrolment(EnrolmentEvent::Enrolled(_)) => MessageKind::Enrolment,
        AnyEvent::Account(AccountEvent::ResetAsked(_)) => MessageKind::PasswordReset,
        AnyEvent::Account(AccountEvent::Invited(_)) => MessageKind::Invitation,
        AnyEvent::Contact(ContactEvent::ConsentAsked(_)) => MessageKind::Confirmation,
        _ => return Ok(()),
    };
    let (at, now) = (event.envelope.at, writer.clock().now());
    if at.plus_seconds(TOO_LATE) < now {
        return Ok(());
    }
    let since = settings_of(writer, tenant).await?.since(kind);
    if since.is_none_or(|since| at < since) {
        return Ok(());
    }
    let customers = matches!(kind, MessageKind::Receipt | MessageKind::Enrolment);
    if customers && (!parts.provider || was_brought_in(&parts.bus, event).await?) {
        return Ok(());
    }
    let (word, letter) = match &decoded {
        AnyEvent::Order(_) => (String::new(), receipt(writer, tenant, id, at).await?),
        AnyEvent::Enrolment(EnrolmentEvent::Enrolled(enrolled)) => {
            (enrolled.round.to_string(), enrolment(writer, tenant, enrolled).await?)
        }
        AnyEvent::Account(AccountEvent::ResetAsked(asked)) => {
            (event.seq.to_string(), password(writer, tenant, id, asked.expires_at, now).await?)
        }
        AnyEvent::Account(AccountEvent::Invited(invited)) => {
            (event.seq.to_string(), password(writer, tenant, id, invited.expires_at, now).await?)
        }
        AnyEvent::Contact(ContactEvent::ConsentAsked(asked)) => {
            (asked.round.to_string(), confirmation(writer, tenant, id, asked, now).await?)
        }
        _ => return Ok(()),
    };
    let Some(letter) = letter else { return Ok(()) };
    let message = message_of(tenant, kind, id, &word);
    let command = CommandId::derived(&["mail.reason", tenant.as_str(), &message.to_string()]);
    let meta = Meta { correlation: event.envelope.correlation, ..Meta::system("message-reasons", command) };
    let new = NewMessage {
        kind,
        template: None,
        contact: letter.contact,
        account: letter.account,
        about: Some(id),
        key: letter.key,
        content: letter.content,
        sender: None,
        life_seconds: letter.life_seconds.unwrap_or_else(|| usual_life(kind)),
    };
    request(writer, tenant, message, &meta, new).await?;
    Ok(())
}

/// Whether this payment is the one with which everything is paid.
fn completes(paid: &OrderPaid) -> bool {
    let (progress, before) = (paid.progress, paid.progress.captured - paid.amount.amount);
    progress.captured >= progress.total && before < progress.total && !progress.cancelled
}

/// What a reason makes, but for what follows from the reason itself.
struct Told {
    contact: Option<Uuid>,
    account: Option<Uuid>,
    key: KeyId,
    content: MessageContent,
    life_seconds: Option<i64>,
}

impl Told {
    fn new(key: KeyId, email: String, name: String, fields: &Value) -> Self {
        let (name, fields) = (Some(name).filter(|name| !name.is_empty()), fields.to_string());
        let content = MessageContent { email, name, fields, words: None };
        Self { contact: None, account: None, key, content, life_seconds: None }
    }
}

async fn opened<T: Personal>(writer: &Writer, tenant: &TenantId, sealed: &Sealed<T>) -> Result<Option<T>, ReasonError> {
    let keys = writer.keys().load(tenant, &[sealed.key()]).await?;
    Ok(sealed.open(&keys).map(Revealed::known)?)
}

async fn receipt(writer: &Writer, tenant: &TenantId, id: Uuid, at: Micros) -> Result<Option<Told>, ReasonError> {
    let order = writer.load::<Order>(tenant, id).await?;
    let Some(placed) = order.state.placed() else { return Ok(None) };
    let Some(buyer) = opened(writer, tenant, &placed.buyer).await? else { return Ok(None) };
    let lines: Vec<Value> = placed
        .lines
        .iter()
        .map(|line| {
            json!({"name": line.name, "sku": line.sku, "quantity": line.quantity, "unit_price": line.unit_price,
                "total": line.unit_price.times(line.quantity)})
        })
        .collect();
    let total = bus_schema::Money::new(placed.progress.total, placed.progress.currency);
    let fields =
        json!({"order": id, "paid_at": at.to_string(), "lines": lines, "total": total, "address": buyer.address});
    let told = Told::new(placed.buyer.key(), buyer.email, buyer.name, &fields);
    Ok(Some(Told { contact: placed.contact, ..told }))
}

/// A message to a contact who is there, under the contact's key.
async fn to_contact(writer: &Writer, tenant: &TenantId, id: Uuid, fields: &Value) -> Result<Option<Told>, ReasonError> {
    let contact = writer.load::<Contact>(tenant, id).await?;
    let Some(sealed) = contact.state.details() else { return Ok(None) };
    let Some(ContactDetails { email, first_name, last_name, .. }) = opened(writer, tenant, sealed).await? else {
        return Ok(None);
    };
    let name = [first_name, last_name].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(Some(Told { contact: Some(id), ..Told::new(sealed.key(), email, name, fields) }))
}

async fn enrolment(writer: &Writer, tenant: &TenantId, enrolled: &Enrolled) -> Result<Option<Told>, ReasonError> {
    let course = writer.load::<Course>(tenant, enrolled.course).await?;
    let lessons = enrolled.required.len() + enrolled.optional.len();
    let fields = json!({"course": course.state.details().title, "course_id": enrolled.course, "lessons": lessons});
    to_contact(writer, tenant, enrolled.contact, &fields).await
}

/// A question whether somebody wants mail; its link is made with the mail. A later question takes the place of this one.
async fn confirmation(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    asked: &ConsentAsked,
    now: Micros,
) -> Result<Option<Told>, ReasonError> {
    let left = (asked.expires_at.0 - now.0) / 1_000_000;
    let contact = writer.load::<Contact>(tenant, id).await?;
    if left < 60 || contact.state.asked(asked.purpose).is_none_or(|open| open.round != asked.round) {
        return Ok(None);
    }
    let fields = json!({"purpose": asked.purpose, "round": asked.round});
    let told = to_contact(writer, tenant, id, &fields).await?;
    Ok(told.map(|told| Told { life_seconds: Some(left), ..told }))
}

/// A link to choose a password is made with the mail.
async fn password(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    expires_at: Micros,
    now: Micros,
) -> Result<Option<Told>, ReasonError> {
    let left = (expires_at.0 - now.0) / 1_000_000;
    let account = writer.load::<Account>(tenant, id).await?;
    let Some(sealed) = account.state.person().filter(|_| left >= 60) else { return Ok(None) };
    let Some(person) = opened(writer, tenant, sealed).await? else { return Ok(None) };
    let told = Told::new(sealed.key(), person.email, person.name, &json!({}));
    Ok(Some(Told { account: Some(id), life_seconds: Some(left), ..told }))
}

/// Why it is not known yet what comes of an event.
#[derive(Debug, thiserror::Error)]
enum ReasonError {
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("the key of its receiver: {0}")]
    Key(#[from] KeyError),
    #[error("its receiver: {0}")]
    Seal(#[from] SealError),
    #[error("when it was stored: {0}")]
    Read(#[from] ReadError),
}

impl ReasonError {
    /// Whether a part could not be reached.
    fn may_pass(&self) -> bool {
        match self {
            Self::Write(error) => error.is_outage(),
            Self::Key(_) | Self::Read(_) => true,
            Self::Seal(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{Money, money::Currency, shop::order::OrderProgress};

    #[test]
    fn the_payment_that_completes_an_order_is_the_reason_for_its_receipt() {
        let paid = |captured: i64, amount: i64, cancelled| {
            let progress = OrderProgress::new(Money::new(1_000, Currency::EUR));
            let progress = OrderProgress { captured, cancelled, ..progress };
            completes(&OrderPaid {
                amount: Money::new(amount, Currency::EUR),
                method: "card".into(),
                reference: "r".into(),
                progress,
            })
        };
        assert!(paid(1_000, 1_000, false) && paid(1_000, 400, false));
        assert!(!paid(600, 600, false), "not all of it");
        assert!(!paid(1_000, 1_000, true), "cancelled");
    }
}
