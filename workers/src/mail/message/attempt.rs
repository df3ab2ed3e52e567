//! One attempt: what there is to do for a message now, done and recorded.

use super::{
    JobError, MessageParts, earlier,
    letter::{self, Unmade},
    verdict::{self, Verdict},
};
use crate::{
    mail::{
        Class,
        providers::{Gate, Handed, Origin},
    },
    runtime::turn::Mine,
    worker::Stop,
};
use bus_schema::{CommandId, Micros, TenantId};
use std::time::Duration;
use uuid::Uuid;
use writers::{
    Meta,
    mail::message::{Message, MessageCommand},
};

/// Seconds after which a message without a provider is looked at again.
const NO_OUTLET: i64 = 30;
/// Before providers that rest, or a domain that gets no more, are asked again.
const SHORTEST: Duration = Duration::from_millis(500);
/// How long to wait before an outcome is recorded again that could not be.
const RETRY: Duration = Duration::from_millis(500);

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is to be done until one of its events says so. `sent`: the provider answered.
    Done { sent: bool },
    /// It is to be looked at then.
    Until(Micros),
    /// The provider cannot be reached. Nothing was recorded.
    Unreached { cause: String },
}

/// Does for a message what its state asks for.
pub(super) async fn run(
    parts: &MessageParts,
    tenant: &TenantId,
    id: Uuid,
    stop: &Stop,
    turn: Option<Mine>,
) -> Result<Rest, JobError> {
    let loaded = parts.writer.load::<Message>(tenant, id).await?;
    let (state, now) = (&loaded.state, parts.writer.clock().now());
    let Some(intent) = state.intent().filter(|_| state.status().is_open()) else {
        return Ok(Rest::Done { sent: false });
    };
    let recording = Recording { parts, tenant, id, stop };
    if state.expires_at() <= now {
        return recording.end(MessageCommand::Expire).await;
    }
    if let Some(then) = state.retry_at().filter(|then| *then > now) {
        return Ok(Rest::Until(earlier(then, state.expires_at())));
    }
    let Some(outlet) = &parts.outlet else {
        return Ok(Rest::Until(earlier(now.plus_seconds(NO_OUTLET), state.expires_at())));
    };
    let (generation, attempt) = (state.generation(), state.next_attempt());
    let letter = match letter::make(parts, outlet, tenant, id, state, intent).await? {
        Ok(letter) => letter,
        Err(Unmade::Withheld(cause)) => return recording.end(MessageCommand::Withhold { cause }).await,
        Err(Unmade::Unfit(cause)) => return recording.end(MessageCommand::Park { generation, attempt, cause }).await,
    };
    let mail = &letter.mail;
    let origin = Origin { tenant, class: Class::Transactional };
    let answer = match outlet.providers().hand_over(&origin, &mail.envelope, &mail.message, &MyTurn(turn)).await {
        Handed::Answered { answer, .. } => answer,
        // Another process sends now. Nothing was handed over.
        Handed::Halted(()) => return Ok(Rest::Until(parts.writer.clock().now())),
        // Nothing was handed over, so nothing is recorded.
        Handed::Resting { again, .. } | Handed::Crowded { again } => {
            return Ok(Rest::Until(earlier(after(parts.writer.clock().now(), again), state.expires_at())));
        }
    };
    let message_id = letter.message_id;
    match verdict::of(&answer) {
        Verdict::Accepted { provider_id } => {
            let accept = MessageCommand::Accept { generation, attempt, message_id, provider_id };
            recording.record(&accept).await?;
            Ok(Rest::Done { sent: true })
        }
        Verdict::Unreached { cause } => Ok(Rest::Unreached { cause }),
        Verdict::Rejected { cause } => {
            recording.record(&MessageCommand::Reject { generation, attempt, cause }).await?;
            Ok(Rest::Done { sent: true })
        }
        Verdict::Deferred { cause, unknown } => {
            let now = parts.writer.clock().now();
            tracing::info!(%tenant, message = %id, attempt, %cause, unknown, "a message was not taken");
            let Some(retry_at) = verdict::retry_at(id, attempt, now) else {
                let cause = format!("tried {attempt} times; at last: {cause}");
                return recording.end(MessageCommand::Park { generation, attempt, cause }).await;
            };
            let retry_at = earlier(retry_at, state.expires_at());
            let message_id = unknown.then_some(message_id);
            recording.record(&MessageCommand::Defer { generation, attempt, cause, message_id, retry_at }).await?;
            Ok(Rest::Until(retry_at))
        }
    }
}

/// Open while it is this process's turn to send, or when there is nobody to take turns with.
struct MyTurn(Option<Mine>);

impl Gate for MyTurn {
    type Halt = ();

    async fn pass(&self) -> Result<(), ()> {
        if self.0.as_ref().is_none_or(Mine::is_mine) { Ok(()) } else { Err(()) }
    }
}

/// When to look again after a rest; at once would be too often while another mail finds out.
fn after(now: Micros, rest: Duration) -> Micros {
    let micros = i64::try_from(rest.max(SHORTEST).as_micros()).unwrap_or(i64::MAX);
    Micros(now.0.saturating_add(micros))
}

/// Where outcomes of one message are recorded.
struct Recording<'a> {
    parts: &'a MessageParts,
    tenant: &'a TenantId,
    id: Uuid,
    stop: &'a Stop,
}

impl Recording<'_> {
    async fn end(&self, command: MessageCommand) -> Result<Rest, JobError> {
        if let MessageCommand::Park { cause, .. } = &command {
            tracing::warn!(tenant = %self.tenant, message = %self.id, %cause, "a message is parked");
        }
        self.record(&command).await?;
        Ok(Rest::Done { sent: false })
    }

    /// Tries until it is recorded: an outcome that is not makes another mail.
    async fn record(&self, command: &MessageCommand) -> Result<(), JobError> {
        let meta = Meta { correlation: self.id, ..Meta::system("messages", CommandId::random()) };
        loop {
            match self.parts.writer.execute::<Message>(self.tenant, self.id, &meta, command).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_outage() && !self.stop.is_asked() => {
                    tracing::warn!(%error, message = %self.id, "what became of a message is not recorded yet");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
