//! Some subjects of the log, one after the other, through every outage.

use crate::runtime::WorkerStatus;
use bus_schema::{
    StoredEvent,
    bus::{Bus, Follow},
    subject::Family,
};
use std::time::Duration;

/// Events taken at once at most.
const BATCH: usize = 500;
/// How long to wait after the log could not be reached.
const RETRY: Duration = Duration::from_millis(500);

/// A reader of the cell's events of some aggregates.
pub struct LogReader {
    bus: Bus,
    filters: Vec<String>,
    next: u64,
    source: Option<Follow>,
}

/// What was read at one time.
#[derive(Default)]
pub struct Batch {
    pub events: Vec<StoredEvent>,
    /// The position of the last message read, also of one that is no event.
    pub upto: Option<u64>,
    /// There was more than one batch holds.
    pub more: bool,
}

impl Batch {
    /// Says how far a worker is that has done what this holds.
    pub fn report(&self, status: &WorkerStatus) {
        self.upto.into_iter().for_each(|position| status.reached(position));
        if self.more {
            // There is more than was asked for; how much would have to be counted.
            status.waits(BATCH as u64);
        } else {
            status.waits(0);
        }
    }
}

impl LogReader {
    /// Reads from a position on; `aggregates` are pairs of context and aggregate.
    pub fn new(bus: Bus, aggregates: &[(&str, &str)], from: u64) -> Self {
        let cell = bus.cell().clone();
        let filter = |(context, aggregate): &(&str, &str)| {
            format!("{}.{cell}.*.{context}.{aggregate}.*", Family::Events.token())
        };
        let filters = aggregates.iter().map(filter).collect();
        Self { bus, filters, next: from.max(1), source: None }
    }

    /// What is there; waits at most about `patience` for the first event. An outage gives an empty batch, after a
    /// while. Safe to cancel: nothing is lost.
    pub async fn next(&mut self, patience: Duration) -> Batch {
        match self.read(patience).await {
            Ok(batch) => batch,
            Err(why) => {
                tracing::warn!(%why, "a worker cannot read the log and tries again");
                self.source = None;
                tokio::time::sleep(RETRY).await;
                Batch::default()
            }
        }
    }

    async fn read(&mut self, patience: Duration) -> Result<Batch, bus_schema::bus::ReadError> {
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let source = self.bus.follow(Family::Events, self.next, self.filters.clone()).await?;
                self.source.insert(source)
            }
        };
        let followed = source.next_batch(BATCH, patience).await?;
        let mut batch = Batch { more: followed.len() >= BATCH, ..Batch::default() };
        for message in followed {
            let seq = match message {
                Ok(event) => {
                    let seq = event.seq;
                    batch.events.push(event);
                    seq
                }
                Err(malformed) => {
                    let (seq, why) = (malformed.seq, malformed.why);
                    tracing::warn!(seq, %why, "a worker passes over a message that is no event");
                    seq
                }
            };
            batch.upto = Some(seq);
            self.next = seq + 1;
        }
        Ok(batch)
    }
}
