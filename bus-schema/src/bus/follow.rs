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
pub struct Follow {
    messages: pull::Ordered,
    stream: String,
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
        let stream = family.stream(self.cell());
        let unreachable = |error: async_nats::Error| ReadError::Unreachable(error.to_string());
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
            filter_subjects: filters,
            ..Default::default()
        };
        let handle = self.jetstream().get_stream(&stream).await.map_err(|error| unreachable(Box::new(error)))?;
        let consumer = handle.create_consumer(config).await.map_err(|error| unreachable(Box::new(error)))?;
        let messages = consumer.messages().await.map_err(|error| unreachable(Box::new(error)))?;
        Ok(Follow { messages, stream })
    }
}

impl Follow {
    /// The next batch: waits for one message (at most `patience`, then an empty batch), then takes what is there
    /// already, up to `limit`.
    pub async fn next_batch(&mut self, limit: usize, patience: Duration) -> Result<Vec<Followed>, ReadError> {
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
        &self,
        batch: &mut Vec<Followed>,
        next: Option<Result<async_nats::jetstream::Message, E>>,
    ) -> Result<(), ReadError> {
        let closed = || ReadError::Unreachable(format!("the reader of {} was closed", self.stream));
        let message = next.ok_or_else(closed)?.map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let seq = message.info().map_err(|_| ReadError::Unreadable)?.stream_sequence;
        let subject = message.subject.as_str();
        let malformed = |why| Malformed { seq, subject: subject.to_owned(), why };
        batch.push(message::decode(subject, seq, &message.message).map_err(malformed));
        Ok(())
    }
}
