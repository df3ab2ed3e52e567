//! Following the log from a position on, in batches of what is there.
//!
//! Who is far behind reads with a consumer of its own; who has caught up reads at the [`Tail`], which all followers of
//! this process share: a new event crosses the connection and is taken apart once, however many wait for it.

use super::{
    Bus,
    copy::StoredBatch,
    message::MalformedMessage,
    puller::Puller,
    read::ReadError,
    tail::{Kept, Look, Tail},
};
use crate::{envelope::StoredEvent, subject::Family};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One message of the log: an event, or the reason why it is none.
pub type Followed = Result<StoredEvent, Malformed>;

/// A message that is not an event, with what is known of it.
#[derive(Debug, Clone)]
pub struct Malformed {
    pub seq: u64,
    pub subject: String,
    pub why: MalformedMessage,
}

/// A reader at a position of one stream. It survives reconnects of the client and restarts of the server.
pub struct Follow {
    bus: Bus,
    family: Family,
    filters: Vec<String>,
    /// The first position that was not given out yet.
    next: u64,
    tail: Arc<Tail>,
    /// While it is behind the tail.
    own: Option<Puller>,
}

impl Bus {
    /// Follows a family's stream from a position on; `filters` are subjects with wildcards, empty for all.
    pub async fn follow(&self, family: Family, from: u64, filters: Vec<String>) -> Result<Follow, ReadError> {
        let tail = self.tail(family);
        let mut follow = Follow { bus: self.clone(), family, filters, next: from.max(1), tail, own: None };
        if !follow.is_at_tail() {
            follow.own().ensure_open().await?;
        }
        Ok(follow)
    }
}

impl Follow {
    /// The next batch: what is there already, up to `limit` events; else the first ones that come within `patience`;
    /// else nothing. After an error the next call goes on where this one stopped.
    pub async fn next_batch(&mut self, limit: usize, patience: Duration) -> Result<Vec<Followed>, ReadError> {
        let until = Instant::now() + patience;
        loop {
            if self.filters.is_empty() {
                self.tail.begin(self.next);
            }
            match self.tail.look(self.next, limit) {
                Look::Found { kept, .. } => {
                    self.passed(&kept);
                    let passing = kept.iter().filter(|kept| kept.passes(&self.filters));
                    let events: Vec<_> = passing.map(|kept| kept.followed().clone()).collect();
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
                Look::AtEnd => {
                    self.own = None;
                    if !self.tail.read_on(&self.bus, self.family, self.next, until).await? {
                        return Ok(Vec::new());
                    }
                }
                Look::Elsewhere => {
                    let end = self.tail.end();
                    let mut batch = self.own().ready(limit).await;
                    if batch.as_ref().is_ok_and(Vec::is_empty) {
                        // Nothing of interest up to what the tail had reached before this was asked.
                        if end.is_some_and(|end| end >= self.next) {
                            (self.next, self.own) = (end.map_or(self.next, |end| end + 1), None);
                            continue;
                        }
                        if self.filters.is_empty() {
                            self.tail.leap(self.next);
                            continue;
                        }
                        batch = self.own().first(until.saturating_duration_since(Instant::now())).await;
                    }
                    self.next = self.own().next();
                    return batch;
                }
            }
        }
    }

    /// The same for copies: every message as it is stored, events or not, by a consumer of its own.
    pub async fn next_stored(&mut self, limit: usize, patience: Duration) -> Result<StoredBatch, ReadError> {
        let batch = self.own().stored(limit, patience).await?;
        self.next = self.own().next();
        Ok(batch)
    }

    /// The same for those who copy a stream as it grows: they share its end too.
    pub async fn next_shared(&mut self, limit: usize, patience: Duration) -> Result<StoredBatch, ReadError> {
        let until = Instant::now() + patience;
        self.tail.begin(self.next);
        loop {
            match self.tail.look(self.next, limit) {
                Look::Found { kept, seen } => {
                    self.passed(&kept);
                    let messages = kept.iter().map(|kept| kept.message().clone()).collect();
                    return Ok(StoredBatch { messages, pending: (seen + 1).saturating_sub(self.next) });
                }
                Look::AtEnd => {
                    self.own = None;
                    if !self.tail.read_on(&self.bus, self.family, self.next, until).await? {
                        return Ok(StoredBatch::default());
                    }
                }
                Look::Elsewhere => return self.next_stored(limit, patience).await,
            }
        }
    }

    /// Goes behind what the tail gave.
    fn passed(&mut self, kept: &[Arc<Kept>]) {
        (self.next, self.own) = (kept.last().map_or(self.next, |last| last.seq() + 1), None);
    }

    fn is_at_tail(&self) -> bool {
        !matches!(self.tail.look(self.next, 1), Look::Elsewhere)
    }

    fn own(&mut self) -> &mut Puller {
        let (bus, family, next) = (&self.bus, self.family, self.next);
        self.own.get_or_insert_with(|| Puller::new(bus.clone(), family, self.filters.clone(), next))
    }
}
