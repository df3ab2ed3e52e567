//! Appending to the log: one publish, or one atomic batch (ADR-50 of the NATS project), each message with the position
//! its subject must stand at.

use super::{Bus, message};
use crate::envelope::Envelope;
use async_nats::{HeaderMap, client::RequestErrorKind};
use bytes::Bytes;
use serde::Deserialize;

const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// The server's own bound on the messages of one batch.
pub const MAX_BATCH: usize = 1000;

/// A message on its way to the log.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub subject: String,
    pub envelope: Option<Envelope>,
    pub body: Bytes,
    /// The position of the last message on this subject, 0 for none. `None` only for facts and for further messages
    /// of a subject inside one batch.
    pub expect: Option<u64>,
}

/// Where an append ended up: the position of its last message. The messages of a batch are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    pub last_seq: u64,
    /// The server had seen the event id before and stored nothing new.
    pub duplicate: bool,
}

#[derive(Deserialize)]
struct Ack {
    error: Option<ServerError>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize, Debug)]
struct ServerError {
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Bus {
    /// Publishes one message and waits until it is durable.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<Append, AppendError> {
        let headers = outgoing.headers()?;
        self.outcome(self.request(outgoing.subject, headers, outgoing.body)).await
    }

    /// Publishes several messages of one stream, all or nothing.
    pub async fn publish_batch(&self, outgoing: Vec<Outgoing>) -> Result<Append, AppendError> {
        self.publish_all(&outgoing.iter().collect::<Vec<_>>()).await
    }

    /// The same for messages the caller keeps: one alone goes out as a plain publish.
    pub async fn publish_all(&self, outgoing: &[&Outgoing]) -> Result<Append, AppendError> {
        self.append_all(outgoing).await
    }

    pub(super) async fn append_all<M: Publishable>(&self, outgoing: &[&M]) -> Result<Append, AppendError> {
        debug_assert!(outgoing.len() <= MAX_BATCH);
        self.outcome(self.send_all(outgoing)).await
    }

    async fn outcome(&self, sent: impl Future<Output = Result<Append, AppendError>>) -> Result<Append, AppendError> {
        let lost = || Err(AppendError::Unknown("the connection was lost".into()));
        self.unless_lost(sent).await.unwrap_or_else(lost)
    }

    async fn send_all<M: Publishable>(&self, outgoing: &[&M]) -> Result<Append, AppendError> {
        let Some((last, others)) = outgoing.split_last() else {
            return Err(AppendError::Misuse { code: 0, description: "an empty batch".into() });
        };
        if others.is_empty() {
            return self.request(last.subject().to_owned(), last.headers()?, last.body().clone()).await;
        }
        let batch = crate::ids::random_uuid().simple().to_string();
        let place = |message: &M, sequence: usize| {
            let mut headers = message.headers()?;
            headers.insert(BATCH_ID, batch.as_str());
            headers.insert(BATCH_SEQUENCE, sequence.to_string());
            Ok(headers)
        };
        for (index, message) in others.iter().enumerate() {
            self.client()
                .publish_with_headers(message.subject().to_owned(), place(message, index + 1)?, message.body().clone())
                .await
                .map_err(|error| AppendError::Unreachable(error.to_string()))?;
        }
        let mut headers = place(last, outgoing.len())?;
        headers.insert(BATCH_COMMIT, "1");
        self.request(last.subject().to_owned(), headers, last.body().clone()).await
    }

    /// One message that is not of the log, until it is durable.
    pub(super) async fn request_once(
        &self,
        subject: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Append, AppendError> {
        self.outcome(self.request(subject, headers, body)).await
    }

    async fn request(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<Append, AppendError> {
        let request = async_nats::Request::new().headers(headers).payload(body).timeout(Some(self.timeout()));
        let answer = self.client().send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => AppendError::Unreachable("no stream takes this subject".into()),
            RequestErrorKind::TimedOut => AppendError::Unknown("no acknowledgement in time".into()),
            _ => AppendError::Unknown(error.to_string()),
        })?;
        let ack: Ack = serde_json::from_slice(&answer.payload)
            .map_err(|error| AppendError::Unknown(format!("unreadable acknowledgement: {error}")))?;
        match ack.error {
            None => Ok(Append { last_seq: ack.seq, duplicate: ack.duplicate }),
            Some(error) => Err(classify(error)),
        }
    }
}

/// What an append is made of.
pub(super) trait Publishable {
    fn subject(&self) -> &str;

    /// Without those of a batch.
    fn headers(&self) -> Result<HeaderMap, AppendError>;

    fn body(&self) -> &Bytes;
}

impl Publishable for Outgoing {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn headers(&self) -> Result<HeaderMap, AppendError> {
        let mut headers = self.envelope.as_ref().map(message::headers_of).unwrap_or_default();
        if let Some(expect) = self.expect {
            headers.insert(EXPECTED_LAST, expect.to_string());
        }
        Ok(headers)
    }

    fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The error table of the design, section 3.
fn classify(error: ServerError) -> AppendError {
    match error.err_code {
        10071 | 10164 => AppendError::Conflict,
        10201 => AppendError::Duplicate,
        10176 | 10210 => AppendError::Unreachable(error.description),
        10077 | 10023 | 10047 => AppendError::Full(error.description),
        code => AppendError::Misuse { code, description: error.description },
    }
}

/// What can become of an append. The variants differ in what the caller may do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Somebody else was first: load again and decide again.
    #[error("the subject has moved on since it was read")]
    Conflict,
    /// The server has seen an event id of this append within its window: what became of it must be read back.
    #[error("an event of this append is in the log already")]
    Duplicate,
    /// Nothing was stored; the same append may be sent again.
    #[error("the log did not take the append: {0}")]
    Unreachable(String),
    /// It may or may not be stored: read the subject back.
    #[error("it is unknown whether the log took the append: {0}")]
    Unknown(String),
    #[error("the log has no room left ({0}); free disk space or raise the store limit")]
    Full(String),
    /// Our own mistake.
    #[error("the log refused the append as malformed ({code}): {description}")]
    Misuse { code: u64, description: String },
}
