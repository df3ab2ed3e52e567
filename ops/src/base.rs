//! What every role stands on: the log, the keys, who writes, and what operators ordered.

use bus_schema::{
    Cell,
    bus::Bus,
    keys::{KeyDirectory, RootKey},
    time::Clock,
};
use projectors::platform::board::Board;
use std::{path::PathBuf, time::Duration};
use workers::runtime::RuntimeParts;
use writers::{
    EventStore, Writer,
    backend::nats::{GroupOptions, NatsStore},
    facts::Facts,
};

/// How long the start waits for what operators said of the workers.
const BOARD_WITHIN: Duration = Duration::from_secs(20);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Base {
    pub cell: Cell,
    pub bus: Bus,
    pub keys: KeyDirectory,
    pub clock: Clock,
    pub writer: Writer,
    pub facts: Facts,
    pub board: Board,
}

impl Base {
    /// Over a log whose streams are there.
    pub fn new(bus: Bus, root: RootKey) -> Self {
        let (cell, clock) = (bus.cell().clone(), Clock::System);
        let keys = KeyDirectory::new(bus.clone(), root);
        let store = EventStore::Nats(NatsStore::new(bus.clone(), GroupOptions::default()));
        let facts_store = EventStore::Nats(NatsStore::new(bus.clone(), GroupOptions::default()));
        let facts = Facts::new(cell.clone(), facts_store);
        let writer = Writer::new(cell.clone(), store, keys.clone(), clock.clone());
        let board = Board::start(bus.clone());
        Self { cell, bus, keys, clock, writer, facts, board }
    }

    /// Who is paused must be known before anybody begins.
    pub async fn knows_who_is_paused(&self) {
        if !self.board.caught_up(BOARD_WITHIN).await {
            tracing::warn!("it is not known yet which workers are paused; they begin as if none were");
        }
    }

    pub fn runtime(&self, places: PathBuf) -> RuntimeParts {
        RuntimeParts { bus: self.bus.clone(), writer: self.writer.clone(), board: self.board.clone(), places }
    }
}
