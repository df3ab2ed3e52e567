//! Bringing cuts to the provider.
//!
//! What an answer means: created: go on. Already there (412): read it; our own bytes are an earlier success whose answer was
//! lost, others say that somebody else writes this archive, and this one halts. A conflict (409), no answer, 5xx: the same key
//! with the same bytes again. Refused: the same, more slowly, since a person may be repairing the rights.

use super::{
    Halt, KillPoint, Probe,
    cut::{Cut, CutFile},
    progress::Reporter,
    shared::{Extent, SharedSegments},
};
use crate::{
    archive::{
        BlobCopies, KeyCopies, ObjectError, ObjectStorePort,
        ledger::Ledger,
        manifest::Chain,
        object_store::Put,
        segment::{self, Unwritable, Written},
    },
    worker::Stop,
};
use bus_schema::bus::StoredMessage;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// After the provider refused us.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Shipper {
    pub(super) ledger: Ledger,
    pub(super) chain: Chain,
    pub(super) cuts: CutFile,
    pub(super) keys: Option<KeyCopies>,
    pub(super) blobs: Option<BlobCopies>,
    pub(super) progress: Reporter,
    pub(super) probe: Probe,
    pub(super) stop: Stop,
    pub(super) shared: SharedSegments,
}

/// Why shipping ended.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    /// A test ended it as a crash would.
    Killed,
    Halted(Halt),
}

impl Shipper {
    /// Brings messages to the provider. Until this returns nothing else may be shipped.
    pub(super) async fn ship(&mut self, messages: Vec<Arc<StoredMessage>>) -> Result<(), End> {
        self.at(KillPoint::Gathered)?;
        // Keys first: what the messages are sealed with was durable before them, so it is below this position.
        let keys = self.cover().await?;
        self.at(KillPoint::KeysCovered)?;
        self.cover_blobs(&messages).await?;
        self.at(KillPoint::BlobsCovered)?;
        let written = self.write(messages).await?;
        let extended = self.chain.extend(&self.ledger.key, &written, keys);
        let (entry, entry_key, entry_bytes) = extended.map_err(|_| halted(Halt::Unwritable(Unwritable::Sealing)))?;
        let cut =
            Cut { segment_key: entry.segment.clone(), segment: written.bytes.clone(), entry_key, entry_bytes, entry };
        self.save(&cut).await?;
        self.at(KillPoint::Saved)?;
        self.send(cut).await
    }

    async fn write(&self, messages: Vec<Arc<StoredMessage>>) -> Result<Arc<Written>, End> {
        let (key, place, epoch) = (self.ledger.key.clone(), self.ledger.place.clone(), self.chain.epoch());
        let position = |message: Option<&Arc<StoredMessage>>| message.map_or(0, |message| message.seq);
        let (first, last) = (position(messages.first()), position(messages.last()));
        let extent = Extent { stream: place.stream().to_owned(), epoch, first, last };
        let make = async move {
            let written = tokio::task::spawn_blocking(move || segment::write(&key, &place, epoch, &messages)).await;
            let written = written.map_err(|_| End::Stopped)?;
            written.map_err(|unwritable| halted(Halt::Unwritable(unwritable)))
        };
        self.shared.get(extent, make).await
    }

    /// Puts a saved cut: the segment, then its entry.
    pub(super) async fn send(&mut self, cut: Cut) -> Result<(), End> {
        self.put(&cut.segment_key, &cut.segment, KillPoint::SegmentUnknown).await?;
        self.at(KillPoint::SegmentPut)?;
        self.put(&cut.entry_key, &cut.entry_bytes, KillPoint::EntryUnknown).await?;
        self.at(KillPoint::EntryPut)?;
        self.chain = Chain::after(&self.ledger.place, &cut.entry, blake3::hash(&cut.entry_bytes));
        self.progress.send_modify(|progress| progress.arrived(cut.entry.last, cut.entry.idx));
        Ok(())
    }

    async fn put(&mut self, key: &str, bytes: &Bytes, unknown: KillPoint) -> Result<(), End> {
        let mut pauses = Pauses::default();
        loop {
            match self.put_once(key, bytes).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(halted(Halt::Fenced { object: key.to_owned() })),
                Err(error) => {
                    self.at(unknown)?;
                    self.pause(&mut pauses, &error).await?;
                }
            }
        }
    }

    /// Whether the object is there with our bytes; `false`: with others.
    async fn put_once(&self, key: &str, bytes: &Bytes) -> Result<bool, ObjectError> {
        let store = &self.ledger.store;
        if let Put::Created(_) = store.put_new(key, bytes.clone()).await? {
            return Ok(true);
        }
        match store.get(key, bytes.len()).await {
            Ok(found) => Ok(found.bytes == *bytes),
            Err(ObjectError::TooLarge { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn cover(&mut self) -> Result<u64, End> {
        let Some(keys) = self.keys.clone() else { return Ok(0) };
        let mut pauses = Pauses::default();
        loop {
            match keys.cover().await {
                Ok(position) => return Ok(position),
                Err(error) => self.wait(pauses.next(false), error.to_string()).await?,
            }
        }
    }

    /// Blobs first: an event counts as archived when the file it names is at the provider.
    async fn cover_blobs(&mut self, messages: &[Arc<StoredMessage>]) -> Result<(), End> {
        let Some(blobs) = self.blobs.clone() else { return Ok(()) };
        let mut pauses = Pauses::default();
        while let Err(error) = blobs.cover(messages).await {
            self.wait(pauses.next(false), error.to_string()).await?;
        }
        Ok(())
    }

    async fn save(&mut self, cut: &Cut) -> Result<(), End> {
        let mut pauses = Pauses::default();
        while let Err(error) = self.cuts.save(cut).await {
            let why = format!("{} cannot be written: {error}; check the disk", self.cuts.path().display());
            self.wait(pauses.next(false), why).await?;
        }
        Ok(())
    }

    pub(super) async fn pause(&mut self, pauses: &mut Pauses, error: &ObjectError) -> Result<(), End> {
        self.wait(pauses.next(!error.is_transient()), error.to_string()).await
    }

    /// Says what failed and waits.
    pub(super) async fn wait(&mut self, pause: Duration, why: String) -> Result<(), End> {
        let provider = self.ledger.store.provider();
        tracing::warn!(provider, stream = self.ledger.place.stream(), %why, "an archiver tries again");
        self.progress.send_modify(|progress| progress.fails(why));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.asked() => Err(End::Stopped),
        }
    }

    pub(super) fn at(&self, point: KillPoint) -> Result<(), End> {
        if self.probe.kills(point) { Err(End::Killed) } else { Ok(()) }
    }
}

fn halted(halt: Halt) -> End {
    End::Halted(halt)
}

/// Growing pauses between attempts.
#[derive(Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    pub(super) fn next(&mut self, refused: bool) -> Duration {
        if refused {
            return REFUSED_PAUSE;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.0.min(10)).min(LONGEST_PAUSE);
        self.0 += 1;
        pause
    }
}
