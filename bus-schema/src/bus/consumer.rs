//! A durable consumer: the server remembers what was delivered and not acknowledged, and how often, for as long as the
//! stream lives.
//!
//! Messages are asked for in batches, like everywhere ([`super::puller`]). Whoever takes one says [`Delivery::ack`] when it is
//! done, [`Delivery::again_after`] when it failed, and [`Delivery::working`] while it takes longer; a message about which
//! nothing is said for [`ConsumerSpec::ack_wait`] is delivered again, here or elsewhere.

use super::{ANSWER, Bus, Followed, Malformed, message, read::ReadError, timers};
use crate::subject::Family;
use async_nats::{
    Message,
    jetstream::{
        self, AckKind,
        consumer::{AckPolicy, DeliverPolicy, pull},
    },
};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often a reader that waits looks whether the connection is still the one it asked on.
const LOOK: Duration = Duration::from_millis(100);

/// The stream a consumer takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Log(Family),
    /// Timers that are due.
    Timers,
}

impl Source {
    fn stream(self, bus: &Bus) -> String {
        match self {
            Self::Log(family) => family.stream(bus.cell()),
            Self::Timers => timers::stream(bus.cell()),
        }
    }
}

/// Where a consumer begins that has never been there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the first message of the stream.
    First,
    /// With what comes from now on.
    Next,
}

/// What a consumer is. All but `begin` may change between two starts.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    pub source: Source,
    /// Subjects with wildcards, at least one.
    pub filters: Vec<String>,
    pub begin: Begin,
    /// After so much silence about a message it is delivered again.
    pub ack_wait: Duration,
    /// Messages delivered and not acknowledged at most; the server waits then.
    pub max_in_flight: usize,
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to here is acknowledged.
    pub acknowledged: u64,
    /// The last position that was delivered.
    pub delivered: u64,
    /// Delivered and not acknowledged.
    pub in_flight: u64,
    /// Not delivered yet.
    pub pending: u64,
}

/// A durable consumer. It survives reconnects of the client and restarts of the server.
pub struct Consumer {
    bus: Bus,
    spec: ConsumerSpec,
    /// The connection on which it was last made sure that it exists.
    known_on: Option<u64>,
}

impl Bus {
    /// Takes up a durable consumer, or makes it. Nothing is asked of the server yet.
    pub fn consumer(&self, spec: ConsumerSpec) -> Consumer {
        Consumer { bus: self.clone(), spec, known_on: None }
    }
}

impl Consumer {
    fn stream(&self) -> String {
        self.spec.source.stream(&self.bus)
    }

    /// What is there already, up to `limit` messages; else the first one that comes within `patience`; else nothing. Not
    /// safe to cancel: what was delivered meanwhile comes again only after `ack_wait`.
    pub async fn next(&mut self, limit: usize, patience: Duration) -> Result<Vec<Delivery>, ReadError> {
        self.ensure().await?;
        let ready = json!({ "batch": limit.max(1), "max_bytes": ANSWER, "no_wait": true });
        let ready = self.pull(&ready, limit, Duration::ZERO).await?;
        if !ready.is_empty() || patience.is_zero() {
            return Ok(ready);
        }
        let first = json!({ "batch": 1, "expires": u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX) });
        self.pull(&first, 1, patience).await
    }

    /// How far it is.
    pub async fn standing(&mut self) -> Result<Standing, ReadError> {
        self.ensure().await?;
        let subject = format!("$JS.API.CONSUMER.INFO.{}.{}", self.stream(), self.spec.name);
        let answer = self.bus.unless_lost(self.bus.client().request(subject, Bytes::new())).await;
        let answer = answer
            .ok_or_else(|| ReadError::Unreachable("the connection was lost".into()))?
            .map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let info: Value = serde_json::from_slice(&answer.payload).map_err(|_| ReadError::Unreadable)?;
        if let Some(why) = info["error"]["description"].as_str() {
            self.known_on = None;
            return Err(ReadError::Unreachable(why.to_owned()));
        }
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        Ok(Standing {
            acknowledged: number(&info["ack_floor"]["stream_seq"]),
            delivered: number(&info["delivered"]["stream_seq"]),
            in_flight: number(&info["num_ack_pending"]),
            pending: number(&info["num_pending"]),
        })
    }

    /// Makes sure, once a connection, that the server has it with today's settings.
    async fn ensure(&mut self) -> Result<(), ReadError> {
        let connection = self.bus.connects();
        if self.known_on == Some(connection) {
            return Ok(());
        }
        let spec = &self.spec;
        let config = pull::Config {
            durable_name: Some(spec.name.clone()),
            deliver_policy: match spec.begin {
                Begin::First => DeliverPolicy::All,
                Begin::Next => DeliverPolicy::New,
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: spec.ack_wait,
            // Whoever takes them decides when it was often enough: a limit here would lose the message without a word.
            max_deliver: -1,
            filter_subjects: spec.filters.clone(),
            max_ack_pending: i64::try_from(spec.max_in_flight).unwrap_or(i64::MAX),
            ..Default::default()
        };
        let made = self.bus.unless_lost(self.bus.jetstream().create_consumer_on_stream(config, self.stream())).await;
        let made = made.ok_or_else(|| ReadError::Unreachable("the connection was lost".into()))?;
        made.map_err(|error| ReadError::Unreachable(error.to_string()))?;
        self.known_on = Some(connection);
        Ok(())
    }

    async fn pull(&mut self, request: &Value, limit: usize, patience: Duration) -> Result<Vec<Delivery>, ReadError> {
        let unreachable = |why: &str| ReadError::Unreachable(why.to_owned());
        let (client, connection) = (self.bus.client(), self.bus.connects());
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error.to_string()))?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream(), self.spec.name);
        let asked = client.publish_with_reply(subject, inbox, request.to_string().into()).await;
        asked.map_err(|error| unreachable(&error.to_string()))?;
        let end = Instant::now() + patience + self.bus.timeout();
        let mut batch = Vec::new();
        let outcome = loop {
            if batch.len() == limit {
                break Ok(());
            }
            let message = match tokio::time::timeout(LOOK, replies.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => break Err("the connection closed".to_owned()),
                // What was asked on a connection that is gone will not be answered.
                Err(_) if self.bus.connects() != connection || !self.bus.is_connected() => {
                    break Err("the connection was lost".to_owned());
                }
                Err(_) if Instant::now() > end => break Err("the log did not answer in time".to_owned()),
                Err(_) => continue,
            };
            match message.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                // A sign of life.
                Some(100) => continue,
                Some(404 | 408) => break Ok(()),
                Some(409) if is_complete(&message) => break Ok(()),
                Some(code) => break Err(format!("{code} {}", message.description.unwrap_or_default())),
            }
            match Delivery::of(jetstream::Message { message, context: self.bus.jetstream().clone() }) {
                Some(delivery) => batch.push(delivery),
                None => break Err("an answer of the log cannot be read".to_owned()),
            }
        };
        match outcome {
            Err(why) => {
                // Whatever is wrong with it, the next call looks first whether it is there.
                self.known_on = None;
                if batch.is_empty() { Err(ReadError::Unreachable(why)) } else { Ok(batch) }
            }
            Ok(()) => Ok(batch),
        }
    }
}

/// Whether a 409 says only that the answer is complete, or that as much is in flight as may be.
fn is_complete(message: &Message) -> bool {
    let complete = ["Batch Completed", "Message Size Exceeds MaxBytes", "Exceeded MaxAckPending"];
    message.description.as_deref().is_some_and(|text| complete.iter().any(|known| text.contains(known)))
}

/// One message, delivered for the `attempt`-th time.
#[derive(Clone)]
pub struct Delivery {
    pub seq: u64,
    /// 1 for the first time; counted by the server, so a crash counts too.
    pub attempt: u64,
    message: jetstream::Message,
}

impl Delivery {
    fn of(message: jetstream::Message) -> Option<Self> {
        let info = message.info().ok()?;
        let (seq, attempt) = (info.stream_sequence, u64::try_from(info.delivered).unwrap_or(1));
        Some(Self { seq, attempt, message })
    }

    /// The event, or the reason why it is none.
    pub fn event(&self) -> Followed {
        let subject = self.message.subject.as_str();
        let malformed = |why| Malformed { seq: self.seq, subject: subject.to_owned(), why };
        message::decode(subject, self.seq, &self.message).map_err(malformed)
    }

    pub fn subject(&self) -> &str {
        self.message.subject.as_str()
    }

    pub fn body(&self) -> &Bytes {
        &self.message.payload
    }

    /// It is done. When this is lost, the message comes again.
    pub async fn ack(&self) {
        self.say(AckKind::Ack).await;
    }

    /// It is to come again after a while.
    pub async fn again_after(&self, delay: Duration) {
        self.say(AckKind::Nak(Some(delay))).await;
    }

    /// It is still being worked on: the wait for an acknowledgement begins anew.
    pub async fn working(&self) {
        self.say(AckKind::Progress).await;
    }

    async fn say(&self, what: AckKind) {
        // What the server does not hear it takes as silence, and delivers again.
        if let Err(error) = self.message.ack_with(what).await {
            tracing::debug!(%error, seq = self.seq, "the log did not hear what became of a message");
        }
    }
}
