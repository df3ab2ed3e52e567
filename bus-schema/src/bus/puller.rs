//! A consumer of a stream from a position on, in batches of what is there.
//!
//! Each batch is asked for, with a bound on its messages and bytes, so the server never sends faster than the reader
//! takes: it cuts a connection that falls 64 MiB behind. The consumer itself lives only in the server's
//! memory. It is made anew, at the position this reader has reached, whenever a connection was made anew, messages are
//! missing or the server does not know it any more.

use super::{
    ANSWER, Bus, Followed, Malformed,
    copy::{self, StoredBatch},
    message,
    read::ReadError,
};
use crate::subject::Family;
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
/// A wait that is shorter is none.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);
/// How often a reader that waits looks whether the connection is still the one it asked on.
const LOOK: Duration = Duration::from_millis(100);

/// A consumer at a position of one stream. It survives reconnects of the client and restarts of the server.
pub(super) struct Puller {
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

impl Puller {
    pub(super) fn new(bus: Bus, family: Family, filters: Vec<String>, next: u64) -> Self {
        Self { bus, family, filters, next, consumer: None }
    }

    /// The first position that was not given out yet.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What is there already, up to `limit` messages, without waiting. After an error the next call goes on where this
    /// one stopped.
    pub(super) async fn ready(&mut self, limit: usize) -> Result<Vec<Followed>, ReadError> {
        self.pull_ready(limit, followed).await
    }

    /// The first message that comes within `patience`, or nothing.
    pub(super) async fn first(&mut self, patience: Duration) -> Result<Vec<Followed>, ReadError> {
        self.pull_first(patience, followed).await
    }

    /// Both for copies: every message as it is stored.
    pub(super) async fn stored(&mut self, limit: usize, patience: Duration) -> Result<StoredBatch, ReadError> {
        let mut read = self.pull_ready(limit, copy::stored).await?;
        if read.is_empty() {
            read = self.pull_first(patience, copy::stored).await?;
        }
        let pending = read.last().map_or(0, |(_, pending)| *pending);
        Ok(StoredBatch { messages: read.into_iter().map(|(message, _)| message).collect(), pending })
    }

    async fn pull_ready<T>(
        &mut self,
        limit: usize,
        take: impl Fn(&Message, &Info<'_>) -> T,
    ) -> Result<Vec<T>, ReadError> {
        let request = json!({ "batch": limit.max(1), "max_bytes": ANSWER, "no_wait": true });
        self.pull(&request, limit, Duration::ZERO, take).await
    }

    async fn pull_first<T>(
        &mut self,
        patience: Duration,
        take: impl Fn(&Message, &Info<'_>) -> T,
    ) -> Result<Vec<T>, ReadError> {
        // To the server no time at all means for ever.
        if patience < LEAST_PATIENCE {
            return Ok(Vec::new());
        }
        let request = json!({ "batch": 1, "expires": u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX) });
        self.pull(&request, 1, patience, take).await
    }

    /// Makes the consumer, unless there is one on this connection.
    pub(super) async fn ensure_open(&mut self) -> Result<(), ReadError> {
        if self.consumer.as_ref().is_none_or(|consumer| consumer.connection != self.bus.connects()) {
            self.open().await?;
        }
        Ok(())
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
        self.ensure_open().await?;
        let mut consumer = self.consumer.take().ok_or(ReadError::Unreadable)?;
        let client = self.bus.client();
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error.to_string()))?;
        let asked = client.publish_with_reply(consumer.subject.clone(), inbox, request.to_string().into()).await;
        asked.map_err(|error| unreachable(&error.to_string()))?;
        let end = Instant::now() + patience + self.bus.timeout();
        let (mut batch, mut next) = (Vec::new(), self.next);
        // Leaving the loop with a reason gives the consumer up; what has come in order is good all the same. A caller who
        // gives up meanwhile leaves no consumer and the position as it was: the next call asks for the same again.
        let outcome = loop {
            if batch.len() == limit {
                break Ok(consumer);
            }
            let message = match tokio::time::timeout(LOOK, replies.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => break Err("the connection closed".to_owned()),
                // What was asked on a connection that is gone will not be answered.
                Err(_) if self.bus.connects() != consumer.connection || !self.bus.is_connected() => {
                    break Err("the connection was lost".to_owned());
                }
                Err(_) if Instant::now() > end => break Err("the log did not answer in time".to_owned()),
                Err(_) => continue,
            };
            match message.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                // A sign of life.
                Some(100) => continue,
                Some(404 | 408) => break Ok(consumer),
                Some(409) if !is_lost(&message) => break Ok(consumer),
                Some(code) => break Err(format!("{code} {}", message.description.unwrap_or_default())),
            }
            let message = jetstream::Message { message, context: self.bus.jetstream().clone() };
            let info = message.info().map_err(|_| ReadError::Unreadable)?;
            let seq = info.stream_sequence;
            if info.consumer_sequence != consumer.sent + 1 || seq < next {
                break Err("messages are missing".to_owned());
            }
            consumer.sent += 1;
            next = seq + 1;
            batch.push(take(&message.message, &info));
        };
        self.next = next;
        match outcome {
            Ok(consumer) => self.consumer = Some(consumer),
            Err(why) if batch.is_empty() => return Err(ReadError::Unreachable(why)),
            Err(_) => {}
        }
        Ok(batch)
    }
}

fn followed(message: &Message, info: &Info<'_>) -> Followed {
    let (seq, subject) = (info.stream_sequence, message.subject.as_str());
    let malformed = |why| Malformed { seq, subject: subject.to_owned(), why };
    message::decode(subject, seq, message).map_err(malformed)
}

/// Whether a 409 says that the consumer is gone, and not only that the answer is complete by its bytes or messages.
fn is_lost(message: &Message) -> bool {
    let complete = ["Batch Completed", "Message Size Exceeds MaxBytes"];
    !message.description.as_deref().is_some_and(|text| complete.contains(&text))
}
