//! Following the log: an ordered consumer from a position on, in batches of what is there.

use super::{
    Bus,
    message::{self, MalformedMessage},
    read::ReadError,
};
use crate::{envelope::StoredEvent, subject::Family};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::StreamExt;
use std::time::Duration;

/// A reader at a position of one stream. It survives reconnects of the client and restarts of the server.
///
/// A consumer lives in the memory of the server. The client library would notice its loss by missing heartbeats after
/// half a minute, and would begin anew at the start of the stream if no message had come yet; so a new connection makes a
/// new consumer here, at the position this reader has reached.
pub struct Follow {
    bus: Bus,
    family: Family,
    filters: Vec<String>,
    messages: pull::Ordered,
    /// The first position that was not given out yet.
    next: u64,
    /// The connection the consumer was made on.
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
        let (connection, next) = (self.connects(), from.max(1));
        let messages = self.consume(family, next, filters.clone()).await?;
        Ok(Follow { bus: self.clone(), family, filters, messages, next, connection })
    }

    async fn consume(&self, family: Family, from: u64, filters: Vec<String>) -> Result<pull::Ordered, ReadError> {
        let unreachable = |error: async_nats::Error| ReadError::Unreachable(error.to_string());
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            filter_subjects: filters,
            ..Default::default()
        };
        let stream = self.jetstream().get_stream(&family.stream(self.cell())).await;
        let stream = stream.map_err(|error| unreachable(Box::new(error)))?;
        let consumer = stream.create_consumer(config).await.map_err(|error| unreachable(Box::new(error)))?;
        consumer.messages().await.map_err(|error| unreachable(Box::new(error)))
    }
}

impl Follow {
    /// The next batch: waits for one message (at most `patience`, then an empty batch), then takes what is there
    /// already, up to `limit`.
    pub async fn next_batch(&mut self, limit: usize, patience: Duration) -> Result<Vec<Followed>, ReadError> {
        let connection = self.bus.connects();
        if connection != self.connection {
            self.messages = self.bus.consume(self.family, self.next, self.filters.clone()).await?;
            self.connection = connection;
        }
        let mut batch = Vec::new();
        let first = match tokio::time::timeout(patience, self.messages.next()).await {
            Err(_) => return Ok(batch),
            Ok(first) => first,
        };
        self.push(&mut batch, first)?;
        while batch.len() < limit {
            match futures::FutureExt::now_or_never(self.messages.next()) {
                Some(next) => self.push(&mut batch, next)?,
                None => break,
            }
        }
        Ok(batch)
    }

    fn push<E: std::fmt::Display>(
        &mut self,
        batch: &mut Vec<Followed>,
        next: Option<Result<async_nats::jetstream::Message, E>>,
    ) -> Result<(), ReadError> {
        let closed =
            || ReadError::Unreachable(format!("the reader of {} was closed", self.family.stream(self.bus.cell())));
        let message = next.ok_or_else(closed)?.map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let seq = message.info().map_err(|_| ReadError::Unreadable)?.stream_sequence;
        // What was given out already comes again when the client library makes a new consumer by itself.
        if seq < self.next {
            return Ok(());
        }
        self.next = seq + 1;
        let subject = message.subject.as_str();
        let malformed = |why| Malformed { seq, subject: subject.to_owned(), why };
        batch.push(message::decode(subject, seq, &message.message).map_err(malformed));
        Ok(())
    }
}
