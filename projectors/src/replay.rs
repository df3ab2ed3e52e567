//! A scratch view: one tenant's events folded once more, beside the live views, up to any point of the past.
//!
//! Its tables have names of their own (`replay<n>_…`) that no lane and no generation list knows; they are dropped with
//! it, and what a stopped process left behind is swept at the next start.

use crate::{
    generation::Generation,
    lane::{self, Slot},
    listing::Reader,
    projection::Projection,
    read_store::{ReadStore, ReadStoreError, ReadStorePort},
};
use bus_schema::{Address, StoredEvent, TenantId, bus::Bus};
use std::collections::HashSet;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Events read from the log at once.
const PIECE: usize = 1_000;
const PREFIX: &str = "replay";

/// Numbers the replays of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A scratch build of one view for one tenant.
pub struct Replay {
    store: ReadStore,
    slot: Slot,
    tenant: TenantId,
    seen: AtomicU64,
    position: AtomicU64,
}

impl Replay {
    pub fn new(store: ReadStore, projection: Arc<dyn Projection>, tenant: TenantId) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let view = format!("{PREFIX}{number}_{}", projection.name());
        let generation = Generation { view, version: projection.version(), number: 0 };
        let slot = Slot::new(projection, generation, 0);
        Self { store, slot, tenant, seen: AtomicU64::new(0), position: AtomicU64::new(0) }
    }

    /// Folds the tenant's events up to a position; of each aggregate those before the first that is not `wanted`, because
    /// history that was brought in has times that do not rise with the positions. An event the view cannot take ends it
    /// with the reason.
    pub async fn run(&self, bus: &Bus, upto: u64, wanted: impl Fn(&StoredEvent) -> bool) -> Result<(), String> {
        let family = self.slot.projection().family();
        let filter = family.filter(bus.cell(), Some(&self.tenant));
        let cell = lane::mark_cell(family, bus.cell());
        let mut from = 1;
        let mut closed: HashSet<Address> = HashSet::new();
        loop {
            let piece = bus.read_filtered(family, &filter, from, PIECE).await.map_err(|error| error.to_string())?;
            from = piece.next;
            let cut = piece.events.last().is_some_and(|last| last.seq >= upto);
            let mut events = Vec::new();
            for event in piece.events.into_iter().take_while(|event| event.seq <= upto) {
                if closed.contains(&event.subject.address) {
                    continue;
                }
                if wanted(&event) {
                    events.push(Ok(event));
                } else {
                    closed.insert(event.subject.address);
                }
            }
            self.seen.fetch_add(events.len() as u64, Ordering::Relaxed);
            if !events.is_empty() {
                lane::take(&self.store, &self.slot, &cell, events).await?;
            }
            self.position.store(self.slot.position(), Ordering::Relaxed);
            if let Some(pause) = self.slot.status("scratch").paused {
                return Err(format!("event {} cannot be taken: {}", pause.seq, pause.error));
            }
            if cut || !piece.more {
                return Ok(());
            }
        }
    }

    /// Events folded so far.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Position of the last of them.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.store, self.slot.generation().clone())
    }

    /// Drops the scratch tables.
    pub async fn discard(&self) -> Result<(), ReadStoreError> {
        self.store.drop_tables(&self.slot.generation().to_string()).await
    }
}

/// Drops the scratch tables a stopped process left behind.
pub(crate) async fn sweep(store: &ReadStore) -> Result<(), ReadStoreError> {
    for table in store.tables().await? {
        let generation = table.generation();
        let scratch =
            generation.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if scratch {
            store.drop_tables(generation).await?;
        }
    }
    Ok(())
}
