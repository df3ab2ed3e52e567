//! The bus: the only code that speaks to async-nats.

mod append;
mod connect;
mod follow;
mod message;
mod read;
mod streams;

pub use append::MAX_BATCH;
pub use append::{Append, AppendError, Outgoing};
pub use connect::{Bus, BusOptions, ConnectError};
pub use follow::{Follow, Followed, Malformed};
pub use message::MalformedMessage;
pub use read::ReadError;
pub use streams::StreamError;
