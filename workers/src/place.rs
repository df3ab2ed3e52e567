//! Where a reader of the log goes on: a position in a file. Everything before it is done; whoever loses it begins anew,
//! which changes nothing, because what is done is seen to be done.

use crate::worker::Stop;
use bus_schema::{bus::Bus, ids::Cell, subject::Family};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};
use tokio::time::Instant;

/// The least time between two savings.
const RHYTHM: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    cell: Cell,
    position: u64,
}

/// A position that is kept over restarts.
pub(crate) struct Place {
    path: PathBuf,
    kept: Kept,
    saved_at: Instant,
}

impl Place {
    /// The kept position, 0 when there is none or it is of another log. `None`: it was asked to stop.
    pub(crate) async fn open(path: PathBuf, bus: &Bus, stop: &mut Stop) -> Option<Self> {
        let found = tokio::fs::read(&path).await.ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let found = found.filter(|kept| kept.cell == *bus.cell()).map_or(0, |kept| kept.position);
        let position = loop {
            match bus.last_seq(Family::Events).await {
                // A log that is shorter was restored from further back: what it lacks may come again differently.
                Ok(last) => break if found <= last { found } else { 0 },
                Err(error) => tracing::warn!(%error, "a worker waits for the log"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.asked() => return None,
            }
        };
        Some(Self { path, kept: Kept { cell: bus.cell().clone(), position }, saved_at: Instant::now() })
    }

    pub(crate) fn position(&self) -> u64 {
        self.kept.position
    }

    /// Everything up to here is done. Written down now and then, or at once when `last`.
    pub(crate) async fn reached(&mut self, position: u64, last: bool) {
        if position <= self.kept.position || (!last && self.saved_at.elapsed() < RHYTHM) {
            return;
        }
        self.kept.position = position;
        self.saved_at = Instant::now();
        let written = async {
            let beside = self.path.with_extension("new");
            tokio::fs::write(&beside, serde_json::to_vec(&self.kept)?).await?;
            tokio::fs::rename(&beside, &self.path).await
        };
        if let Err(error) = written.await {
            let path = self.path.display();
            tracing::warn!(%error, %path, "a worker's place cannot be saved; its next start takes longer");
        }
    }
}
