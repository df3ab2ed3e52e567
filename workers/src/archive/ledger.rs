//! A stream's chain at one provider, read back and checked.

use super::{
    ArchiveKey, ObjectError, ObjectStore, ObjectStorePort, Place,
    layout::number,
    manifest::{self, Chain, Entry, EpochStart, Fault, Link, MAX_ENTRY, Parent, Wrong},
    object_store::{Listed, MAX_LISTING, Put},
    segment::{self, MAX_SEGMENT},
};
use bus_schema::bus::StoredMessage;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Entries asked for at once.
const AHEAD: usize = 16;

/// Where a stream's chain is and with which key it is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub store: ObjectStore,
    pub key: Arc<ArchiveKey>,
    pub place: Place,
}

/// A link with the hash of its bytes.
pub type Hashed<L> = (L, blake3::Hash);

impl Ledger {
    pub fn new(store: ObjectStore, key: Arc<ArchiveKey>, place: Place) -> Self {
        Self { store, key, place }
    }

    /// The epochs that have a start, oldest first.
    pub async fn epochs(&self) -> Result<Vec<u32>, ArchiveError> {
        let prefix = self.place.epochs();
        let listed = self.list_all(&prefix, None).await?;
        Ok(listed.iter().filter_map(|object| u32::try_from(number(&object.key, &prefix)?).ok()).collect())
    }

    /// How an epoch starts; `None` when it has not begun.
    pub async fn start_of(&self, epoch: u32) -> Result<Option<Hashed<EpochStart>>, ArchiveError> {
        let object = self.place.epoch(epoch);
        let Some((start, hash)) = self.link::<EpochStart>(&object).await? else { return Ok(None) };
        let own = start.cell == self.place.cell().as_str() && start.stream == self.place.stream();
        if !own || start.epoch != epoch {
            let says = format!("{}/{}, epoch {}", start.cell, start.stream, start.epoch);
            return Err(self.fault(&object, Wrong::Reordered { says }));
        }
        Ok(Some((start, hash)))
    }

    /// Writes the start of an epoch; fails when it has begun otherwise.
    pub async fn begin(&self, start: &EpochStart) -> Result<(), ArchiveError> {
        let object = self.place.epoch(start.epoch);
        let bytes = manifest::seal(&self.key, start).map_err(|damage| self.fault(&object, Wrong::Entry(damage)))?;
        if self.store.put_new(&object, bytes.clone()).await? == Put::AlreadyThere
            && self.store.get(&object, MAX_ENTRY).await?.bytes != bytes
        {
            return Err(ArchiveError::EpochTaken { provider: self.provider(), epoch: start.epoch });
        }
        Ok(())
    }

    /// One entry, its signature and its place checked.
    pub async fn entry(&self, epoch: u32, idx: u64) -> Result<Option<Hashed<Entry>>, ArchiveError> {
        let object = self.place.entry(epoch, idx);
        let Some((entry, hash)) = self.link::<Entry>(&object).await? else { return Ok(None) };
        if self.place.entry(entry.epoch, entry.idx) != object || entry.stream != self.place.stream() {
            let says = format!("{}, epoch {}, entry {}", entry.stream, entry.epoch, entry.idx);
            return Err(self.fault(&object, Wrong::Reordered { says }));
        }
        Ok(Some((entry, hash)))
    }

    async fn link<L: Link>(&self, object: &str) -> Result<Option<Hashed<L>>, ArchiveError> {
        let found = match self.store.get(object, MAX_ENTRY).await {
            Ok(found) => found.bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let link = manifest::open(&self.key, &found).map_err(|damage| self.fault(object, Wrong::Entry(damage)))?;
        Ok(Some((link, blake3::hash(&found))))
    }

    /// The newest entry of an epoch. Found by bisection: a few dozen requests at most, however long the chain is.
    pub async fn newest(&self, epoch: u32) -> Result<Option<Hashed<Entry>>, ArchiveError> {
        let prefix = self.place.entries(epoch);
        let page = self.store.list(&prefix, None, MAX_LISTING).await?;
        let Some(mut low) = page.objects.last().and_then(|object| number(&object.key, &prefix)) else {
            return Ok(None);
        };
        if page.more {
            let (mut high, mut step) = (None, MAX_LISTING as u64);
            // First with growing steps until nothing is there, then between the last two.
            while high.is_none_or(|high| high > low + 1) {
                let probe = high.map_or(low.saturating_add(step), |high: u64| low + (high - low) / 2);
                match self.at_or_after(epoch, probe).await? {
                    Some(found) => low = found,
                    None => high = Some(probe),
                }
                step = step.saturating_mul(2);
            }
        }
        self.entry(epoch, low).await
    }

    /// The least number of an entry that is not below `idx`.
    async fn at_or_after(&self, epoch: u32, idx: u64) -> Result<Option<u64>, ArchiveError> {
        let prefix = self.place.entries(epoch);
        let before = self.place.entry(epoch, idx - 1);
        let listing = self.store.list(&prefix, Some(&before), 1).await?;
        Ok(listing.objects.first().and_then(|object| number(&object.key, &prefix)))
    }

    /// All objects under a prefix after a key.
    pub(super) async fn list_all(&self, prefix: &str, after: Option<String>) -> Result<Vec<Listed>, ArchiveError> {
        let (mut all, mut after) = (Vec::new(), after);
        loop {
            let listing = self.store.list(prefix, after.as_deref(), MAX_LISTING).await?;
            all.extend(listing.objects);
            after = all.last().map(|object| object.key.clone());
            if !listing.more || after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The bytes of the next entries of an epoch after one, in order, at most `MAX_LISTING`; fewer say that these were all.
    pub(super) async fn page(&self, epoch: u32, after: u64) -> Result<Vec<(String, Bytes)>, ArchiveError> {
        let prefix = self.place.entries(epoch);
        let after = self.place.entry(epoch, after);
        let listing = self.store.list(&prefix, Some(&after), MAX_LISTING).await?;
        let fetch = |object: Listed| async move {
            match self.store.get(&object.key, MAX_ENTRY).await {
                Ok(found) => Ok((object.key, found.bytes)),
                Err(ObjectError::NotFound { .. }) => Err(self.fault(&object.key, Wrong::Missing)),
                Err(ObjectError::TooLarge { .. }) => {
                    Err(self.fault(&object.key, Wrong::Entry(manifest::EntryDamage::Unreadable)))
                }
                Err(error) => Err(error.into()),
            }
        };
        stream::iter(listing.objects).map(fetch).buffered(AHEAD).try_collect().await
    }

    /// Every entry of an epoch, checked one against the other from its start on; an entry that fails ends it.
    pub async fn chain(
        &self,
        start: &Hashed<EpochStart>,
        mut visit: impl FnMut(Hashed<Entry>),
    ) -> Result<Chain, ArchiveError> {
        let mut chain = Chain::start(&self.place, &start.0, start.1);
        loop {
            let page = self.page(start.0.epoch, chain.next_idx() - 1).await?;
            for (object, bytes) in &page {
                let entry = chain.accept(&self.key, object, bytes);
                let entry = entry.map_err(|fault| ArchiveError::Fault { provider: self.provider(), fault })?;
                visit((entry, blake3::hash(bytes)));
            }
            if page.len() < MAX_LISTING {
                return Ok(chain);
            }
        }
    }

    /// The epochs whose entries make up the log, oldest first, each with the entry at which the next one takes over.
    pub async fn lineage(&self) -> Result<Vec<Branch>, ArchiveError> {
        let Some(newest) = self.epochs().await?.last().copied() else {
            return Err(ArchiveError::Empty { provider: self.provider(), place: self.place.to_string() });
        };
        let mut branches = Vec::new();
        let (mut epoch, mut until): (u32, Option<(u64, Parent)>) = (newest, None);
        loop {
            let object = self.place.epoch(epoch);
            let start = self.start_of(epoch).await?.ok_or_else(|| self.fault(&object, Wrong::Missing))?;
            let parent = start.0.parent.clone().map(|parent| (start.0.cut, parent));
            branches.push(Branch { start, until: until.take() });
            match parent {
                None => break,
                Some((_, parent)) if parent.epoch >= epoch => {
                    return Err(self.fault(&object, Wrong::Inconsistent));
                }
                Some(parent) => {
                    epoch = parent.1.epoch;
                    until = Some(parent);
                }
            }
        }
        branches.reverse();
        Ok(branches)
    }

    /// All messages of a segment, or none.
    pub async fn segment(&self, entry: &SegmentRef) -> Result<Vec<StoredMessage>, ArchiveError> {
        let object = self.place.segment(entry.epoch, entry.first, entry.last);
        let limit = usize::try_from(entry.length).unwrap_or(MAX_SEGMENT).min(MAX_SEGMENT);
        let bytes = match self.store.get(&object, limit).await {
            Ok(found) => found.bytes,
            Err(ObjectError::NotFound { .. }) => return Err(self.fault(&object, Wrong::Missing)),
            Err(ObjectError::TooLarge { length, .. }) => {
                return Err(self.fault(&object, Wrong::Length { expected: entry.length, found: length }));
            }
            Err(error) => return Err(error.into()),
        };
        let (key, place, entry) = (self.key.clone(), self.place.clone(), *entry);
        let opened = tokio::task::spawn_blocking(move || open_segment(&key, &place, &entry, &bytes)).await;
        match opened {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(wrong)) => Err(self.fault(&object, wrong)),
            Err(stopped) => Err(ArchiveError::Stopped(stopped.to_string())),
        }
    }

    pub(super) fn provider(&self) -> String {
        self.store.provider().to_owned()
    }

    pub(super) fn fault(&self, object: &str, wrong: Wrong) -> ArchiveError {
        ArchiveError::Fault { provider: self.provider(), fault: Fault::new(object, wrong) }
    }
}

fn open_segment(
    key: &ArchiveKey,
    place: &Place,
    entry: &SegmentRef,
    bytes: &Bytes,
) -> Result<Vec<StoredMessage>, Wrong> {
    if bytes.len() as u64 != entry.length {
        return Err(Wrong::Length { expected: entry.length, found: bytes.len() as u64 });
    }
    // The damage inside tells more than a hash that differs.
    let (header, messages) = segment::read(key, bytes).map_err(Wrong::Segment)?;
    if *blake3::hash(bytes).as_bytes() != entry.hash {
        return Err(Wrong::OtherBytes);
    }
    let own = header.cell == place.cell().as_str() && header.stream == place.stream() && header.epoch == entry.epoch;
    if !own || (header.first, header.last) != (entry.first, entry.last) {
        return Err(Wrong::OtherPositions);
    }
    Ok(messages)
}

/// An epoch's part of the log.
#[derive(Clone, Debug)]
pub struct Branch {
    pub start: Hashed<EpochStart>,
    /// The last position that counts and the entry it is in; `None` in the newest epoch.
    pub until: Option<(u64, Parent)>,
}

/// What a segment is read with, out of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    pub epoch: u32,
    pub first: u64,
    pub last: u64,
    pub length: u64,
    pub hash: [u8; 32],
}

impl From<&Entry> for SegmentRef {
    fn from(entry: &Entry) -> Self {
        Self { epoch: entry.epoch, first: entry.first, last: entry.last, length: entry.length, hash: entry.hash.0 }
    }
}

/// What can go wrong when an archive is read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("at the provider {provider}: {fault}. Nothing of it is used; try the other provider")]
    Fault { provider: String, fault: Fault },
    #[error("the provider {provider} has no archive of {place}; check the bucket, its prefix and the cell's name")]
    Empty { provider: String, place: String },
    #[error("at the provider {provider} epoch {epoch} was begun by somebody else; take the next number")]
    EpochTaken { provider: String, epoch: u32 },
    #[error("reading was cut off: {0}")]
    Stopped(String),
}
