//! kill -9 under load, and what must be true afterwards.

mod books;
mod campaign;
mod cluster;
mod dice;
mod fulfilment;
mod kill;
mod messages;
mod oracle;
mod places;
mod rebuild;
mod shoppers;
mod turns;
