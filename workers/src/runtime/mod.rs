//! How workers run: what they say of themselves ([`status`]), and who they are ([`roster`]).

pub mod roster;
pub mod status;

pub use roster::{Roster, WorkerState};
pub use status::{Glance, Trouble, WorkerStatus};
