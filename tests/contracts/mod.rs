//! The ports over real servers.

mod archive;
mod bus;
mod copies;
mod event_store;
mod follow;
mod key_directory;
mod lanes;
mod scylla;
mod scylla_ahead;
mod scylla_lanes;
mod search;
mod ses;
mod silence;
mod snapshots;
mod timers;
mod workers;
mod writer;
