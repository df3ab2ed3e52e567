//! Messages of the log as they are stored, whatever they hold: what makes exact copies of a log, and a log out of copies.

use super::{
    Bus,
    append::{Append, AppendError, Publishable},
    message,
    read::ReadError,
    streams::{StreamError, latest_stream},
};
use crate::{subject::Family, time::Micros};
use async_nats::{HeaderMap, HeaderName, HeaderValue, Message, jetstream::message::Info};
use bytes::Bytes;
use std::sync::Arc;

/// Headers that told the server how to take a message, and mean nothing once it is stored. A copy gets its own.
///
/// Everything else in the headers belongs to the message: `Nats-Msg-Id` is the event's id.
pub const TRANSPORT_HEADERS: [&str; 5] = [
    "Nats-Batch-Commit",
    "Nats-Batch-Id",
    "Nats-Batch-Sequence",
    EXPECTED_LAST_OF_STREAM,
    "Nats-Expected-Last-Subject-Sequence",
];
const EXPECTED_LAST_OF_STREAM: &str = "Nats-Expected-Last-Sequence";

/// One stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub seq: u64,
    /// When the server stored it.
    pub stored: Micros,
    pub subject: String,
    /// All headers, sorted by name; the client library does not keep the order between names, only among the values of
    /// one name.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl StoredMessage {
    /// The headers that belong to the message.
    pub fn own_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |(name, _): &&(String, String)| !TRANSPORT_HEADERS.contains(&name.as_str());
        self.headers.iter().filter(own).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What was read at one time.
#[derive(Clone, Debug, Default)]
pub struct StoredBatch {
    pub messages: Vec<Arc<StoredMessage>>,
    /// How many more the stream held after the last of them.
    pub pending: u64,
}

/// A message and what the server counted behind it.
pub(super) fn stored(message: &Message, info: &Info<'_>) -> (Arc<StoredMessage>, u64) {
    let headers = message.headers.as_ref().map(sorted).unwrap_or_default();
    let micros = info.published.unix_timestamp_nanos() / 1_000;
    let copy = StoredMessage {
        seq: info.stream_sequence,
        stored: Micros(i64::try_from(micros).unwrap_or(i64::MAX)),
        subject: message.subject.to_string(),
        headers,
        body: message.payload.clone(),
    };
    (Arc::new(copy), info.pending)
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |name: &HeaderName, value: &HeaderValue| (name.to_string(), value.to_string());
    let mut pairs: Vec<_> =
        headers.iter().flat_map(|(name, values)| values.iter().map(move |value| pair(name, value))).collect();
    // Stable: the values of one name stay in their order.
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    pairs
}

/// A copy on its way into an empty log.
struct Copy<'a> {
    message: &'a StoredMessage,
    /// On the first message of an append: the position of the one before it.
    after: Option<u64>,
}

impl Publishable for Copy<'_> {
    fn subject(&self) -> &str {
        &self.message.subject
    }

    fn headers(&self) -> Result<HeaderMap, AppendError> {
        let invalid =
            |name: &str| AppendError::Misuse { code: 0, description: format!("the header {name:?} is invalid") };
        let mut headers = HeaderMap::new();
        for (name, value) in self.message.own_headers() {
            let checked: HeaderName = name.parse().map_err(|_| invalid(name))?;
            let value: HeaderValue = value.parse().map_err(|_| invalid(name))?;
            headers.append(checked, value);
        }
        if let Some(after) = self.after {
            headers.insert(EXPECTED_LAST_OF_STREAM, after.to_string());
        }
        Ok(headers)
    }

    fn body(&self) -> &Bytes {
        &self.message.body
    }
}

/// What a stream of latest values holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestState {
    /// The position of the newest value ever written.
    pub last: u64,
    /// How many values were erased.
    pub erased: u64,
}

/// One value of a stream of latest values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestValue {
    pub seq: u64,
    pub subject: String,
    pub body: Bytes,
}

impl Bus {
    /// Appends copies of messages at the positions they had: all of them or none. The server refuses
    /// ([`AppendError::Conflict`]) unless the log ends right before the first. At most [`super::MAX_BATCH`]; they are
    /// contiguous.
    pub async fn append_copies(&self, copies: &[StoredMessage]) -> Result<Append, AppendError> {
        let after = |index: usize, copy: &StoredMessage| (index == 0).then(|| copy.seq.saturating_sub(1));
        let copies: Vec<_> =
            copies.iter().enumerate().map(|(index, message)| Copy { message, after: after(index, message) }).collect();
        self.append_all(&copies.iter().collect::<Vec<_>>()).await
    }

    /// For how long the server refuses an event id it has seen, in a family's stream. While a log is filled from copies
    /// this is as short as the server allows: two facts of one id that were stored hours apart come within a moment.
    pub async fn set_duplicate_window(&self, family: Family, window: DuplicateWindow) -> Result<(), StreamError> {
        let mut config = self.log_config(family, self.cell());
        if window == DuplicateWindow::Filling {
            config.duplicate_window = SHORTEST_WINDOW;
        }
        let name = config.name.clone();
        let updated = self.jetstream().update_stream(config).await;
        updated.map(|_| ()).map_err(|error| StreamError { stream: name, source: Box::new(error) })
    }

    /// What a stream of latest values (`keys`) holds.
    pub async fn latest_state(&self, kind: &str) -> Result<LatestState, StreamError> {
        let state = self.state(latest_stream(kind, self.cell())).await?;
        // With a history of one a value that is gone was erased; no slot is ever written twice.
        let erased = state.last_sequence.saturating_sub(state.messages);
        Ok(LatestState { last: state.last_sequence, erased })
    }

    /// Up to `limit` values (at most 1,000) of a stream of latest values from a position on, and whether more follow.
    pub async fn latest_from(
        &self,
        kind: &str,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<LatestValue>, bool), ReadError> {
        let stream = latest_stream(kind, self.cell());
        let answer = self.next_of(&stream, ">", from, limit).await?;
        let value = |message: &Message| {
            let (subject, seq) = message::direct_position(message).ok_or(ReadError::Unreadable)?;
            Ok(LatestValue { seq, subject, body: message.payload.clone() })
        };
        let values: Vec<_> = answer.messages.iter().map(value).collect::<Result<_, ReadError>>()?;
        Ok((values, answer.pending > 0))
    }
}

/// See [`Bus::set_duplicate_window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateWindow {
    /// While the log is filled from copies.
    Filling,
    /// As a log has it in use.
    Normal,
}

/// The server accepts no shorter one.
const SHORTEST_WINDOW: std::time::Duration = std::time::Duration::from_millis(100);
