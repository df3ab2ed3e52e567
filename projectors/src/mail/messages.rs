//! Messages as people look at them: to whom, why, and what became of each attempt.
//!
//! To whom and with which words stays sealed in the row; an erased receiver leaves what happened without for whom. Beside the
//! usual tables there is `mails`, from the local part of a Message-ID to its message, for bounces that come back.

use crate::{
    record_view::{Entry, Happening, Record, RecordView},
    search::{Doc, FieldValue},
    views::{ViewError, Views},
};
use bus_schema::{
    KeyId, Keyring, Micros, Revealed, Sealed, TenantId,
    mail::message::{MessageContent, MessageEvent, MessageKind, MessageSender},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The table from mails to messages.
const MAILS: &str = "mails";
/// Attempts a row remembers; the oldest are forgotten, the log has them.
const ATTEMPTS: usize = 60;

pub struct Messages;

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    Queued,
    Deferred,
    Accepted,
    Rejected,
    Parked,
    Withheld,
    Expired,
    Cancelled,
    Bounced,
}

impl MessageState {
    pub const WORDS: [&'static str; 9] =
        ["queued", "deferred", "accepted", "rejected", "parked", "withheld", "expired", "cancelled", "bounced"];

    pub fn as_str(self) -> &'static str {
        match self {
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

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRow {
    pub kind: MessageKind,
    pub template: Option<String>,
    pub contact: Option<Uuid>,
    pub account: Option<Uuid>,
    pub about: Option<Uuid>,
    pub content: Sealed<MessageContent>,
    pub sender: Option<MessageSender>,
    pub state: MessageState,
    pub generation: u32,
    /// Why it is rejected, parked, withheld, bounced or tried again.
    pub cause: Option<String>,
    pub retry_at: Option<Micros>,
    pub expires_at: Micros,
    /// Of every mail of it that was or may have been taken, without angle brackets.
    pub message_ids: Vec<String>,
    pub attempts: Vec<Step>,
}

/// Something that happened to a message after it was requested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub at: Micros,
    /// What it was: a state, or `requeued`, or `unknown` for an attempt that may have been taken.
    pub what: String,
    pub generation: u32,
    /// Of an attempt.
    pub attempt: Option<u32>,
    pub cause: Option<String>,
    pub provider_id: Option<String>,
}

impl MessageRow {
    /// To whom and what, `None` once the receiver's key is gone.
    pub fn reveal(&self, keys: &Keyring) -> Option<MessageContent> {
        self.content.open(keys).ok().and_then(Revealed::known)
    }

    fn step(&mut self, at: Micros, what: &str, attempt: Option<u32>, cause: Option<&str>) -> &mut Step {
        if self.attempts.len() >= ATTEMPTS {
            self.attempts.remove(0);
        }
        self.attempts.push(Step {
            at,
            what: what.to_owned(),
            generation: self.generation,
            attempt,
            cause: cause.map(str::to_owned),
            provider_id: None,
        });
        // One was pushed right before.
        let last = self.attempts.len() - 1;
        &mut self.attempts[last]
    }

    fn end(&mut self, state: MessageState, cause: Option<&str>) {
        self.state = state;
        self.cause = cause.map(str::to_owned);
        self.retry_at = None;
    }

    fn sent_as(&mut self, message_id: &str) {
        if !self.message_ids.iter().any(|known| known == message_id) {
            self.message_ids.push(message_id.to_owned());
        }
    }
}

/// The message whose mail has a token: the local part of its Message-ID, which is in its bounce address too.
pub async fn message_of_mail(views: &Views, tenant: &TenantId, token: &str) -> Result<Option<Uuid>, ViewError> {
    views.entry::<Messages>(tenant, MAILS, token, Vec::new()).await
}

impl RecordView for Messages {
    const NAME: &'static str = "messages";
    const VERSION: u32 = 1;
    type Event = MessageEvent;
    type Row = MessageRow;

    fn fold(row: Option<MessageRow>, event: &MessageEvent, happening: &Happening) -> Option<MessageRow> {
        if let MessageEvent::Requested(requested) = event {
            let requested = requested.clone();
            return Some(MessageRow {
                kind: requested.kind,
                template: requested.template,
                contact: requested.contact,
                account: requested.account,
                about: requested.about,
                content: requested.content,
                sender: requested.sender,
                state: MessageState::Queued,
                generation: 0,
                cause: None,
                retry_at: None,
                expires_at: requested.expires_at,
                message_ids: Vec::new(),
                attempts: Vec::new(),
            });
        }
        let (mut row, at) = (row?, happening.at);
        match event {
            MessageEvent::Requested(_) => {}
            MessageEvent::Accepted(accepted) => {
                row.end(MessageState::Accepted, None);
                row.sent_as(&accepted.message_id);
                let step = row.step(at, "accepted", Some(accepted.attempt), None);
                step.provider_id.clone_from(&accepted.provider_id);
            }
            MessageEvent::Deferred(deferred) => {
                row.end(MessageState::Deferred, Some(&deferred.cause));
                row.retry_at = Some(deferred.retry_at);
                deferred.message_id.iter().for_each(|message_id| row.sent_as(message_id));
                let what = if deferred.unknown { "unknown" } else { "deferred" };
                row.step(at, what, Some(deferred.attempt), Some(&deferred.cause));
            }
            MessageEvent::Rejected(rejected) => {
                row.end(MessageState::Rejected, Some(&rejected.cause));
                row.step(at, "rejected", Some(rejected.attempt), Some(&rejected.cause));
            }
            MessageEvent::Parked(parked) => {
                row.end(MessageState::Parked, Some(&parked.cause));
                row.step(at, "parked", Some(parked.attempt), Some(&parked.cause));
            }
            MessageEvent::Withheld(withheld) => {
                row.end(MessageState::Withheld, Some(&withheld.cause));
                row.step(at, "withheld", None, Some(&withheld.cause));
            }
            MessageEvent::Expired(_) => {
                row.end(MessageState::Expired, None);
                row.step(at, "expired", None, None);
            }
            MessageEvent::Cancelled(_) => {
                row.end(MessageState::Cancelled, None);
                row.step(at, "cancelled", None, None);
            }
            MessageEvent::Bounced(bounced) => {
                row.end(MessageState::Bounced, Some(&bounced.cause));
                row.step(at, "bounced", None, Some(&bounced.cause));
            }
            MessageEvent::Delivered(_) => _ = row.step(at, "delivered", None, None),
            MessageEvent::Complained(complained) => _ = row.step(at, "complained", None, Some(&complained.kind)),
            MessageEvent::ComplaintWithdrawn(_) => _ = row.step(at, "complaint_withdrawn", None, None),
            MessageEvent::Requeued(requeued) => {
                row.end(MessageState::Queued, None);
                row.generation = requeued.generation;
                row.expires_at = requeued.expires_at;
                row.step(at, "requeued", None, None);
            }
        }
        Some(row)
    }

    fn entries(_id: Uuid, row: &MessageRow) -> Vec<Entry> {
        let token = |message_id: &String| message_id.split('@').next().unwrap_or_default().to_owned();
        let tokens = row.message_ids.iter().map(token);
        tokens.map(|partition| Entry { table: MAILS, partition, sort: Vec::new() }).collect()
    }

    fn keys(row: &MessageRow) -> Vec<KeyId> {
        vec![row.content.key()]
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<MessageRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let mut fields = vec![
            ("kind".to_owned(), FieldValue::Str(row.kind.as_str().to_owned())),
            ("state".to_owned(), FieldValue::Str(row.state.as_str().to_owned())),
            ("expires_at".to_owned(), FieldValue::Time(row.expires_at.0)),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        let ids = [("contact", row.contact), ("account", row.account), ("about", row.about)];
        let known = ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), FieldValue::Str(id?.to_string()))));
        fields.extend(known);
        fields.extend(row.template.clone().map(|name| ("template".to_owned(), FieldValue::Str(name))));
        // No text: what it says is the receiver's, and would have to be purged with them.
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: Vec::new(),
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{ID, at, given, keyring, sealed};
    use bus_schema::{
        Actor,
        mail::message::{
            MessageAccepted, MessageBounced, MessageComplained, MessageDeferred, MessageExpired, MessageParked,
            MessageRequested, MessageRequeued, MessageWithheld,
        },
    };

    const AT: Micros = Micros(1_800_000_000_000_000);

    fn requested() -> MessageEvent {
        let content = MessageContent { email: "ada@x.example".into(), name: None, fields: String::new(), words: None };
        MessageRequested {
            kind: MessageKind::Receipt,
            template: None,
            contact: Some(Uuid::from_u128(3)),
            account: None,
            about: Some(Uuid::from_u128(4)),
            content: sealed(&content),
            sender: None,
            expires_at: AT,
        }
        .into()
    }

    fn deferred(attempt: u32, message_id: Option<&str>) -> MessageEvent {
        MessageDeferred {
            generation: 0,
            attempt,
            cause: "rcpt 450".into(),
            unknown: message_id.is_some(),
            retry_at: AT,
            message_id: message_id.map(str::to_owned),
        }
        .into()
    }

    fn accepted(generation: u32, attempt: u32, message_id: &str) -> MessageEvent {
        MessageAccepted { generation, attempt, message_id: message_id.into(), provider_id: Some("q1".into()) }.into()
    }

    /// The row of these events, folded plainly.
    fn row_of(events: &[MessageEvent]) -> MessageRow {
        let fold = |row, (index, event)| {
            let happening = Happening { id: ID, seq: index as u64, at: at(index), actor: Actor::Visitor };
            Messages::fold(row, event, &happening)
        };
        events.iter().enumerate().fold(None, fold).expect("there is a message")
    }

    #[tokio::test]
    async fn each_attempt_is_on_the_timeline_and_every_mail_is_found() {
        let events = vec![
            requested(),
            deferred(1, None),
            deferred(2, Some("one@x.example")),
            accepted(0, 3, "one@x.example"),
            MessageRequeued { generation: 1, expires_at: AT }.into(),
            accepted(1, 1, "two@x.example"),
            MessageBounced { generation: 1, cause: "5.1.1".into(), kind: None }.into(),
            MessageComplained { generation: 1, kind: "abuse".into() }.into(),
        ];
        let row = row_of(&events);
        given::<Messages>(events).then_row(row.clone()).await;
        assert_eq!((row.state, row.cause.as_deref(), row.generation), (MessageState::Bounced, Some("5.1.1"), 1));
        let whats: Vec<&str> = row.attempts.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(whats, ["deferred", "unknown", "accepted", "requeued", "accepted", "bounced", "complained"]);
        assert_eq!(row.attempts[4].provider_id.as_deref(), Some("q1"));
        let partitions: Vec<String> = Messages::entries(ID, &row).into_iter().map(|entry| entry.partition).collect();
        assert_eq!(partitions, ["one", "two"]);
        assert_eq!(row.reveal(&keyring()).unwrap().email, "ada@x.example");
        assert_eq!(row.reveal(&Keyring::default()), None, "erased with its receiver");
    }

    #[tokio::test]
    async fn ends_without_an_attempt_are_ends() {
        let state = |event: MessageEvent| row_of(&[requested(), event]).state;
        assert_eq!(state(MessageExpired {}.into()), MessageState::Expired);
        assert_eq!(state(MessageWithheld { cause: "suppressed".into() }.into()), MessageState::Withheld);
        let parked = MessageParked { generation: 0, attempt: 1, cause: "template".into() };
        assert_eq!(state(parked.into()), MessageState::Parked);
        let mut many = vec![requested()];
        many.extend((1..=70).map(|attempt| deferred(attempt, None)));
        assert_eq!(row_of(&many).attempts.len(), ATTEMPTS);
        for (word, name) in MessageState::WORDS.iter().zip(["queued", "deferred"]) {
            assert_eq!(*word, name);
        }
        let document = given::<Messages>(many).document(&keyring()).await.unwrap();
        assert!(document.text.is_empty() && format!("{:?}", document.fields).find("ada@").is_none());
    }
}
