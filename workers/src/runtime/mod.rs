//! How workers run.
//!
//! Each says how it stands ([`status`]), and the [`roster`] knows them all. A worker over the log is a [`Job`] and a
//! [`Handler`], started by [`start`]: a durable consumer gives it events, in order within a key; an event it cannot
//! handle is tried again and then parked. [`crash`] names the places where a drill may kill it.

mod consume;
pub mod crash;
mod intake;
mod item;
mod journal;
mod lanes;
mod parking;
pub mod roster;
pub mod status;
pub mod timers;
mod tries;
pub mod turn;

pub use consume::start;
pub use item::{Failure, Handler, Item, Job, Patience};
pub use roster::{Roster, WorkerState};
pub use status::{Glance, Trouble, WorkerStatus};

use bus_schema::bus::Bus;
use projectors::platform::board::Board;
use std::path::PathBuf;
use writers::Writer;

/// What every worker over the log needs. Cheap to clone.
#[derive(Clone)]
pub struct RuntimeParts {
    pub bus: Bus,
    pub writer: Writer,
    /// Says who is paused, and which parked items are to be tried again.
    pub board: Board,
    /// The folder for what a worker keeps from one start to the next; all processes that share the work share it.
    pub places: PathBuf,
}
