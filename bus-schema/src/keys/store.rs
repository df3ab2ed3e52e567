//! Where wrapped keys are kept: a stream of latest values (history 1) on the bus.

use super::lock;
use crate::{
    bus::{AppendError, Bus, Outgoing, ReadError},
    ids::{KeyId, TenantId},
};
use bytes::Bytes;
use std::{collections::HashMap, sync::Mutex};

const KIND: &str = "keys";

/// A place in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Slot {
    Tenant,
    Person(KeyId),
}

impl Slot {
    /// The last two tokens of its subject; also what the wrapping is bound to.
    pub(super) fn name(self, tenant: &TenantId) -> String {
        match self {
            Self::Tenant => format!("{tenant}.tenant"),
            Self::Person(id) => format!("{tenant}.{id}"),
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one a process, and the large variant is the one in production")]
pub(super) enum KeyStore {
    Bus(Bus),
    Memory(Mutex<HashMap<String, Bytes>>),
}

impl KeyStore {
    pub(super) fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    pub(super) async fn read(
        &self,
        tenant: &TenantId,
        slots: &[Slot],
    ) -> Result<HashMap<Slot, (u64, Bytes)>, KeyError> {
        match self {
            Self::Bus(bus) => {
                let subjects: Vec<String> = slots.iter().map(|slot| subject(bus, tenant, *slot)).collect();
                let mut found = bus.latest(KIND, &subjects).await?;
                let place = |(slot, subject): (&Slot, &String)| Some((*slot, found.remove(subject)?));
                Ok(slots.iter().zip(&subjects).filter_map(place).collect())
            }
            Self::Memory(map) => {
                let map = lock(map);
                let place = |slot: &Slot| Some((*slot, (0, map.get(&slot.name(tenant))?.clone())));
                Ok(slots.iter().filter_map(place).collect())
            }
        }
    }

    /// Writes new slots, all or nothing, durably. A slot that exists is never overwritten.
    pub(super) async fn write(&self, tenant: &TenantId, slots: Vec<(Slot, Vec<u8>)>) -> Result<(), KeyError> {
        match self {
            Self::Bus(bus) => {
                let outgoing = |(slot, wrapped): (Slot, Vec<u8>)| Outgoing {
                    subject: subject(bus, tenant, slot),
                    envelope: None,
                    body: wrapped.into(),
                    expect: Some(0),
                };
                bus.publish_batch(slots.into_iter().map(outgoing).collect()).await?;
            }
            Self::Memory(map) => {
                let mut map = lock(map);
                for (slot, wrapped) in slots {
                    map.entry(slot.name(tenant)).or_insert(wrapped.into());
                }
            }
        }
        Ok(())
    }

    pub(super) async fn erase(&self, tenant: &TenantId, slot: Slot) -> Result<(), KeyError> {
        match self {
            Self::Bus(bus) => {
                if let Some((seq, _)) = self.read(tenant, &[slot]).await?.remove(&slot) {
                    bus.erase_latest(KIND, seq).await?;
                }
            }
            Self::Memory(map) => {
                lock(map).remove(&slot.name(tenant));
            }
        }
        Ok(())
    }
}

fn subject(bus: &Bus, tenant: &TenantId, slot: Slot) -> String {
    format!("{KIND}.{}.{}", bus.cell(), slot.name(tenant))
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the tenant {0} has no key: it does not exist or was erased")]
    NoTenant(TenantId),
    #[error("the key directory cannot be read")]
    Read(#[from] ReadError),
    #[error("the key directory cannot be written")]
    Write(#[from] AppendError),
    #[error("a key of the directory does not unwrap: it was changed, or the root key is another one")]
    Unwrap,
    #[error("the root key file {path} cannot be used: {why}")]
    RootFile { path: String, why: String },
    #[error("the system gave no random bytes")]
    Random,
}
