//! The ports over real servers.

mod archive;
mod bus;
mod event_store;
mod follow;
mod key_directory;
mod lanes;
mod search;
mod ses;
mod snapshots;
mod timers;
mod workers;
mod writer;
