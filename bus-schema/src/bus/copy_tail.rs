//! The end of a stream as it is stored, shared by those in this process who copy it: one consumer, and the last messages it
//! gave. A message crosses the connection and is taken apart once, however many copies are made of it.

use super::{
    Bus,
    copy::{StoredBatch, StoredMessage},
    puller::Puller,
    read::ReadError,
};
use crate::subject::Family;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// What is kept for one that is a little behind: messages, and bytes of their bodies.
const MAX_KEPT: usize = 20_000;
const MAX_KEPT_BYTES: usize = 8 << 20;

/// See the module. Nothing is read before somebody begins it.
#[derive(Default)]
pub(super) struct CopyTail {
    recent: Mutex<Recent>,
    /// Held by the one that reads on.
    source: tokio::sync::Mutex<Option<Puller>>,
}

#[derive(Default)]
struct Recent {
    kept: VecDeque<Arc<StoredMessage>>,
    bytes: usize,
    /// Everything in the stream from here ...
    from: u64,
    /// ... to here is kept; `None` before the beginning. One less than `from` when nothing is kept yet.
    end: Option<u64>,
    /// The last position known to be in the stream.
    seen: u64,
}

/// What the tail has for a position.
pub(super) enum CopyLook {
    /// What is kept from the position on, which is at least one message.
    Found(StoredBatch),
    /// The position is the next one that will come.
    AtEnd,
    /// It is not for the tail to tell.
    Elsewhere,
}

impl CopyTail {
    /// Begins the tail at a position, unless it has begun.
    pub(super) fn begin(&self, next: u64) {
        let mut recent = self.recent();
        if recent.end.is_none() {
            (recent.from, recent.end) = (next, Some(next - 1));
        }
    }

    pub(super) fn look(&self, next: u64, limit: usize) -> CopyLook {
        let recent = self.recent();
        match recent.end {
            Some(end) if next == end + 1 => return CopyLook::AtEnd,
            Some(end) if next >= recent.from && next <= end => {}
            _ => return CopyLook::Elsewhere,
        }
        let start = recent.kept.partition_point(|message| message.seq < next);
        let messages: Vec<_> = recent.kept.range(start..).take(limit).cloned().collect();
        let last = messages.last().map_or(recent.seen, |message| message.seq);
        CopyLook::Found(StoredBatch { messages, pending: recent.seen.saturating_sub(last) })
    }

    /// Waits until there is more than was before `next`. `false`: nothing came in time.
    pub(super) async fn read_on(
        &self,
        bus: &Bus,
        family: Family,
        next: u64,
        limit: usize,
        until: Instant,
    ) -> Result<bool, ReadError> {
        let Ok(mut source) = timeout_at(until, self.source.lock()).await else { return Ok(false) };
        if self.recent().end.is_some_and(|end| end >= next) {
            return Ok(true);
        }
        let puller = source.get_or_insert_with(|| Puller::new(bus.clone(), family, Vec::new(), next));
        let patience = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let batch = puller.stored(limit, patience).await?;
        let came = !batch.messages.is_empty();
        self.recent().take(batch);
        Ok(came)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn take(&mut self, batch: StoredBatch) {
        let StoredBatch { messages, pending } = batch;
        for message in messages {
            self.end = Some(message.seq);
            self.seen = message.seq + pending;
            self.bytes += message.body.len();
            self.kept.push_back(message);
        }
        while self.kept.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.from = oldest.seq + 1;
            self.bytes -= oldest.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Micros;
    use bytes::Bytes;

    fn batch(seqs: impl IntoIterator<Item = u64>, pending: u64) -> StoredBatch {
        let message = |seq| {
            let (subject, body) = ("ev.a".to_owned(), Bytes::from_static(b"x"));
            Arc::new(StoredMessage { seq, stored: Micros(0), subject, headers: Vec::new(), body })
        };
        StoredBatch { messages: seqs.into_iter().map(message).collect(), pending }
    }

    fn found(look: CopyLook) -> (Vec<u64>, u64) {
        let CopyLook::Found(batch) = look else { panic!("nothing found") };
        (batch.messages.iter().map(|message| message.seq).collect(), batch.pending)
    }

    #[test]
    fn a_tail_gives_what_it_keeps_and_nothing_else() {
        let tail = CopyTail::default();
        assert!(matches!(tail.look(5, 10), CopyLook::Elsewhere), "it has not begun");
        tail.begin(5);
        tail.begin(9);
        assert!(matches!(tail.look(5, 10), CopyLook::AtEnd));
        assert!(matches!(tail.look(4, 10), CopyLook::Elsewhere));
        assert!(matches!(tail.look(6, 10), CopyLook::Elsewhere));
        tail.recent().take(batch([5, 6, 7], 2));
        assert_eq!(found(tail.look(5, 10)), (vec![5, 6, 7], 2));
        assert_eq!(found(tail.look(6, 1)), (vec![6], 3));
        assert!(matches!(tail.look(8, 10), CopyLook::AtEnd));
        // A gap is seen by whoever asks for what is missing.
        tail.recent().take(batch([9], 0));
        assert_eq!(found(tail.look(8, 10)), (vec![9], 0));
    }

    #[test]
    fn it_keeps_so_much_and_no_more() {
        let tail = CopyTail::default();
        tail.begin(1);
        let last = MAX_KEPT as u64 + 10;
        tail.recent().take(batch(1..=last, 0));
        assert!(matches!(tail.look(10, 1), CopyLook::Elsewhere));
        assert_eq!(found(tail.look(11, 1)), (vec![11], last - 11));
        assert_eq!(tail.recent().kept.len(), MAX_KEPT);
    }
}
