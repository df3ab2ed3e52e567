//! What flows on the bus and how it is addressed.
//!
//! One file of events per aggregate (`crm/contact.rs`), one [`catalog`] line for each of them, the [`envelope`] that
//! travels in the headers, the [`subject`]s, the [`codec`] and personal data under destroyable keys ([`sealed`]).
//! [`bus`] is the only module that speaks to async-nats.

pub mod bus;
pub mod catalog;
pub mod codec;
pub mod envelope;
pub mod events;
pub mod ids;
pub mod keys;
pub mod money;
pub mod sealed;
pub mod subject;
pub mod time;

pub mod analytics;
pub mod claim;
pub mod cms;
pub mod crm;
pub mod identity;
pub mod learning;
pub mod mail;
pub mod platform;
pub mod shop;

#[cfg(test)]
mod goldens;

pub use catalog::AnyEvent;
pub use envelope::{Actor, Envelope, Recorded, StoredEvent};
pub use ids::{Cell, CommandId, EffectId, EventId, KeyId, TenantId};
pub use money::{Currency, Money};
pub use sealed::{Keyring, Personal, Revealed, Sealed, SealingKey};
pub use subject::{Address, Subject};
pub use time::Micros;
