//! Reads that see everything that was acknowledged before they began.
//!
//! A direct get is answered by any copy of a stream, and a copy is behind the leader by what is on its way: milliseconds, seconds on
//! a busy machine. What it does not have would be taken for what is not there: a tenant for one that was never made, a person for
//! one that was erased, an archive of keys for a whole one. So before an answer says that there is nothing, or nothing more, the leader
//! is asked, and a copy that is behind is asked again. A stream with one copy has nobody to be behind.

use super::{
    Bus,
    filter::{is_wild, passes},
    read::ReadError,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Before a copy that was behind is asked again.
const CATCH_UP: Duration = Duration::from_millis(5);
/// A leader that has not answered after this is asked once more: it may have died with the question, and another one been elected.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Subjects a leader is asked about at once.
const AT_ONCE: usize = 16;

impl Bus {
    /// Whether a filter has a message at a position or behind it.
    pub(super) async fn leader_has(&self, stream: &str, filter: &str, from: u64) -> Result<bool, ReadError> {
        if self.replicas() == 1 {
            return Ok(false);
        }
        let request = json!({ "seq": from.max(1), "next_by_subj": filter, "no_hdr": true });
        Ok(self.ask_leader(stream, &request).await?.is_some())
    }

    /// Those of the subjects of which a copy lacks something, going by what was found there, each with the position the leader has.
    /// Of one subject any message will do; one with wildcards is complete with the newest.
    pub(super) async fn lacking(
        &self,
        stream: &str,
        subjects: &[String],
        found: &HashMap<String, u64>,
    ) -> Result<Vec<(String, u64)>, ReadError> {
        if self.replicas() == 1 {
            return Ok(Vec::new());
        }
        let is_doubtful = |subject: &&String| is_wild(subject) || !found.contains_key(*subject);
        let doubtful: Vec<(&String, u64)> =
            subjects.iter().filter(is_doubtful).map(|subject| (subject, seen(subject, found))).collect();
        self.newer(stream, &doubtful).await
    }

    /// Those of which the leader has something newer, with its position.
    pub(super) async fn behind(
        &self,
        stream: &str,
        found: &HashMap<String, u64>,
    ) -> Result<Vec<(String, u64)>, ReadError> {
        if self.replicas() == 1 {
            return Ok(Vec::new());
        }
        let found: Vec<(&String, u64)> = found.iter().map(|(subject, seq)| (subject, *seq)).collect();
        self.newer(stream, &found).await
    }

    /// Of subjects or patterns, each with what was seen of it, those of which the leader has something newer.
    async fn newer(&self, stream: &str, seen: &[(&String, u64)]) -> Result<Vec<(String, u64)>, ReadError> {
        let ask = async |(subject, seen): &(&String, u64)| {
            let newest = self.newest(stream, subject).await?;
            Ok(newest.filter(|newest| newest > seen).map(|newest| ((*subject).clone(), newest)))
        };
        let newer: Vec<Option<(String, u64)>> =
            stream::iter(seen).map(ask).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(newer.into_iter().flatten().collect())
    }

    /// Where the leader has the last message of a subject.
    async fn newest(&self, stream: &str, subject: &str) -> Result<Option<u64>, ReadError> {
        self.ask_leader(stream, &json!({ "last_by_subj": subject, "no_hdr": true })).await
    }

    /// The position of the one message that is asked for.
    async fn ask_leader(&self, stream: &str, request: &Value) -> Result<Option<u64>, ReadError> {
        let lost = || Err(ReadError::Unreachable("the connection was lost".into()));
        let asked = async {
            let end = Instant::now() + self.timeout();
            loop {
                match tokio::time::timeout(ASK_AGAIN, self.ask_leader_once(stream, request)).await {
                    Ok(answer) => return answer,
                    Err(_) if Instant::now() >= end => {
                        return Err(ReadError::Unreachable(format!("no leader of {stream} answers")));
                    }
                    Err(_) => {}
                }
            }
        };
        self.unless_lost(asked).await.unwrap_or_else(lost)
    }

    async fn ask_leader_once(&self, stream: &str, request: &Value) -> Result<Option<u64>, ReadError> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.client().request(subject, request.to_string().into()).await;
        let answer = answer.map_err(|error| ReadError::Unreachable(format!("no leader of {stream}: {error}")))?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|_| ReadError::Unreadable)?;
        match (answer["message"]["seq"].as_u64(), answer["error"]["err_code"].as_u64()) {
            (Some(seq), _) => Ok(Some(seq)),
            // No message found.
            (None, Some(10037)) => Ok(None),
            (None, _) => Err(ReadError::Unreachable(answer["error"]["description"].to_string())),
        }
    }

    pub(super) fn patience(&self, stream: &str) -> Patience {
        Patience { stream: stream.to_owned(), end: Instant::now() + self.timeout() }
    }
}

/// The newest position that was found of a subject or a pattern; 0: nothing.
pub(super) fn seen(subject: &str, found: &HashMap<String, u64>) -> u64 {
    if !is_wild(subject) {
        return found.get(subject).copied().unwrap_or(0);
    }
    let matching = found.iter().filter(|(found, _)| passes(subject, found));
    matching.map(|(_, seq)| *seq).max().unwrap_or(0)
}

/// How long a copy may be behind.
pub(super) struct Patience {
    stream: String,
    end: Instant,
}

impl Patience {
    pub(super) async fn a_moment(&mut self) -> Result<(), ReadError> {
        if Instant::now() >= self.end {
            return Err(ReadError::Unreachable(format!("a copy of {} stays behind its leader", self.stream)));
        }
        tokio::time::sleep(CATCH_UP).await;
        Ok(())
    }
}
