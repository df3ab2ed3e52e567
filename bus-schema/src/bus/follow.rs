//! Following the log: a consumer from a position on, in batches of what is there.
//!
//! Each batch is asked for, with a bound on its messages and bytes, so the server never sends faster than the reader
//! takes: it cuts a connection that falls 64 MiB behind. The consumer itself lives only in the server's
//! memory. It is made anew, at the position this reader has reached, whenever a connection was made anew, messages are
//! missing or the server does not know it any more.

use super::{
    ANSWER, Bus,
    copy::{self, StoredBatch},
    message::{self, MalformedMessage},
    read::ReadError,
};
use crate::{envelope::StoredEvent, subject::Family};
use async_nats::{
    Message,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, pull},
        message::Info,
    },
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the server keeps a consumer that nobody asks.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How often a reader that waits looks whether the connection is still the one it asked on.
const LOOK: Duration = Duration::from_millis(100);

/// A reader at a position of one stream. It survives reconnects of the client and restarts of the server.
pub struct Follow {
    bus: Bus,
    family: Family,
    filters: Vec<String>,
    /// The first position that was not given out yet.
    next: u64,
    consumer: Option<Consumer>,
}

struct Consumer {
    /// Where it is asked for messages.
    subject: String,
    /// Messages it has sent, as the server counts them.
    sent: u64,
    /// The connection it was made on.
    connection: u64,
}

/// One message of the log: an event, or the reason why it is none.
pub type Followed = Result<StoredEvent, Malformed>;

/// A message that is not an event, with what is known of it.
#[derive(Debug, Clone)]
pub struct Malformed {
    pub seq: u64,
    pub subject: String,
    pub why: MalformedMessage,
}

impl Bus {
    /// Follows a family's stream from a position on; `filters` are subjects with wildcards, empty for all.
    pub async fn follow(&self, family: Family, from: u64, filters: Vec<String>) -> Result<Follow, ReadError> {
        let mut follow = Follow { bus: self.clone(), family, filters, next: from.max(1), consumer: None };
        follow.open().await?;
        Ok(follow)
    }
}

impl Follow {
    /// The next batch: what is there already, up to `limit` events; else the first event that comes within `patience`;
    /// else nothing. After an error the next call goes on where this one stopped.
    pub async fn next_batch(&mut self, limit: usize, patience: Duration) -> Result<Vec<Followed>, ReadError> {
        let event = |message: &Message, info: &Info<'_>| {
            let (seq, subject) = (info.stream_sequence, message.subject.as_str());
            let malformed = |why| Malformed { seq, subject: subject.to_owned(), why };
            message::decode(subject, seq, message).map_err(malformed)
        };
        self.next_of(limit, patience, event).await
    }

    /// The same for copies: every message as it is stored, events or not.
    pub async fn next_stored(&mut self, limit: usize, patience: Duration) -> Result<StoredBatch, ReadError> {
        let read = self.next_of(limit, patience, copy::stored).await?;
        let pending = read.last().map_or(0, |(_, pending)| *pending);
        Ok(StoredBatch { messages: read.into_iter().map(|(message, _)| message).collect(), pending })
    }

    async fn next_of<T>(
        &mut self,
        limit: usize,
        patience: Duration,
        take: impl Fn(&Message, &Info<'_>) -> T,
    ) -> Result<Vec<T>, ReadError> {
        if self.consumer.as_ref().is_none_or(|consumer| consumer.connection != self.bus.connects()) {
            self.open().await?;
        }
        let ready = json!({ "batch": limit.max(1), "max_bytes": ANSWER, "no_wait": true });
        let batch = self.pull(&ready, limit, Duration::ZERO, &take).await?;
        if !batch.is_empty() {
            return Ok(batch);
        }
        let first = json!({ "batch": 1, "expires": u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX) });
        self.pull(&first, 1, patience, &take).await
    }

    async fn open(&mut self) -> Result<(), ReadError> {
        let connection = self.bus.connects();
        let unreachable = |error: async_nats::Error| ReadError::Unreachable(error.to_string());
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
            ack_policy: AckPolicy::None,
            filter_subjects: self.filters.clone(),
            inactive_threshold: FORGOTTEN_AFTER,
            num_replicas: 1,
            memory_storage: true,
            ..Default::default()
        };
        let stream = self.family.stream(self.bus.cell());
        let made = self.bus.jetstream().create_consumer_on_stream(config, &stream).await;
        let made = made.map_err(|error| unreachable(Box::new(error)))?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", made.cached_info().name);
        self.consumer = Some(Consumer { subject, sent: 0, connection });
        Ok(())
    }

    /// Asks for messages and gathers them until the server says that this was all, or `limit` have come.
    async fn pull<T>(
        &mut self,
        request: &Value,
        limit: usize,
        patience: Duration,
        take: impl Fn(&Message, &Info<'_>) -> T,
    ) -> Result<Vec<T>, ReadError> {
        let unreachable = |why: &str| ReadError::Unreachable(why.to_owned());
        let mut consumer = self.consumer.take().ok_or(ReadError::Unreadable)?;
        let client = self.bus.client();
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error.to_string()))?;
        let asked = client.publish_with_reply(consumer.subject.clone(), inbox, request.to_string().into()).await;
        asked.map_err(|error| unreachable(&error.to_string()))?;
        let end = Instant::now() + patience + self.bus.timeout();
        let mut batch = Vec::new();
        // Leaving the loop by `break` gives the consumer up; what has come in order is good all the same.
        let why = loop {
            if batch.len() == limit {
                self.consumer = Some(consumer);
                return Ok(batch);
            }
            let message = match tokio::time::timeout(LOOK, replies.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => break "the connection closed".to_owned(),
                // What was asked on a connection that is gone will not be answered.
                Err(_) if self.bus.connects() != consumer.connection || !self.bus.is_connected() => {
                    break "the connection was lost".to_owned();
                }
                Err(_) if Instant::now() > end => break "the log did not answer in time".to_owned(),
                Err(_) => continue,
            };
            match message.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                // A sign of life.
                Some(100) => continue,
                Some(404 | 408) => {
                    self.consumer = Some(consumer);
                    return Ok(batch);
                }
                Some(409) if !is_lost(&message) => {
                    self.consumer = Some(consumer);
                    return Ok(batch);
                }
                Some(code) => break format!("{code} {}", message.description.unwrap_or_default()),
            }
            let message = jetstream::Message { message, context: self.bus.jetstream().clone() };
            let info = message.info().map_err(|_| ReadError::Unreadable)?;
            let seq = info.stream_sequence;
            if info.consumer_sequence != consumer.sent + 1 || seq < self.next {
                break "messages are missing".to_owned();
            }
            consumer.sent += 1;
            self.next = seq + 1;
            batch.push(take(&message.message, &info));
        };
        if batch.is_empty() { Err(ReadError::Unreachable(why)) } else { Ok(batch) }
    }
}

/// Whether a 409 says that the consumer is gone, and not only that the answer is complete by its bytes or messages.
fn is_lost(message: &Message) -> bool {
    let complete = ["Batch Completed", "Message Size Exceeds MaxBytes"];
    !message.description.as_deref().is_some_and(|text| complete.contains(&text))
}
