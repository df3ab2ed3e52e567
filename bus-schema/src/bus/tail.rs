//! The end of a stream, as those of this process who follow or copy it share it: one consumer, and the last messages it
//! gave. A message crosses the connection once and is taken apart once, however many wait for it.

use super::{
    Bus, Followed, Malformed,
    copy::{StoredBatch, StoredMessage},
    filter::passes,
    message,
    puller::Puller,
    read::ReadError,
};
use crate::subject::Family;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::time::{Instant, timeout_at};

/// Messages asked for at once.
const BATCH: usize = 2_000;
/// What is kept for those that are a little behind: messages, and bytes of their bodies. An archiver looks ten times a second.
const MAX_KEPT: usize = 8_192;
const MAX_KEPT_BYTES: usize = 8 << 20;

/// See the module. Nothing is read before somebody begins it.
#[derive(Default)]
pub(super) struct Tail {
    recent: Mutex<Recent>,
    /// Held by the one that reads on; the others wait for what it gets.
    source: tokio::sync::Mutex<Option<Puller>>,
}

#[derive(Default)]
struct Recent {
    kept: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// Everything in the stream from here ...
    from: u64,
    /// ... to here is kept; `None` before the beginning. One less than `from` when nothing is kept yet.
    end: Option<u64>,
    /// The last position known to be in the stream.
    seen: u64,
}

/// One message, and the event that it is once somebody wants it.
pub(super) struct Kept {
    message: Arc<StoredMessage>,
    followed: OnceLock<Followed>,
}

impl Kept {
    pub(super) fn seq(&self) -> u64 {
        self.message.seq
    }

    pub(super) fn message(&self) -> &Arc<StoredMessage> {
        &self.message
    }

    pub(super) fn followed(&self) -> &Followed {
        self.followed.get_or_init(|| {
            let StoredMessage { seq, subject, .. } = &*self.message;
            let malformed = |why| Malformed { seq: *seq, subject: subject.clone(), why };
            message::decode_stored(&self.message).map_err(malformed)
        })
    }

    /// Whether its subject matches one of the filters; without filters all do.
    pub(super) fn passes(&self, filters: &[String]) -> bool {
        filters.is_empty() || filters.iter().any(|filter| passes(filter, &self.message.subject))
    }
}

/// What the tail has for a position.
pub(super) enum Look {
    /// What is kept from the position on, at least one message, and the last position known to be in the stream.
    Found { kept: Vec<Arc<Kept>>, seen: u64 },
    /// The position is the next one that will come.
    AtEnd,
    /// It is not for the tail to tell.
    Elsewhere,
}

impl Tail {
    /// Begins the tail at a position, unless it has begun.
    pub(super) fn begin(&self, next: u64) {
        let mut recent = self.recent();
        if recent.end.is_none() {
            (recent.from, recent.end) = (next, Some(next - 1));
        }
    }

    /// Begins it anew at the end of the stream, which somebody found without it: the one it began for reads no more, or slowly.
    pub(super) fn leap(&self, next: u64) {
        let mut recent = self.recent();
        if recent.end.is_some_and(|end| end + 1 < next) {
            *recent = Recent { from: next, end: Some(next - 1), ..Recent::default() };
        }
    }

    /// The last position that was read.
    pub(super) fn end(&self) -> Option<u64> {
        self.recent().end
    }

    /// Up to `limit` messages.
    pub(super) fn look(&self, next: u64, limit: usize) -> Look {
        let recent = self.recent();
        match recent.end {
            Some(end) if next == end + 1 => return Look::AtEnd,
            Some(end) if next >= recent.from && next <= end => {}
            _ => return Look::Elsewhere,
        }
        let start = recent.kept.partition_point(|kept| kept.seq() < next);
        Look::Found { kept: recent.kept.range(start..).take(limit).cloned().collect(), seen: recent.seen }
    }

    /// Waits until there is more than was before `next`. `false`: nothing came in time.
    pub(super) async fn read_on(
        &self,
        bus: &Bus,
        family: Family,
        next: u64,
        until: Instant,
    ) -> Result<bool, ReadError> {
        let Ok(mut source) = timeout_at(until, self.source.lock()).await else { return Ok(false) };
        if self.end().is_some_and(|end| end >= next) {
            return Ok(true);
        }
        if source.as_ref().is_none_or(|puller| puller.next() != next) {
            *source = Some(Puller::new(bus.clone(), family, Vec::new(), next));
        }
        let Some(puller) = source.as_mut() else { return Ok(false) };
        let patience = until.saturating_duration_since(Instant::now());
        let batch = puller.stored(BATCH, patience).await?;
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
        // It may have leapt meanwhile.
        let before = self.end;
        for message in messages.into_iter().filter(|message| Some(message.seq) > before) {
            self.end = Some(message.seq);
            self.seen = message.seq + pending;
            self.bytes += message.body.len();
            self.kept.push_back(Arc::new(Kept { message, followed: OnceLock::new() }));
        }
        while self.kept.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.from = oldest.seq() + 1;
            self.bytes -= oldest.message.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Micros;
    use bytes::Bytes;

    fn batch(seqs: impl IntoIterator<Item = u64>, pending: u64) -> StoredBatch {
        let message = |seq: u64| {
            let subject = format!("ev.{}", if seq.is_multiple_of(2) { "even" } else { "odd" });
            let body = Bytes::from_static(b"x");
            Arc::new(StoredMessage { seq, stored: Micros(0), subject, headers: Vec::new(), body })
        };
        StoredBatch { messages: seqs.into_iter().map(message).collect(), pending }
    }

    fn seqs(look: Look) -> (Vec<u64>, u64) {
        let Look::Found { kept, seen } = look else { panic!("nothing found") };
        (kept.iter().map(|kept| kept.seq()).collect(), seen)
    }

    #[test]
    fn a_tail_gives_what_it_keeps_and_nothing_else() {
        let tail = Tail::default();
        assert!(matches!(tail.look(5, 10), Look::Elsewhere), "it has not begun");
        tail.begin(5);
        tail.begin(9);
        assert!(matches!(tail.look(5, 10), Look::AtEnd));
        assert!(matches!(tail.look(4, 10), Look::Elsewhere));
        assert!(matches!(tail.look(6, 10), Look::Elsewhere));
        // Positions may be missing in a stream; whoever asks for one sees what comes after it.
        tail.recent().take(batch([5, 6, 9, 10], 2));
        assert_eq!(seqs(tail.look(5, 10)), (vec![5, 6, 9, 10], 12));
        assert_eq!(seqs(tail.look(7, 10)), (vec![9, 10], 12));
        assert_eq!(seqs(tail.look(5, 2)), (vec![5, 6], 12));
        assert!(matches!(tail.look(11, 10), Look::AtEnd));
        tail.recent().take(batch([11], 0));
        assert_eq!(seqs(tail.look(11, 10)), (vec![11], 11));
        // The end turns out to be elsewhere, while what was asked for before comes.
        tail.leap(9);
        assert!(matches!(tail.look(12, 10), Look::AtEnd));
        tail.leap(20);
        assert!(matches!(tail.look(11, 10), Look::Elsewhere));
        tail.recent().take(batch([18, 19, 20], 0));
        assert_eq!(seqs(tail.look(20, 10)), (vec![20], 20));
    }

    #[test]
    fn what_is_no_event_is_told_to_followers_and_whole_for_copies() {
        let tail = Tail::default();
        tail.begin(1);
        tail.recent().take(batch([1, 2], 0));
        let Look::Found { kept, .. } = tail.look(1, 10) else { panic!("nothing found") };
        let malformed = kept[0].followed().as_ref().expect_err("it has no headers");
        assert_eq!((malformed.seq, malformed.subject.as_str()), (1, "ev.odd"));
        assert_eq!(kept[0].message().body.as_ref(), b"x");
        let passing = |filters: &[&str]| {
            let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
            kept.iter().filter(|kept| kept.passes(&filters)).map(|kept| kept.seq()).collect::<Vec<_>>()
        };
        assert_eq!(passing(&[]), [1, 2]);
        assert_eq!(passing(&["ev.even"]), [2]);
        assert_eq!(passing(&["ev.none"]), [0; 0]);
    }

    #[test]
    fn it_keeps_so_much_and_no_more() {
        let tail = Tail::default();
        tail.begin(1);
        let last = MAX_KEPT as u64 + 10;
        tail.recent().take(batch(1..=last, 0));
        assert!(matches!(tail.look(10, 1), Look::Elsewhere));
        assert_eq!(seqs(tail.look(11, 1)), (vec![11], last));
        assert_eq!(tail.recent().kept.len(), MAX_KEPT);
    }
}
