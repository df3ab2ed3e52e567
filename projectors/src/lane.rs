//! A lane follows one stream of a cell for a group of views that stand at the same place.
//!
//! It reads a batch, decodes it once, lets each view change its rows, and writes all rows and checkpoints in one batch, one after the
//! other; over a cluster it makes the next batch meanwhile ([`writing`]).
//! An event that a view cannot take pauses that view before the event and says why; the others go on.

mod batch;
mod known;
mod rewound;
mod slot;
mod writing;

use crate::read_store::{Mark, ReadStore, ReadStoreError, ReadStorePort, WriteBatch};
use batch::{ApplyError, Item, Outcome, items};
use bus_schema::{
    Cell,
    bus::{Bus, Followed},
    subject::Family,
};
pub(crate) use slot::Heard;
pub use slot::{Pause, Progress, Slot, ViewStatus};
use std::{sync::Arc, time::Duration};
use writing::{Made, Writing};

/// Events taken at once at most. Bounds memory and the time between two checkpoints.
const BATCH: usize = 2_000;
/// So many at once come while the lane is behind. Fewer are not made beside a batch that is being written, but after it, together
/// with what has come meanwhile: each of them is seen sooner, and in fewer batches.
const BACKLOG: usize = 500;
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
        if self.store.runs_ahead() {
            self.slots.iter().for_each(|slot| slot.keeps_in_mind());
        }
        let mut unsure = false;
        loop {
            if self.slots.iter().all(|slot| slot.is_retired()) {
                return;
            }
            let followed = async {
                if unsure {
                    self.go_back().await?;
                }
                self.follow().await
            };
            let trouble = followed.await.err();
            unsure = matches!(trouble, Some(Trouble::Store(_))) && self.store.runs_ahead();
            if let Some(Trouble::Store(why) | Trouble::Log(why)) = trouble {
                tracing::warn!(%why, "a lane was interrupted and goes on from its checkpoints");
                self.slots.iter().for_each(|slot| slot.interrupted(&why));
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// After trouble with a store that acknowledges writes before they are on its disks: goes on from what is there now.
    async fn go_back(&self) -> Result<(), Trouble> {
        for slot in self.slots.iter().filter(|slot| !slot.is_retired()) {
            let _written = slot.written().await;
            let known = self.store.resume(&slot.generation().to_string(), &self.cell()).await?;
            slot.rewind(known.unwrap_or_default());
        }
        Ok(())
    }

    fn cell(&self) -> String {
        mark_cell(self.family, self.bus.cell())
    }

    /// Follows until something goes wrong or a paused view wants to go on from further back.
    async fn follow(&self) -> Result<(), Trouble> {
        self.slots.iter().for_each(|slot| slot.stands_at_its_position());
        let mut writing = Writing::default();
        let followed = self.follow_and_write(&mut writing).await;
        // Nothing is written behind the back of who goes on.
        writing.end().await.and(followed)
    }

    /// Over a cluster a batch is written while the next one is read and made.
    async fn follow_and_write(&self, writing: &mut Writing) -> Result<(), Trouble> {
        let behind = self.slots.iter().filter(|slot| slot.is_running()).map(|slot| slot.position()).min();
        let Some(start) = behind else {
            tokio::time::sleep(PATIENCE).await;
            return Ok(());
        };
        let log = |error: bus_schema::bus::ReadError| Trouble::Log(error.to_string());
        let mut source = self.bus.follow(self.family, start + 1, Vec::new()).await.map_err(log)?;
        let mut next = start + 1;
        loop {
            let mut batch = {
                // What it has taken from the log would be lost if it were left.
                let mut batch = std::pin::pin!(source.next_batch(BATCH, PATIENCE));
                loop {
                    tokio::select! {
                        written = writing.end(), if writing.is_under_way() => written?,
                        batch = &mut batch => break batch.map_err(log)?,
                    }
                }
            };
            if writing.is_under_way() && (1..BACKLOG).contains(&batch.len()) {
                writing.end().await?;
                batch.extend(source.next_batch(BATCH - batch.len(), Duration::ZERO).await.map_err(log)?);
            }
            let running = || self.slots.iter().filter(|slot| slot.is_running());
            if running().any(|slot| slot.stands() + 1 < next) || running().next().is_none() {
                return Ok(());
            }
            if let Some(last) = batch.last().map(seq_of) {
                let made = self.make(batch, writing).await?;
                writing.end().await?;
                writing.begin(&self.store, made).await?;
                next = last + 1;
            }
            if !writing.is_under_way() {
                self.slots.iter().for_each(|slot| slot.goes_on());
            }
        }
    }

    /// Makes one batch of every running view.
    async fn make(&self, batch: Vec<Followed>, writing: &mut Writing) -> Result<Made, Trouble> {
        let cell = self.cell();
        let items = items(batch);
        let mut made = Made::default();
        for (place, slot) in self.slots.iter().enumerate() {
            let held = match writing.held(place) {
                Some(held) => held,
                None => Arc::new(slot.written().await),
            };
            if !slot.is_running() {
                made.pass_over();
                continue;
            }
            let since = slot.stands();
            let outcome = match batch::apply(&self.store, slot, &items).await {
                Ok(outcome) => outcome,
                Err(ApplyError::Store(error)) => return Err(error.into()),
                Err(ahead @ ApplyError::Ahead { at, .. }) => {
                    // The view goes elsewhere: nothing may be written of it after that.
                    writing.end().await?;
                    return Err(self.overtaken(slot, ahead, at).await?);
                }
            };
            slot.made(&outcome);
            made.add(slot, held, since, &cell, outcome);
        }
        Ok(made)
    }

    /// Another process carries this view too, or did: goes on from what it left. Rows that nobody noted make it pause.
    async fn overtaken(&self, slot: &Slot, ahead: ApplyError, at: u64) -> Result<Trouble, Trouble> {
        let known = self.store.resume(&slot.generation().to_string(), &self.cell()).await?;
        match known.filter(|known| known.until >= at) {
            Some(known) => slot.rewind(known),
            None => slot.lose(Pause {
                seq: slot.position() + 1,
                event_id: None,
                kind: None,
                subject: String::new(),
                error: format!("{ahead}, and what it was before is not known; run `millrace views build`"),
            }),
        }
        // Other views of this lane may have made batches that are not written now.
        Ok(Trouble::Store(format!("{ahead}: it goes on from the checkpoint in the read store")))
    }
}

/// Why a lane does not go on at this moment.
enum Trouble {
    Log(String),
    Store(String),
}

impl From<ReadStoreError> for Trouble {
    fn from(error: ReadStoreError) -> Self {
        Self::Store(said(&error))
    }
}

/// An error with what caused it.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

fn seq_of(followed: &Followed) -> u64 {
    match followed {
        Ok(event) => event.seq,
        Err(malformed) => malformed.seq,
    }
}

/// Takes decoded events into one view of a store without a lane; what scratch replays and tests use.
pub async fn take(store: &ReadStore, slot: &Slot, cell: &str, batch: Vec<Followed>) -> Result<(), String> {
    let (write, outcome) = plan(store, slot, cell, batch).await?;
    store.write(write).await.map_err(|error| error.to_string())?;
    slot.advance(outcome.progress);
    Ok(())
}

/// What [`take`] writes, for a caller that writes it: the view counts as advanced already.
pub async fn changes(store: &ReadStore, slot: &Slot, cell: &str, batch: Vec<Followed>) -> Result<WriteBatch, String> {
    let (write, outcome) = plan(store, slot, cell, batch).await?;
    slot.advance(outcome.progress);
    Ok(write)
}

async fn plan(
    store: &ReadStore,
    slot: &Slot,
    cell: &str,
    batch: Vec<Followed>,
) -> Result<(WriteBatch, Outcome), String> {
    let mut outcome = batch::apply(store, slot, &items(batch)).await.map_err(|error| error.to_string())?;
    let mark = Mark { view: slot.generation().to_string(), cell: cell.to_owned(), seq: outcome.progress.upto };
    Ok((WriteBatch { ops: std::mem::take(&mut outcome.ops), marks: vec![mark] }, outcome))
}

impl Item {
    fn seq(&self) -> u64 {
        match self {
            Self::Event(event) => event.seq,
            Self::Unknown { seq, .. } | Self::Bad { seq, .. } => *seq,
        }
    }
}
