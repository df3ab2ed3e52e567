//! A lane follows one stream of a cell for a group of views that stand at the same place.
//!
//! It reads a batch, decodes it once, lets each view change its rows, and writes all rows and checkpoints in one batch.
//! An event that a view cannot take pauses that view before the event and says why; the others go on.

mod batch;
mod slot;

use crate::read_store::{Mark, ReadStore, ReadStorePort, WriteBatch};
use batch::{Item, items};
use bus_schema::{
    Cell,
    bus::{Bus, Followed},
    subject::Family,
};
pub use slot::{Pause, Progress, Slot, ViewStatus};
use std::{sync::Arc, time::Duration};

/// Events taken at once at most. Bounds memory and the time between two checkpoints.
const BATCH: usize = 2_000;
/// How long a lane waits for an event before it looks around (for resumed views, for shutdown).
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it waits after the log or the read store could not be reached.
const RETRY: Duration = Duration::from_millis(250);

/// Views that are carried along together.
pub struct Lane {
    bus: Bus,
    store: ReadStore,
    family: Family,
    slots: Vec<Arc<Slot>>,
}

/// The name of a cell's stream in checkpoints.
pub fn mark_cell(family: Family, cell: &Cell) -> String {
    match family {
        Family::Events => cell.to_string(),
        Family::Facts => format!("fx.{cell}"),
    }
}

impl Lane {
    pub fn new(bus: Bus, store: ReadStore, family: Family, slots: Vec<Arc<Slot>>) -> Self {
        Self { bus, store, family, slots }
    }

    /// Runs until every view of it is retired.
    pub async fn run(self) {
        loop {
            if self.slots.iter().all(|slot| slot.is_retired()) {
                return;
            }
            if let Err(why) = self.follow().await {
                tracing::warn!(%why, "a lane was interrupted and goes on from its checkpoints");
                self.slots.iter().for_each(|slot| slot.interrupted(&why));
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Follows until something goes wrong or a paused view wants to go on from further back.
    async fn follow(&self) -> Result<(), String> {
        let behind = self.slots.iter().filter(|slot| slot.is_running()).map(|slot| slot.position()).min();
        let Some(start) = behind else {
            tokio::time::sleep(PATIENCE).await;
            return Ok(());
        };
        let mut source =
            self.bus.follow(self.family, start + 1, Vec::new()).await.map_err(|error| error.to_string())?;
        let mut next = start + 1;
        loop {
            let batch = source.next_batch(BATCH, PATIENCE).await.map_err(|error| error.to_string())?;
            let running = || self.slots.iter().filter(|slot| slot.is_running());
            if running().any(|slot| slot.position() + 1 < next) || running().next().is_none() {
                return Ok(());
            }
            if let Some(last) = batch.last().map(seq_of) {
                self.process(batch).await?;
                next = last + 1;
            }
            self.slots.iter().for_each(|slot| slot.goes_on());
        }
    }

    /// Takes one batch into every running view.
    async fn process(&self, batch: Vec<Followed>) -> Result<(), String> {
        let cell = mark_cell(self.family, self.bus.cell());
        let items = items(batch);
        let mut write = WriteBatch::default();
        let mut advanced = Vec::new();
        let mut under_way = Vec::new();
        for slot in self.slots.iter() {
            under_way.push(slot.written().await);
            if !slot.is_running() {
                continue;
            }
            let outcome = batch::apply(&self.store, slot, &items).await.map_err(|error| error.to_string())?;
            write.ops.extend(outcome.ops);
            write.marks.push(Mark {
                view: slot.generation().to_string(),
                cell: cell.clone(),
                seq: outcome.progress.upto,
            });
            advanced.push((slot, outcome.progress));
        }
        self.store.write(write).await.map_err(|error| error.to_string())?;
        for (slot, progress) in advanced {
            slot.advance(progress);
        }
        drop(under_way);
        Ok(())
    }
}

fn seq_of(followed: &Followed) -> u64 {
    match followed {
        Ok(event) => event.seq,
        Err(malformed) => malformed.seq,
    }
}

/// Takes decoded events into one view of a store without a lane; what scratch replays and tests use.
pub async fn take(store: &ReadStore, slot: &Slot, cell: &str, batch: Vec<Followed>) -> Result<(), String> {
    let (write, progress) = plan(store, slot, cell, batch).await?;
    store.write(write).await.map_err(|error| error.to_string())?;
    slot.advance(progress);
    Ok(())
}

/// What [`take`] writes, for a caller that writes it: the view counts as advanced already.
pub async fn changes(store: &ReadStore, slot: &Slot, cell: &str, batch: Vec<Followed>) -> Result<WriteBatch, String> {
    let (write, progress) = plan(store, slot, cell, batch).await?;
    slot.advance(progress);
    Ok(write)
}

async fn plan(
    store: &ReadStore,
    slot: &Slot,
    cell: &str,
    batch: Vec<Followed>,
) -> Result<(WriteBatch, Progress), String> {
    let outcome = batch::apply(store, slot, &items(batch)).await.map_err(|error| error.to_string())?;
    let mark = Mark { view: slot.generation().to_string(), cell: cell.to_owned(), seq: outcome.progress.upto };
    Ok((WriteBatch { ops: outcome.ops, marks: vec![mark] }, outcome.progress))
}

impl Item {
    fn seq(&self) -> u64 {
        match self {
            Self::Event(event) => event.seq,
            Self::Unknown { seq, .. } | Self::Bad { seq, .. } => *seq,
        }
    }
}
