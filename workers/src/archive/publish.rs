//! Filling an empty log with copies, each at the position it had.

use super::{ArchiveError, key_restore::Destroyed, record, restore::Plan};
use bus_schema::{
    bus::{Append, AppendError, Bus, DuplicateWindow, MAX_BATCH, ReadError, StoredMessage, StreamError},
    subject::Family,
};
use futures::{TryStreamExt, pin_mut};
use std::{collections::VecDeque, time::Duration};

/// Bytes of one append; the server holds a batch in memory until it is complete.
const MAX_BYTES: usize = 4 << 20;
/// How often an append that has no clear outcome is tried, over about half a minute.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(750);
/// Longer than the shortest window in which the server refuses an event id twice.
const SAME_ID_PAUSE: Duration = Duration::from_millis(150);
const READ: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// A filled log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Positions 1 to this one are there.
    pub last: u64,
    /// Over the identities of all messages; the same as [`log_digest`] of a log with the same messages.
    pub digest: blake3::Hash,
}

/// Fails unless the log has no message and no key.
pub(super) async fn must_be_empty(bus: &Bus) -> Result<(), NotFilled> {
    for family in [Family::Events, Family::Facts] {
        let last = bus.last_seq(family).await?;
        if last > 0 {
            return Err(NotFilled::NotEmpty { stream: family.stream(bus.cell()), last });
        }
    }
    let last = bus.latest_state(super::key_copies::KIND).await?.last;
    if last > 0 { Err(NotFilled::NotEmpty { stream: format!("KEYS_{}", bus.cell()), last }) } else { Ok(()) }
}

/// Appends what a plan brings. Leaves the stream with the short window of [`DuplicateWindow::Filling`].
pub(super) async fn fill(
    bus: &Bus,
    family: Family,
    plan: &Plan,
    destroyed: &mut Destroyed,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Filled, NotFilled> {
    bus.set_duplicate_window(family, DuplicateWindow::Filling).await?;
    let mut hasher = blake3::Hasher::new();
    let mut last = 0;
    let segments = plan.segments();
    pin_mut!(segments);
    while let Some(messages) = segments.try_next().await? {
        for message in &messages {
            destroyed.note(message);
            hasher.update(record::identity(message).as_bytes());
        }
        append(bus, family, &messages).await?;
        if let Some(message) = messages.last() {
            last = message.seq;
            progress(last);
        }
    }
    let found = bus.last_seq(family).await?;
    if found != last || last != plan.last {
        return Err(NotFilled::Position { stream: family.stream(bus.cell()), expected: plan.last, found });
    }
    Ok(Filled { last, digest: hasher.finalize() })
}

/// Appends consecutive messages in as few batches as the server allows.
async fn append(bus: &Bus, family: Family, messages: &[StoredMessage]) -> Result<(), NotFilled> {
    let mut left: VecDeque<&[StoredMessage]> = batches(messages).collect();
    let mut attempts = 0;
    while let Some(batch) = left.pop_front() {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { continue };
        let stream = || family.stream(bus.cell());
        match bus.append_copies(batch).await {
            Ok(Append { last_seq, duplicate: false }) if last_seq == last.seq => attempts = 0,
            // One id twice within the window: apart, with a pause between them.
            Ok(Append { duplicate: true, .. }) | Err(AppendError::Duplicate) => {
                let apart = batch.split_at(batch.len() / 2);
                left.push_front(apart.1);
                left.push_front(apart.0);
                if batch.len() == 1 {
                    again(&mut attempts, "its event id was stored a moment ago", first.seq)?;
                    tokio::time::sleep(SAME_ID_PAUSE).await;
                }
            }
            Ok(append) => {
                return Err(NotFilled::Position { stream: stream(), expected: last.seq, found: append.last_seq });
            }
            // Only what the log holds now can tell; the expectation of the first message keeps a late copy out.
            Err(AppendError::Unknown(why) | AppendError::Unreachable(why)) => {
                again(&mut attempts, &why, first.seq)?;
                tokio::time::sleep(PAUSE).await;
                left.push_front(rest(bus, family, batch).await?);
            }
            Err(AppendError::Conflict) => match rest(bus, family, batch).await? {
                [] => attempts = 0,
                rest if rest.len() == batch.len() => again(&mut attempts, "it stands elsewhere", first.seq)?,
                rest => left.push_front(rest),
            },
            Err(error) => return Err(NotFilled::Append { position: first.seq, error }),
        }
    }
    Ok(())
}

fn again(attempts: &mut u32, why: &str, position: u64) -> Result<(), NotFilled> {
    *attempts += 1;
    if *attempts > ATTEMPTS {
        return Err(NotFilled::Append { position, error: AppendError::Unknown(why.to_owned()) });
    }
    Ok(())
}

/// What of a batch the log does not hold: all of it or nothing, unless somebody else writes.
async fn rest<'a>(bus: &Bus, family: Family, batch: &'a [StoredMessage]) -> Result<&'a [StoredMessage], NotFilled> {
    let (first, last) = (batch.first().map_or(0, |m| m.seq), batch.last().map_or(0, |m| m.seq));
    match bus.last_seq(family).await {
        Ok(found) if found == last => Ok(&[]),
        Ok(found) if found + 1 == first => Ok(batch),
        Ok(found) => {
            Err(NotFilled::Position { stream: family.stream(bus.cell()), expected: first.saturating_sub(1), found })
        }
        // The next attempt tells.
        Err(_) => Ok(batch),
    }
}

fn batches(messages: &[StoredMessage]) -> impl Iterator<Item = &[StoredMessage]> {
    let mut left = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |message: &&StoredMessage| {
            bytes += message.body.len() + message.subject.len();
            bytes <= MAX_BYTES
        };
        let count = left.iter().take(MAX_BATCH).take_while(fits).count().max(1).min(left.len());
        let (batch, rest) = left.split_at(count);
        left = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// The digest of a log's messages up to a position: equal logs, wherever and whenever they were stored, have the same.
pub async fn log_digest(bus: &Bus, family: Family, upto: u64) -> Result<blake3::Hash, ReadError> {
    let mut hasher = blake3::Hasher::new();
    let mut next = 1;
    let mut follow = bus.follow(family, next, Vec::new()).await?;
    while next <= upto {
        let batch = follow.next_stored(READ, PATIENCE).await?;
        if batch.messages.is_empty() {
            return Err(ReadError::Unreachable(format!("position {next} does not come")));
        }
        for message in batch.messages.iter().take_while(|message| message.seq <= upto) {
            hasher.update(record::identity(message).as_bytes());
            next = message.seq + 1;
        }
        if batch.messages.last().is_some_and(|message| message.seq > upto) {
            break;
        }
    }
    Ok(hasher.finalize())
}

/// Why a log was not filled. It must not be used then.
#[derive(Debug, thiserror::Error)]
pub enum NotFilled {
    #[error("the stream {stream} holds messages up to {last}; restore into an empty data directory")]
    NotEmpty { stream: String, last: u64 },
    #[error("the stream {stream} stands at {found} instead of {expected}: somebody else writes to it. Begin again")]
    Position { stream: String, expected: u64, found: u64 },
    #[error("the message at {position} could not be appended: {error}. Begin again with an empty data directory")]
    Append { position: u64, error: AppendError },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the log cannot be reached: {0}")]
    Log(#[from] StreamError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::record::sample;

    #[test]
    fn batches_are_bounded_by_count_and_bytes() {
        let small: Vec<_> = (1..=2_500).map(|seq| sample(seq, "demo", b"x")).collect();
        assert_eq!(batches(&small).map(<[_]>::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let large: Vec<_> = (1..=3).map(|seq| sample(seq, "demo", &vec![0; 3 << 20])).collect();
        assert_eq!(batches(&large).map(<[_]>::len).collect::<Vec<_>>(), [1, 1, 1]);
        let huge = [sample(1, "demo", &vec![0; 8 << 20])];
        assert_eq!(batches(&huge).map(<[_]>::len).collect::<Vec<_>>(), [1], "one larger than a batch goes alone");
        assert_eq!(batches(&[]).count(), 0);
    }
}
