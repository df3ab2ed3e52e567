//! The end of a stream, as the followers of this process share it: one consumer, and the last events it gave.

use super::{Bus, Followed, puller::Puller, read::ReadError};
use crate::subject::Family;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::{Instant, timeout_at};

/// Messages asked for at once.
const BATCH: usize = 2_000;
/// What is kept for followers that are a little behind: messages, and bytes of their bodies.
const MAX_KEPT: usize = 8_192;
const MAX_KEPT_BYTES: usize = 8 << 20;

/// See the module. Nothing is read before somebody begins it.
#[derive(Default)]
pub(super) struct Tail {
    recent: Mutex<Recent>,
    /// Held by the follower that reads on; the others wait for what it gets.
    source: tokio::sync::Mutex<Option<Puller>>,
}

#[derive(Default)]
struct Recent {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Everything in the stream from here ...
    from: u64,
    /// ... to here is kept; `None` before the beginning. One less than `from` when nothing is kept yet.
    end: Option<u64>,
}

struct Kept {
    seq: u64,
    subject: String,
    bytes: usize,
    followed: Followed,
}

/// What the tail has for a position.
pub(super) enum Look {
    /// What is kept from the position on and passes the filters, and the position to ask for next.
    Found { events: Vec<Followed>, next: u64 },
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

    /// The last position that was read.
    pub(super) fn end(&self) -> Option<u64> {
        self.recent().end
    }

    pub(super) fn look(&self, next: u64, limit: usize, filters: &[String]) -> Look {
        let recent = self.recent();
        match recent.end {
            Some(end) if next == end + 1 => return Look::AtEnd,
            Some(end) if next >= recent.from && next <= end => {}
            _ => return Look::Elsewhere,
        }
        let start = recent.kept.partition_point(|kept| kept.seq < next);
        let mut events = Vec::new();
        for kept in recent.kept.range(start..) {
            if events.len() == limit {
                return Look::Found { events, next: kept.seq };
            }
            if filters.is_empty() || filters.iter().any(|filter| passes(filter, &kept.subject)) {
                events.push(kept.followed.clone());
            }
        }
        Look::Found { events, next: recent.end.map_or(next, |end| end + 1) }
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
        let puller = source.get_or_insert_with(|| Puller::new(bus.clone(), family, Vec::new(), next));
        let mut batch = puller.ready(BATCH).await?;
        if batch.is_empty() {
            batch = puller.first(until.saturating_duration_since(Instant::now())).await?;
        }
        let came = !batch.is_empty();
        self.recent().take(batch);
        Ok(came)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn take(&mut self, batch: Vec<Followed>) {
        for followed in batch {
            let (seq, subject, bytes) = match &followed {
                Ok(event) => (event.seq, event.subject.to_string(), event.body.len()),
                Err(malformed) => (malformed.seq, malformed.subject.clone(), 0),
            };
            self.end = Some(seq);
            self.bytes += bytes;
            self.kept.push_back(Kept { seq, subject, bytes, followed });
        }
        while self.kept.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.from = oldest.seq + 1;
            self.bytes -= oldest.bytes;
        }
    }
}

/// Whether a subject matches a filter as NATS has it: `*` is one token, `>` is one or more at the end.
fn passes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Malformed, MalformedMessage};

    fn message(seq: u64) -> Followed {
        let subject = format!("ev.{}", if seq.is_multiple_of(2) { "even" } else { "odd" });
        Err(Malformed { seq, subject, why: MalformedMessage::NoHeaders })
    }

    fn seqs(look: Look) -> (Vec<u64>, u64) {
        let Look::Found { events, next } = look else { panic!("nothing found") };
        (events.into_iter().map(|event| event.expect_err("malformed").seq).collect(), next)
    }

    #[test]
    fn a_tail_gives_what_it_keeps_and_nothing_else() {
        let tail = Tail::default();
        assert!(matches!(tail.look(5, 10, &[]), Look::Elsewhere), "it has not begun");
        tail.begin(5);
        tail.begin(9);
        assert!(matches!(tail.look(5, 10, &[]), Look::AtEnd));
        assert!(matches!(tail.look(4, 10, &[]), Look::Elsewhere));
        assert!(matches!(tail.look(6, 10, &[]), Look::Elsewhere));
        // Positions may be missing in a stream.
        tail.recent().take([5, 6, 9, 10].map(message).into());
        assert_eq!(seqs(tail.look(5, 10, &[])), (vec![5, 6, 9, 10], 11));
        assert_eq!(seqs(tail.look(7, 10, &[])), (vec![9, 10], 11));
        assert_eq!(seqs(tail.look(5, 2, &[])), (vec![5, 6], 9));
        assert_eq!(seqs(tail.look(5, 10, &["ev.even".into()])), (vec![6, 10], 11));
        assert_eq!(seqs(tail.look(5, 10, &["ev.none".into()])), (vec![], 11));
        assert!(matches!(tail.look(11, 10, &[]), Look::AtEnd));
    }

    #[test]
    fn it_keeps_so_much_and_no_more() {
        let tail = Tail::default();
        tail.begin(1);
        let last = MAX_KEPT as u64 + 10;
        tail.recent().take((1..=last).map(message).collect());
        assert!(matches!(tail.look(10, 1, &[]), Look::Elsewhere));
        assert_eq!(seqs(tail.look(11, 1, &[])), (vec![11], 12));
        assert_eq!(tail.recent().kept.len(), MAX_KEPT);
    }

    #[test]
    fn filters_are_those_of_nats() {
        for (filter, subject, does) in [
            ("ev.>", "ev.a.b", true),
            ("ev.>", "ev", false),
            ("ev.*.b", "ev.a.b", true),
            ("ev.*.b", "ev.a.c", false),
            ("ev.*", "ev.a.b", false),
            ("ev.a", "ev.a", true),
            ("ev.a.b", "ev.a", false),
        ] {
            assert_eq!(passes(filter, subject), does, "{filter} {subject}");
        }
    }
}
