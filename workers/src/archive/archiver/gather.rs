//! Reading the log into cuts.

use super::{CutRule, Halt, progress::Reporter};
use crate::worker::Stop;
use bus_schema::{
    Micros,
    bus::{Bus, Follow, ReadError, StoredMessage},
    subject::Family,
    time::Clock,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Messages asked for at once.
const READ: usize = 1_000;
/// How long a read waits for the first message of a cut.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the log is asked while a cut is open: rarely enough to cost nothing, often enough to see a full cut.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait after the log could not be read.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is looked how far the log is while no cut is taken.
const LOOK: Duration = Duration::from_secs(1);
/// How long after its interval a cut is still open when nothing comes: what was stored at its end is read by then.
const GRACE: Duration = Duration::from_millis(20);
/// What is older, in microseconds, is cut by size only.
const LONG_PAST: i64 = 5_000_000;

/// When a cut is complete by its time.
struct Due {
    /// By the server's clock: the end of the interval in which its first message was stored.
    end: Micros,
    /// The same by this machine's, should nothing come after it.
    moment: Instant,
}

impl Due {
    fn of(first: Micros, interval: Duration) -> Self {
        let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
        let left = interval - first.0.rem_euclid(interval);
        let moment = Instant::now() + Duration::from_micros(left.unsigned_abs()) + GRACE;
        Self { end: Micros(first.0.saturating_add(left)), moment }
    }

    fn ends_before(&self, message: &StoredMessage) -> bool {
        message.stored >= self.end && Clock::System.now().0.saturating_sub(message.stored.0) < LONG_PAST
    }
}

pub(super) struct Gatherer {
    bus: Bus,
    family: Family,
    rule: CutRule,
    /// The position that must come next.
    next: u64,
    follow: Option<Follow>,
    /// Read and not in a cut yet.
    held: VecDeque<Arc<StoredMessage>>,
    /// The last read failed.
    failing: bool,
    progress: Reporter,
    stop: Stop,
}

pub(super) type Gathered = Result<Vec<Arc<StoredMessage>>, Halt>;

impl Gatherer {
    pub(super) fn new(bus: Bus, family: Family, rule: CutRule, next: u64, progress: Reporter, stop: Stop) -> Self {
        Self { bus, family, rule, next, follow: None, held: VecDeque::new(), failing: false, progress, stop }
    }

    /// Cuts until it is asked to stop, nobody takes them, or the log has a gap.
    pub(super) async fn run(mut self, cuts: mpsc::Sender<Gathered>) {
        loop {
            let cut = self.cut().await;
            let last = cut.is_err() || self.stop.is_asked();
            if cut.as_ref().is_ok_and(Vec::is_empty) {
                return;
            }
            if !self.deliver(cut, &cuts).await || last {
                return;
            }
        }
    }

    /// One at a time; a provider that is away must not make this one read the whole log into memory.
    async fn deliver(&mut self, cut: Gathered, cuts: &mpsc::Sender<Gathered>) -> bool {
        loop {
            match tokio::time::timeout(LOOK, cuts.reserve()).await {
                Ok(Ok(place)) => {
                    place.send(cut);
                    return true;
                }
                Ok(Err(_)) => return false,
                Err(_) => {
                    if let Ok(last) = self.bus.last_seq(self.family).await {
                        self.progress.send_modify(|progress| progress.saw(last));
                    }
                }
            }
        }
    }

    /// The next cut: complete by time, bytes or events. Empty only when it is asked to stop.
    ///
    /// Its time ends with the interval of the server's clock in which its first message was stored: whoever began at the same
    /// position cuts at the same one. What is long past is cut by size, so that an archive that was away for a day
    /// does not catch up by the second.
    async fn cut(&mut self) -> Gathered {
        let (mut cut, mut bytes, mut due) = (Vec::new(), 0, None::<Due>);
        let mut more = false;
        loop {
            while let Some(message) = self.held.pop_front() {
                if message.seq != self.next {
                    return Err(Halt::Gap { expected: self.next, found: message.seq });
                }
                if due.as_ref().is_some_and(|due| due.ends_before(&message)) {
                    self.held.push_front(message);
                    return Ok(cut);
                }
                self.next += 1;
                bytes += message.subject.len() + message.body.len();
                bytes += message.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                if cut.is_empty() {
                    due = Some(Due::of(message.stored, self.rule.interval));
                    self.progress.send_modify(|progress| progress.begun(&message));
                }
                cut.push(message);
                if cut.len() >= self.rule.events || bytes >= self.rule.bytes {
                    return Ok(cut);
                }
            }
            let left = due.as_ref().map(|due| due.moment.saturating_duration_since(Instant::now()));
            if self.stop.is_asked() || left.is_some_and(|left| left.is_zero() && !more) {
                return Ok(cut);
            }
            if let Some(left) = left.filter(|_| !more) {
                self.pause(left.min(TICK)).await;
            }
            // The server takes an expiry of zero for none.
            let patience = if cut.is_empty() { PATIENCE } else { Duration::from_millis(1) };
            more = match self.read(patience).await {
                Ok(more) => {
                    if std::mem::take(&mut self.failing) {
                        self.progress.send_modify(|progress| progress.works());
                    }
                    more
                }
                Err(error) => {
                    (self.follow, self.failing) = (None, true);
                    self.progress.send_modify(|progress| progress.fails(error.to_string()));
                    self.pause(RETRY).await;
                    false
                }
            };
        }
    }

    /// Whether the log has more.
    async fn read(&mut self, patience: Duration) -> Result<bool, ReadError> {
        let follow = match &mut self.follow {
            Some(follow) => follow,
            None => {
                let follow = self.bus.follow(self.family, self.next + self.held.len() as u64, Vec::new()).await?;
                self.follow.insert(follow)
            }
        };
        let batch = follow.next_shared(READ, patience).await?;
        if let Some(last) = batch.messages.last() {
            let seen = last.seq + batch.pending;
            self.progress.send_modify(|progress| progress.saw(seen));
        }
        self.held.extend(batch.messages);
        Ok(batch.pending > 0)
    }

    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.asked() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::record::sample;

    #[test]
    fn a_cut_ends_with_the_interval_of_the_servers_clock() {
        let second = Duration::from_secs(1);
        let due = Due::of(Micros(10_300_000), second);
        assert_eq!(due.end, Micros(11_000_000));
        let left = due.moment - Instant::now();
        assert!(left <= Duration::from_millis(720) && left > Duration::from_millis(600), "{left:?}");
        assert_eq!(Due::of(Micros(11_000_000), second).end, Micros(12_000_000));
        let now = Clock::System.now();
        let at = |stored| StoredMessage { stored, ..sample(1, "demo", b"") };
        let due = Due::of(now, second);
        assert!(!due.ends_before(&at(now)) && due.ends_before(&at(due.end)));
        // What is long past is not cut by the second.
        let past = Due::of(Micros(10_300_000), second);
        assert!(!past.ends_before(&at(Micros(20_000_000))) && past.ends_before(&at(now)));
    }
}
