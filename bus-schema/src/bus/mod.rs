//! The bus: the only code that speaks to async-nats.

mod append;
mod connect;
mod consumer;
mod copy;
mod filter;
mod follow;
mod leader;
mod lease;
mod message;
mod puller;
mod read;
mod saying;
mod streams;
mod tail;
mod timers;

pub use append::MAX_BATCH;
pub use append::{Append, AppendError, Outgoing};
pub use connect::{Bus, BusOptions, BusUser, ConnectError};
pub use consumer::{Begin, Consumer, ConsumerSpec, Delivery, Source, Standing};
pub use copy::{DuplicateWindow, LatestState, LatestValue, StoredBatch, StoredMessage, TRANSPORT_HEADERS};
pub use follow::{Follow, Followed, Malformed};
pub use lease::{Lease, LeaseError, LeaseTerm};
pub use message::MalformedMessage;
pub use read::{Piece, ReadError};
pub use saying::{Asked, Heard, Question, SayError};
pub use streams::{Bounds, StreamError};
pub use timers::Timer;

/// Bytes of one answer of the log. Without it the server sends up to what it lets a connection fall behind (64 MiB), and
/// cuts the connection of a client that is slow to take it.
const ANSWER: usize = 4 << 20;
