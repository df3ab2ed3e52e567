//! Processes tell each other whose key is destroyed, so that none goes on knowing a person who was erased.
//!
//! It is said and not stored ([`Bus::say`]): by the process that erases a person at once, by the worker `eraser`, which destroys the
//! key again, some seconds later. A process that may have missed it, because its connection was lost, forgets all the keys it has in mind
//! and reads them again; if even that fails a key is in mind for ten minutes at most.

use super::{Inner, lock};
use crate::{
    bus::Bus,
    ids::{KeyId, TenantId},
};
use std::{sync::Weak, time::Duration};
use tokio::task::JoinHandle;

/// Before the servers are asked again to let us hear.
const RETRY: Duration = Duration::from_secs(1);

/// A new connection hears what is said to all servers after this time at the latest.
const SETTLED: Duration = Duration::from_secs(1);

/// Hears as long as it lives.
pub(super) struct Hearing(JoinHandle<()>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the others that a key is destroyed.
pub(super) async fn tell(bus: &Bus, tenant: &TenantId, id: KeyId) {
    if let Err(error) = bus.say(&format!("forget.{tenant}"), id.to_string().into()).await {
        tracing::warn!(%error, %tenant, key = %id, "other processes do not hear that a key is destroyed; they forget it within ten minutes");
    }
}

/// Forgets what others destroy.
pub(super) fn hear(bus: Bus, directory: Weak<Inner>) -> Hearing {
    Hearing(tokio::spawn(async move {
        let (mut losses, mut connects) = (bus.losses(), bus.connects());
        let mut heard = loop {
            match bus.hear("forget.*").await {
                Ok(heard) => break heard,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        let forget = |said: Option<KeyId>| {
            let Some(directory) = directory.upgrade() else { return };
            let mut cache = lock(&directory.cache);
            match said {
                Some(id) => cache.remove(id),
                None => cache.clear(),
            }
        };
        // What was said before all servers knew that this hears.
        tokio::time::sleep(SETTLED).await;
        forget(None);
        loop {
            tokio::select! {
                said = heard.next() => match said {
                    Some(body) => {
                        let id = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
                        id.into_iter().for_each(|id| forget(Some(KeyId(id))));
                    }
                    None => return,
                },
                Ok(()) = losses.changed() => {
                    forget(None);
                    while bus.connects() == connects {
                        tokio::time::sleep(RETRY).await;
                    }
                    connects = bus.connects();
                    tokio::time::sleep(SETTLED).await;
                    forget(None);
                }
                else => return,
            }
        }
    }))
}
