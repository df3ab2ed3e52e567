//! Reading the log without a consumer: batched direct get.

use super::{
    ANSWER, Bus,
    filter::passes,
    leader::seen,
    message::{self, MalformedMessage},
    streams::latest_stream,
};
use crate::{Micros, envelope::StoredEvent, subject::Family};
use async_nats::Message;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Messages asked for at once; the server sends them as one stream of replies.
const BATCH: usize = 512;
/// A read that nobody has begun to answer is asked once more after this: the server that had it may be dead, and the others answer
/// at once. Reads change nothing, so they may be asked twice.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The server answers at most this many subjects of one "last of each" request.
const MAX_SUBJECTS: usize = 512;

impl Bus {
    /// Every event of one subject after a position, oldest first. Fails at a message that is none.
    pub async fn read_subject(&self, family: Family, subject: &str, after: u64) -> Result<Vec<StoredEvent>, ReadError> {
        let stream = family.stream(self.cell());
        let mut events: Vec<StoredEvent> = Vec::new();
        let mut from = after + 1;
        loop {
            let answer = self.next_of(&stream, subject, from, BATCH).await?;
            for message in &answer.messages {
                events.push(stored(&stream, message)?);
            }
            let Some(last) = events.last().filter(|_| answer.pending > 0) else { return Ok(events) };
            from = last.seq + 1;
        }
    }

    /// Up to `limit` events (at most 1,000) from a position on whose subject matches a filter (wildcards allowed). Fewer
    /// may come although more are there, because the server bounds an answer by its bytes too; [`Piece::more`] tells.
    /// Messages that are no events are passed over: the views they concern say so.
    pub async fn read_filtered(
        &self,
        family: Family,
        filter: &str,
        from: u64,
        limit: usize,
    ) -> Result<Piece, ReadError> {
        let stream = family.stream(self.cell());
        let answer = self.next_of(&stream, filter, from, limit).await?;
        let next = answer.messages.last().and_then(message::direct_position).map_or(from, |(_, seq)| seq + 1);
        let events = answer.messages.iter().map(|message| stored(&stream, message));
        let is_event = |event: &Result<_, ReadError>| !matches!(event, Err(ReadError::Malformed { .. }));
        let events = events.filter(is_event).collect::<Result<_, _>>()?;
        Ok(Piece { events, next, more: answer.pending > 0 })
    }

    /// The position of the first message of a filter that was stored at or after a time; one beyond the last position when
    /// there is none. The server's times rise with the positions, those inside events need not.
    pub async fn first_stored(&self, family: Family, filter: &str, time: Micros) -> Result<u64, ReadError> {
        let stream = family.stream(self.cell());
        let last = self.last_seq(family).await.map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let (mut low, mut high) = (1, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let answer = self.next_of(&stream, filter, middle, 1).await?;
            let Some(first) = answer.messages.first() else {
                high = middle;
                continue;
            };
            let stored = message::stored_at(first).ok_or(ReadError::Unreadable)?;
            let (_, seq) = message::direct_position(first).ok_or(ReadError::Unreadable)?;
            if stored < time { low = seq + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// When the server stored a message of a subject; `None`: there is none at this position. Not the time inside its event,
    /// which may be chosen for history that is brought in.
    pub async fn stored_at(&self, family: Family, subject: &str, seq: u64) -> Result<Option<Micros>, ReadError> {
        let answer = self.next_of(&family.stream(self.cell()), subject, seq, 1).await?;
        let found = answer
            .messages
            .first()
            .filter(|message| message::direct_position(message).is_some_and(|(_, position)| position == seq));
        found.map(|message| message::stored_at(message).ok_or(ReadError::Unreadable)).transpose()
    }

    pub(super) async fn next_of(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        limit: usize,
    ) -> Result<Answer, ReadError> {
        let batch = limit.min(1000);
        let request = json!({ "seq": from.max(1), "next_by_subj": filter, "batch": batch, "max_bytes": ANSWER });
        let mut patience = self.patience(stream);
        loop {
            let mut answer = self.direct_get(stream, &request).await?;
            let last = answer.messages.last().and_then(message::direct_position);
            let next = last.map_or(from, |(_, seq)| seq + 1);
            // It says that nothing follows: nothing that it has.
            if answer.pending > 0 || !self.leader_has(stream, filter, next).await? {
                return Ok(answer);
            }
            if answer.messages.len() >= batch {
                answer.pending = 1;
                return Ok(answer);
            }
            patience.a_moment().await?;
        }
    }

    /// The position of the last event of each subject; a subject that has none is absent.
    pub async fn last_positions(&self, family: Family, subjects: &[String]) -> Result<HashMap<String, u64>, ReadError> {
        let stream = family.stream(self.cell());
        let found = self.last_of(&stream, subjects).await?;
        Ok(found.into_iter().filter_map(|message| message::direct_position(&message)).collect())
    }

    /// The last event of each subject that has one.
    pub async fn last_events(&self, family: Family, subjects: &[String]) -> Result<Vec<StoredEvent>, ReadError> {
        let stream = family.stream(self.cell());
        let mut patience = self.patience(&stream);
        let mut goals = HashMap::new();
        loop {
            let found = self.last_of(&stream, subjects).await?;
            let newest: HashMap<String, u64> = found.iter().filter_map(message::direct_position).collect();
            let behind = self.behind(&stream, &newest).await?;
            if falling_short(behind, &newest, &mut goals).is_empty() {
                return found.iter().map(|message| stored(&stream, message)).collect();
            }
            patience.a_moment().await?;
        }
    }

    /// The newest value of each subject of a stream of latest values (`keys`, `snapshots`), with its position.
    pub async fn latest(&self, kind: &str, subjects: &[String]) -> Result<HashMap<String, (u64, Bytes)>, ReadError> {
        let stream = latest_stream(kind, self.cell());
        let found = self.last_of(&stream, subjects).await?;
        Ok(found
            .into_iter()
            .filter_map(|message| {
                let (subject, seq) = message::direct_position(&message)?;
                Some((subject, (seq, message.payload)))
            })
            .collect())
    }

    /// Deletes one message of a stream of latest values so that its bytes are overwritten on disk. `Ok(false)`: it was
    /// gone already.
    pub async fn erase_latest(&self, kind: &str, seq: u64) -> Result<bool, ReadError> {
        let stream = latest_stream(kind, self.cell());
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
        let body = json!({ "seq": seq, "no_erase": false }).to_string();
        let answer = self.unless_lost(self.client().request(subject, body.into())).await;
        let answer = answer
            .ok_or_else(|| ReadError::Unreachable("the connection was lost".into()))?
            .map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|_| ReadError::Unreadable)?;
        match (&answer["success"], answer["error"]["err_code"].as_u64()) {
            (Value::Bool(true), _) => Ok(true),
            (_, Some(10043 | 10037)) => Ok(false),
            _ => Err(ReadError::Unreachable(answer["error"]["description"].to_string())),
        }
    }

    async fn last_of_a_copy(&self, stream: &str, subjects: &[String]) -> Result<Vec<Message>, ReadError> {
        let mut messages = Vec::with_capacity(subjects.len());
        for chunk in subjects.chunks(MAX_SUBJECTS) {
            let mut missing = chunk.to_vec();
            loop {
                let answer = self.direct_get(stream, &json!({ "multi_last": missing, "max_bytes": ANSWER })).await?;
                let cut = answer.pending > 0 && !answer.messages.is_empty();
                if cut {
                    let found: HashSet<String> = answer
                        .messages
                        .iter()
                        .filter_map(message::direct_position)
                        .map(|(subject, _)| subject)
                        .collect();
                    let before = missing.len();
                    missing.retain(|subject| !found.contains(subject));
                    if missing.len() == before {
                        return Err(ReadError::Unreachable(
                            "a pattern of subjects stands for more than one answer takes".into(),
                        ));
                    }
                }
                messages.extend(answer.messages);
                if !cut {
                    break;
                }
            }
        }
        Ok(messages)
    }

    /// The same, and a subject that is missing in the answer has nothing. One with wildcards stands for a few; what is appended while
    /// this waits for a copy need not be in the answer.
    async fn last_of(&self, stream: &str, subjects: &[String]) -> Result<Vec<Message>, ReadError> {
        let mut messages = self.last_of_a_copy(stream, subjects).await?;
        let mut patience = self.patience(stream);
        let mut goals: HashMap<String, u64> = HashMap::new();
        loop {
            let found: HashMap<String, u64> = messages.iter().filter_map(message::direct_position).collect();
            let lacking = self.lacking(stream, subjects, &found).await?;
            let again = falling_short(lacking, &found, &mut goals);
            if again.is_empty() {
                return Ok(messages);
            }
            patience.a_moment().await?;
            let is_asked_again = |message: &Message| {
                message::direct_position(message)
                    .is_some_and(|(subject, _)| again.iter().any(|filter| passes(filter, &subject)))
            };
            messages.retain(|message| !is_asked_again(message));
            messages.extend(self.last_of_a_copy(stream, &again).await?);
        }
    }

    /// Sends one direct get and gathers its replies up to the end mark.
    async fn direct_get(&self, stream: &str, request: &Value) -> Result<Answer, ReadError> {
        let lost = || Err(ReadError::Unreachable("the connection was lost".into()));
        let asked = async {
            match self.gather(stream, request, ASK_AGAIN).await? {
                Some(answer) => Ok(answer),
                None => {
                    let silent = || ReadError::Unreachable("the log did not answer in time".into());
                    self.gather(stream, request, self.timeout()).await?.ok_or_else(silent)
                }
            }
        };
        self.unless_lost(asked).await.unwrap_or_else(lost)
    }

    /// `None`: no answer began within `patience`.
    async fn gather(&self, stream: &str, request: &Value, patience: Duration) -> Result<Option<Answer>, ReadError> {
        let inbox = self.client().new_inbox();
        let mut replies =
            self.client().subscribe(inbox.clone()).await.map_err(|error| ReadError::Unreachable(error.to_string()))?;
        self.client()
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.to_string().into())
            .await
            .map_err(|error| ReadError::Unreachable(error.to_string()))?;
        let mut messages = Vec::new();
        let Ok(mut next) = tokio::time::timeout(patience, replies.next()).await else { return Ok(None) };
        loop {
            let message = next.ok_or_else(|| ReadError::Unreachable("the connection closed".into()))?;
            match message.status.map(|status| status.as_u16()) {
                // 204 is the end of a batch, 404 says that nothing matches.
                Some(204 | 404) => return Ok(Some(Answer { pending: message::pending(&message), messages })),
                Some(503) => return Err(ReadError::Unreachable(format!("nothing serves the stream {stream}"))),
                Some(code) if code >= 400 => {
                    let why = message.description.map(|text| text.to_string()).unwrap_or_default();
                    return Err(ReadError::Refused { code, why });
                }
                _ => messages.push(message),
            }
            next = tokio::time::timeout(self.timeout(), replies.next())
                .await
                .map_err(|_| ReadError::Unreachable("the log ended in the middle of an answer".into()))?;
        }
    }
}

/// Of subjects that lack something those that have not what the leader had when they were first looked at.
fn falling_short(
    lacking: Vec<(String, u64)>,
    found: &HashMap<String, u64>,
    goals: &mut HashMap<String, u64>,
) -> Vec<String> {
    let mut short = Vec::new();
    for (subject, newest) in lacking {
        let goal = *goals.entry(subject.clone()).or_insert(newest);
        if seen(&subject, found) < goal {
            short.push(subject);
        }
    }
    short
}

/// Events of a stretch of the log.
#[derive(Clone, Debug)]
pub struct Piece {
    pub events: Vec<StoredEvent>,
    /// Where to go on.
    pub next: u64,
    /// Whether more matched when this was read.
    pub more: bool,
}

/// What a direct get brought.
pub(super) struct Answer {
    pub(super) messages: Vec<Message>,
    /// Messages that match too and were left out, because the answer was long enough.
    pub(super) pending: u64,
}

fn stored(stream: &str, message: &Message) -> Result<StoredEvent, ReadError> {
    let (subject, seq) = message::direct_position(message).ok_or(ReadError::Unreadable)?;
    message::decode(&subject, seq, message).map_err(|source| ReadError::Malformed {
        stream: stream.to_owned(),
        seq,
        source,
    })
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the log cannot be read now: {0}")]
    Unreachable(String),
    #[error("the log refused to be read ({code}): {why}")]
    Refused { code: u16, why: String },
    #[error("message {seq} of {stream} is not an event: {source}")]
    Malformed { stream: String, seq: u64, source: MalformedMessage },
    #[error("an answer of the log cannot be read")]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_goes_on_is_not_followed_for_ever() {
        let found = |seq: u64| HashMap::from([("ev.a".to_owned(), seq)]);
        let lacking = |newest: u64| vec![("ev.*".to_owned(), newest)];
        let mut goals = HashMap::new();
        assert_eq!(falling_short(lacking(7), &found(5), &mut goals), ["ev.*"]);
        assert_eq!(falling_short(lacking(9), &found(6), &mut goals), ["ev.*"]);
        assert!(falling_short(lacking(12), &found(7), &mut goals).is_empty(), "what was there first is found");
    }
}
