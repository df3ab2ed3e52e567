//! Reading the log into cuts.

use super::{CutRule, Halt, progress::Reporter};
use crate::worker::Stop;
use bus_schema::{
    bus::{Bus, Follow, ReadError, StoredMessage},
    subject::Family,
};
use std::{collections::VecDeque, time::Duration};
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

pub(super) struct Gatherer {
    bus: Bus,
    family: Family,
    rule: CutRule,
    /// The position that must come next.
    next: u64,
    follow: Option<Follow>,
    /// Read and not in a cut yet.
    held: VecDeque<StoredMessage>,
    /// The last read failed.
    failing: bool,
    progress: Reporter,
    stop: Stop,
}

pub(super) type Gathered = Result<Vec<StoredMessage>, Halt>;

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
    async fn cut(&mut self) -> Gathered {
        let (mut cut, mut bytes, mut due) = (Vec::new(), 0, None);
        let mut more = false;
        loop {
            while let Some(message) = self.held.pop_front() {
                if message.seq != self.next {
                    return Err(Halt::Gap { expected: self.next, found: message.seq });
                }
                self.next += 1;
                bytes += message.subject.len() + message.body.len();
                bytes += message.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                if cut.is_empty() {
                    due = Some(Instant::now() + self.rule.interval);
                    self.progress.send_modify(|progress| progress.begun(&message));
                }
                cut.push(message);
                if cut.len() >= self.rule.events || bytes >= self.rule.bytes {
                    return Ok(cut);
                }
            }
            let left = due.map(|due: Instant| due.saturating_duration_since(Instant::now()));
            if self.stop.is_asked() || left.is_some_and(|left| left.is_zero()) {
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
        let batch = follow.next_stored(READ, patience).await?;
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
