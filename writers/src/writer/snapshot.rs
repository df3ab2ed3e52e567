//! Snapshots of long aggregates: a state with its position, so that loading reads only the tail. They hold sealed
//! values sealed, and losing them costs time only.

use super::{
    Inner, WriteError,
    loaded::{Ledger, Loaded},
};
use crate::decider::Decider;
use bus_schema::{Subject, codec};
use serde::{Deserialize, Serialize};

/// Events between two snapshots.
const EVERY: u32 = 200;

#[derive(Serialize, Deserialize)]
struct Snapshot<D> {
    version: u32,
    revision: u64,
    state: D,
    ledger: Ledger,
}

/// The newest snapshot that fits this build, or the empty state. A short aggregate never has one, and asking would cost
/// every first load a request, so only aggregates that were seen to be long are asked for.
pub(super) async fn start<D: Decider>(inner: &Inner, subject: &Subject) -> Result<Loaded<D>, WriteError> {
    if !D::SNAPSHOTS {
        return Ok(Loaded::default());
    }
    let Some(body) = inner.store.snapshot(subject).await? else { return Ok(Loaded::default()) };
    Ok(read(&body).unwrap_or_default())
}

fn read<D: Decider>(body: &[u8]) -> Option<Loaded<D>> {
    let snapshot: Snapshot<D> = codec::decode(body).ok()?;
    (snapshot.version == D::SNAPSHOT).then_some(Loaded {
        state: snapshot.state,
        revision: snapshot.revision,
        ledger: snapshot.ledger,
        unsaved: 0,
    })
}

/// Keeps a snapshot when enough has happened. Best effort, in the background.
pub(super) fn keep<D: Decider>(inner: &Inner, subject: &Subject, loaded: &mut Loaded<D>) {
    if !D::SNAPSHOTS || loaded.unsaved < EVERY {
        return;
    }
    loaded.unsaved = 0;
    let snapshot = Snapshot {
        version: D::SNAPSHOT,
        revision: loaded.revision,
        state: loaded.state.clone(),
        ledger: loaded.ledger.clone(),
    };
    let Ok(body) = codec::encode(&snapshot) else { return };
    let (store, subject) = (inner.store.clone(), subject.clone());
    tokio::spawn(async move {
        if let Err(error) = store.keep_snapshot(&subject, body.into()).await {
            tracing::warn!(%error, %subject, "a snapshot was not kept");
        }
    });
}
