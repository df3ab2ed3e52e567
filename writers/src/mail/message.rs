//! Messages: one mail to one person. It is requested once, tried until somebody takes it, and every end of it is told.
//!
//! Whoever requests one names an id that follows from the reason (an order's payment), so the same reason makes one message
//! however often it is seen: creation at position 0 is the dedupe, without a window (spec/EMAIL.md 5.3, 2). What became of an
//! attempt is recorded after it; an attempt of which nothing is recorded is made again.

mod content;
mod returned;

use super::{feedback::Told, settings::settings_of};
use crate::{
    decider::{Ctx, Decider, Decision, KeyNeed},
    rejections,
    text::TextFault,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    CommandId, KeyId, Micros, Sealed, TenantId,
    mail::message::{
        MessageAccepted, MessageCancelled, MessageContent, MessageDeferred, MessageEvent, MessageExpired, MessageKind,
        MessageParked, MessageRejected, MessageRequested, MessageRequeued, MessageSender, MessageWithheld,
    },
};
pub use content::{MAX_FIELDS, MAX_HTML, MAX_TEXT, is_template_name, valid_sender, valid_words};
use returned::Returned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// How long a message may wait for its mail to be taken, at most, in seconds.
pub const LONGEST_LIFE: i64 = 30 * 24 * 60 * 60;
/// The life of a message whose author does not say, in seconds: what relays use for queued mail (RFC 5321 4.5.4.1 asks for
/// 4 to 5 days of trying; a receipt of the day before yesterday is of little use).
pub const USUAL_LIFE: i64 = 3 * 24 * 60 * 60;
/// The life of a link to choose a new password, in seconds: an hour, so that a mailbox read later opens nothing.
pub const RESET_LIFE: i64 = 60 * 60;
/// The life of a link to choose the first password, in seconds: a week, since nobody waits for it.
pub const INVITATION_LIFE: i64 = 7 * 24 * 60 * 60;
/// The life of a question whether somebody wants mail, in seconds: two days, as long as its link works.
pub const CONFIRMATION_LIFE: i64 = 2 * 24 * 60 * 60;
/// Mails of one message: whoever wants more has another reason.
const MAX_GENERATION: u32 = 20;

/// A message. Its intent is shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Message {
    intent: Option<Arc<Intent>>,
    status: MessageStatus,
    generation: u32,
    /// Ended attempts of this generation.
    attempts: u32,
    retry_at: Option<Micros>,
    expires_at: Micros,
    /// What came back about the mail of this generation.
    #[serde(default)]
    returned: Returned,
}

/// What was asked for, once and for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intent {
    pub kind: MessageKind,
    pub template: Option<String>,
    pub contact: Option<Uuid>,
    pub account: Option<Uuid>,
    pub about: Option<Uuid>,
    pub content: Sealed<MessageContent>,
    pub sender: Option<MessageSender>,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageStatus {
    #[default]
    Absent,
    /// To be sent.
    Queued,
    /// To be sent again later.
    Deferred,
    Accepted,
    Rejected,
    /// Waits for a person.
    Parked,
    Withheld,
    Expired,
    Cancelled,
    /// Taken, and come back.
    Bounced,
}

impl MessageStatus {
    /// Whether it is to be sent.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Deferred)
    }
}

/// A message somebody wants to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub kind: MessageKind,
    /// A template of the tenant instead of that of the kind.
    pub template: Option<String>,
    pub contact: Option<Uuid>,
    pub account: Option<Uuid>,
    pub about: Option<Uuid>,
    /// The receiver's key: a contact's, an account's, that of a buyer without contact.
    pub key: KeyId,
    pub content: MessageContent,
    pub sender: Option<MessageSender>,
    /// How long it may wait, from now on, in seconds.
    pub life_seconds: i64,
}

/// What can be asked of a message.
#[derive(Clone, Debug)]
pub enum MessageCommand {
    Request(Box<NewMessage>),
    /// The provider took the mail of an attempt. True whatever was decided meanwhile.
    Accept {
        generation: u32,
        attempt: u32,
        message_id: String,
        provider_id: Option<String>,
    },
    /// The attempt ended, and another follows. `message_id`: the provider may have taken it.
    Defer {
        generation: u32,
        attempt: u32,
        cause: String,
        message_id: Option<String>,
        retry_at: Micros,
    },
    Reject {
        generation: u32,
        attempt: u32,
        cause: String,
    },
    /// No attempt follows until a person says so.
    Park {
        generation: u32,
        attempt: u32,
        cause: String,
    },
    Withhold {
        cause: String,
    },
    /// Its time is over.
    Expire,
    /// A person does not want it to be sent any more. What is being handed over at this moment still goes out.
    Cancel,
    /// Something came back about its mail.
    Tell {
        generation: u32,
        what: Told,
    },
    /// A person wants it to be tried again: the same mail, with the same Message-ID.
    Retry,
    /// A person wants another mail of it, with another Message-ID.
    Resend,
}

rejections! {
    /// Why a command to a message is refused.
    pub enum MessageRejection {
        Unknown: Missing, "message_not_found", "", "there is no such message";
        Exists: State, "message_exists", "", "the message was requested already";
        NotOpen { status: &'static str }: State, "message_not_open", "", "the message is {status}, so it is not waiting to be sent";
        UnderWay: State, "message_under_way", "", "the message is waiting to be sent already; cancel it if it should not be";
        NotParked: State, "message_not_parked", "", "only a parked message is tried again; resend makes another mail of this one";
        NotDue: State, "message_not_due", "", "the message's time is not over yet";
        TooManyResends: State, "too_many_resends", "", "a message is sent again at most {MAX_GENERATION} times; make another message";
        ReceiverErased: State, "receiver_erased", "/to", "the receiver was erased, so nothing can be kept or sent under their key";
        InvalidAddress: Invalid, "invalid_email", "/to", "an e-mail address has the form name@domain (RFC 5321), at most 254 characters";
        InvalidSender: Invalid, "invalid_sender", "/from_email", "a sender has the form name@domain in ASCII (RFC 5321), at most 254 characters";
        InvalidFields: Invalid, "invalid_fields", "/data", "the fields of a template are a JSON object of at most {MAX_FIELDS} bytes";
        InvalidTemplate: Invalid, "invalid_template_name", "/template", "a template is named by 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter";
        InvalidStatus: Invalid, "invalid_status", "/status", "a status has the form 5.1.1 (RFC 3463)";
        InvalidLife: Invalid, "invalid_life", "/expires_in_hours", "a message waits for a minute at least and 30 days at most";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of html and text, characters of other fields)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed, and no line break where one line is meant";
    }
}

impl From<TextFault> for MessageRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Message {
    pub fn status(&self) -> MessageStatus {
        self.status
    }

    pub fn intent(&self) -> Option<&Intent> {
        self.intent.as_deref()
    }

    /// Raised when a person wants another mail of it; part of the Message-ID.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The number of the next attempt.
    pub fn next_attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    pub fn retry_at(&self) -> Option<Micros> {
        self.retry_at
    }

    pub fn expires_at(&self) -> Micros {
        self.expires_at
    }

    fn request(&self, new: &NewMessage, ctx: &Ctx) -> Result<MessageRequested, MessageRejection> {
        use MessageRejection as R;
        if self.intent.is_some() {
            return Err(R::Exists);
        }
        if !(60..=LONGEST_LIFE).contains(&new.life_seconds) {
            return Err(R::InvalidLife);
        }
        if new.template.as_deref().is_some_and(|name| !is_template_name(name)) {
            return Err(R::InvalidTemplate);
        }
        let content = content::valid(&new.content)?;
        let sender = new.sender.as_ref().map(valid_sender).transpose()?;
        Ok(MessageRequested {
            kind: new.kind,
            template: new.template.clone(),
            contact: new.contact,
            account: new.account,
            about: new.about,
            content: ctx.seal(new.key, &content).map_err(|_| R::ReceiverErased)?,
            sender,
            expires_at: ctx.now.plus_seconds(new.life_seconds),
        })
    }

    /// Whether what became of an attempt is news: of the present generation, and not told yet.
    fn is_news(&self, generation: u32, attempt: u32) -> bool {
        generation == self.generation && attempt > self.attempts
    }

    fn requeue(&self, generation: u32, now: Micros) -> MessageRequeued {
        let life = self.intent().map_or(USUAL_LIFE, |intent| usual_life(intent.kind));
        MessageRequeued { generation, expires_at: now.plus_seconds(life) }
    }

    fn settle(&mut self, status: MessageStatus, generation: u32, attempt: u32) {
        self.status = status;
        self.generation = generation;
        self.attempts = attempt;
        self.retry_at = None;
    }
}

impl MessageStatus {
    fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
            Self::Withheld => "withheld",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Bounced => "bounced",
        }
    }
}

impl Decider for Message {
    type Event = MessageEvent;
    type Command = MessageCommand;
    type Rejection = MessageRejection;

    fn decide(&self, command: &MessageCommand, ctx: &Ctx) -> Result<Decision<MessageEvent>, MessageRejection> {
        use MessageCommand as C;
        use MessageRejection as R;
        use MessageStatus as S;
        if let C::Request(new) = command {
            return Ok(Decision::event(self.request(new, ctx)?));
        }
        if self.intent.is_none() {
            return Err(R::Unknown);
        }
        let not_open = || R::NotOpen { status: self.status.word() };
        match command {
            C::Request(_) => Err(R::Exists),
            C::Accept { generation, attempt, message_id, provider_id } => {
                // What came back was taken before, also when that is recorded later.
                if !self.is_news(*generation, *attempt) || self.status == S::Bounced {
                    return Ok(Decision::nothing());
                }
                let (message_id, provider_id) = (message_id.clone(), provider_id.clone());
                let (generation, attempt) = (*generation, *attempt);
                Ok(Decision::event(MessageAccepted { generation, attempt, message_id, provider_id }))
            }
            // What did not end it says nothing about a message that ended otherwise meanwhile.
            C::Defer { generation, attempt, .. }
            | C::Reject { generation, attempt, .. }
            | C::Park { generation, attempt, .. }
                if !self.is_news(*generation, *attempt) || !self.status.is_open() =>
            {
                Ok(Decision::nothing())
            }
            C::Defer { generation, attempt, cause, message_id, retry_at } => Ok(Decision::event(MessageDeferred {
                generation: *generation,
                attempt: *attempt,
                cause: cause.clone(),
                unknown: message_id.is_some(),
                retry_at: *retry_at,
                message_id: message_id.clone(),
            })),
            C::Reject { generation, attempt, cause } => {
                let (generation, attempt, cause) = (*generation, *attempt, cause.clone());
                Ok(Decision::event(MessageRejected { generation, attempt, cause }))
            }
            C::Park { generation, attempt, cause } => {
                let (generation, attempt, cause) = (*generation, *attempt, cause.clone());
                Ok(Decision::event(MessageParked { generation, attempt, cause }))
            }
            C::Withhold { cause } if self.status.is_open() => {
                Ok(Decision::event(MessageWithheld { cause: cause.clone() }))
            }
            C::Withhold { .. } => Ok(Decision::nothing()),
            C::Expire if !self.status.is_open() => Ok(Decision::nothing()),
            C::Expire if ctx.now < self.expires_at => Err(R::NotDue),
            C::Expire => Ok(Decision::event(MessageExpired {})),
            C::Cancel => match self.status {
                S::Queued | S::Deferred | S::Parked => Ok(Decision::event(MessageCancelled {})),
                S::Cancelled => Ok(Decision::nothing()),
                _ => Err(not_open()),
            },
            // Of an earlier mail of it nobody wants to know any more.
            C::Tell { generation, .. } if *generation != self.generation => Ok(Decision::nothing()),
            C::Tell { generation, what } => self.returned.tell(*generation, what),
            C::Retry => match self.status {
                S::Parked => Ok(Decision::event(self.requeue(self.generation, ctx.now))),
                _ if self.status.is_open() => Err(R::UnderWay),
                _ => Err(R::NotParked),
            },
            C::Resend if self.status.is_open() => Err(R::UnderWay),
            C::Resend if self.generation >= MAX_GENERATION => Err(R::TooManyResends),
            C::Resend => Ok(Decision::event(self.requeue(self.generation + 1, ctx.now))),
        }
    }

    fn evolve(&mut self, event: &MessageEvent) {
        use MessageStatus as S;
        self.returned.evolve(event);
        match event {
            MessageEvent::Requested(requested) => {
                let MessageRequested { kind, template, contact, account, about, content, sender, expires_at } =
                    requested.clone();
                self.intent = Some(Arc::new(Intent { kind, template, contact, account, about, content, sender }));
                self.status = S::Queued;
                self.expires_at = expires_at;
            }
            MessageEvent::Accepted(accepted) => self.settle(S::Accepted, accepted.generation, accepted.attempt),
            MessageEvent::Deferred(deferred) => {
                self.settle(S::Deferred, deferred.generation, deferred.attempt);
                self.retry_at = Some(deferred.retry_at);
            }
            MessageEvent::Rejected(rejected) => self.settle(S::Rejected, rejected.generation, rejected.attempt),
            MessageEvent::Parked(parked) => self.settle(S::Parked, parked.generation, parked.attempt),
            MessageEvent::Withheld(_) => self.settle(S::Withheld, self.generation, self.attempts),
            MessageEvent::Expired(_) => self.settle(S::Expired, self.generation, self.attempts),
            MessageEvent::Cancelled(_) => self.settle(S::Cancelled, self.generation, self.attempts),
            MessageEvent::Bounced(_) => self.settle(S::Bounced, self.generation, self.attempts),
            MessageEvent::Requeued(requeued) => {
                // The attempts of the same mail go on being counted, the pauses between them begin anew.
                let attempts = if requeued.generation == self.generation { self.attempts } else { 0 };
                self.settle(S::Queued, requeued.generation, attempts);
                self.expires_at = requeued.expires_at;
            }
            MessageEvent::Delivered(_) | MessageEvent::Complained(_) | MessageEvent::ComplaintWithdrawn(_) => {}
        }
    }

    fn keys(&self, command: &MessageCommand) -> KeyNeed {
        match command {
            MessageCommand::Request(new) => KeyNeed::Existing(vec![new.key]),
            _ => KeyNeed::None,
        }
    }

    fn creates(command: &MessageCommand) -> bool {
        matches!(command, MessageCommand::Request(_))
    }

    /// A message claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> MessageRejection {
        MessageRejection::Exists
    }
}

/// How long a message of a kind may wait when nobody says otherwise, in seconds. A link in it works as long.
pub fn usual_life(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::PasswordReset => RESET_LIFE,
        MessageKind::Invitation => INVITATION_LIFE,
        MessageKind::Confirmation => CONFIRMATION_LIFE,
        _ => USUAL_LIFE,
    }
}

/// The id of the message that one reason makes: the kind and what it is about, with a word when one thing is a reason
/// several times (the round of an enrolment).
pub fn message_of(tenant: &TenantId, kind: MessageKind, about: Uuid, word: &str) -> Uuid {
    CommandId::derived(&["mail.message", tenant.as_str(), kind.as_str(), &about.to_string(), word]).0
}

/// Requests a message, from the tenant's present sender unless one is named. It is durable when this returns, and is sent from then on until it is taken or expires. Requested
/// again under the same command id it is the same message.
pub async fn request(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    new: NewMessage,
) -> Result<Receipt<Loaded<Message>>, WriteError> {
    let sender = match new.sender {
        Some(sender) => Some(sender),
        None => settings_of(writer, tenant).await?.sender().cloned(),
    };
    writer.execute::<Message>(tenant, id, meta, &MessageCommand::Request(Box::new(NewMessage { sender, ..new }))).await
}

#[cfg(test)]
mod tests;
