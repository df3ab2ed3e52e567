//! Whether a provider's archive is whole: its chain, and as many of its bytes as asked for.
//!
//! Unlike a restore, which stops at the first fault, this goes on behind it and counts. It believes nobody but the provider's
//! own objects, and it looks at one provider alone: that the newest entries are missing shows only against a position known
//! from elsewhere ([`VerifyOptions::at_least`]: the log, the archiver, the other provider).

use super::{
    ArchiveError, Ledger,
    blobs::{self, BlobReport, Seen},
    ledger::{Hashed, SegmentRef},
    manifest::{Chain, Entry, EpochStart, Fault, Wrong, open},
    object_store::MAX_LISTING,
};
use bus_schema::Micros;
use serde::Serialize;
use std::collections::BTreeMap;

/// Faults that are kept word by word; the counts go on.
const MOST_FAULTS: usize = 100;

/// How many bytes are read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Entries, and whether their segments are there with the right length.
    Chain,
    /// Also this share of the segments in percent; another seed takes others.
    Share { percent: u8, seed: u64 },
    /// Also every segment.
    Bytes,
}

#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    pub depth: Depth,
    /// A position that is known to be archived; 0 for none.
    pub at_least: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub provider: String,
    pub stream: String,
    /// Segments that are as their entries say.
    pub found: u64,
    /// Segments at the end without an entry yet: on their way.
    pub delayed: u64,
    /// Entries and segments that should be there.
    pub missing: u64,
    /// Entries and segments that are not what they should be.
    pub corrupt: u64,
    /// Segments that no entry names: left over from a writer that lost its disk. Harmless.
    pub unreferenced: u64,
    /// Segments read back.
    pub read: u64,
    /// Uploaded files that the segments read back name.
    pub blobs: BlobReport,
    /// The newest position of the chain and the greatest store time up to it.
    pub archived: u64,
    pub latest: Option<Micros>,
    /// The first faults, each with its object.
    pub faults: Vec<String>,
}

impl Report {
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.corrupt == 0 && self.blobs.missing == 0 && self.blobs.corrupt == 0
    }

    fn fault(&mut self, fault: &Fault) {
        if fault.is_missing() {
            self.missing += 1;
        } else {
            self.corrupt += 1;
        }
        self.note(fault);
    }

    fn note(&mut self, fault: &Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault.to_string());
        }
    }
}

/// Checks all epochs. Its own error says that the provider could not be asked, not that something is wrong.
pub async fn verify(ledger: &Ledger, options: VerifyOptions) -> Result<Report, ArchiveError> {
    let mut report =
        Report { provider: ledger.provider(), stream: ledger.place.stream().to_owned(), ..Report::default() };
    let epochs = ledger.epochs().await?;
    let mut seen = Seen::default();
    for epoch in &epochs {
        let start = match ledger.start_of(*epoch).await {
            Ok(start) => start,
            Err(ArchiveError::Fault { fault, .. }) => {
                report.fault(&fault);
                None
            }
            Err(error) => return Err(error),
        };
        one_epoch(ledger, *epoch, start, options.depth, &mut report, &mut seen).await?;
    }
    let whole = options.depth == Depth::Bytes;
    let (found, faults) = blobs::check(&ledger.store, &ledger.key, ledger.place.cell(), &seen, whole).await?;
    report.blobs = found;
    faults.iter().for_each(|fault| report.note(fault));
    if report.archived < options.at_least {
        let epoch = epochs.last().copied().unwrap_or(1);
        let next = ledger.newest(epoch).await.ok().flatten().map_or(1, |(entry, _)| entry.idx + 1);
        report.fault(&Fault::new(&ledger.place.entry(epoch, next), Wrong::Missing));
    }
    Ok(report)
}

async fn one_epoch(
    ledger: &Ledger,
    epoch: u32,
    start: Option<Hashed<EpochStart>>,
    depth: Depth,
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), ArchiveError> {
    let prefix = ledger.place.segments(epoch);
    let listed = ledger.list_all(&prefix, None).await?;
    let mut segments: BTreeMap<String, u64> = listed.into_iter().map(|object| (object.key, object.length)).collect();
    if let Some((start, _)) = &start {
        // What an older epoch has behind the cut does not count any more.
        report.archived = start.cut;
    }
    // `None`: what comes next cannot be compared with what was before.
    let mut chain = start.map(|(start, hash)| Chain::start(&ledger.place, &start, hash));
    let mut after = 0;
    loop {
        let page = ledger.page(epoch, after).await?;
        for (object, bytes) in &page {
            let idx = super::layout::number(object, &ledger.place.entries(epoch)).unwrap_or(after + 1);
            for missing in after + 1..idx {
                report.fault(&Fault::new(&ledger.place.entry(epoch, missing), Wrong::Missing));
                chain = None;
            }
            after = idx;
            if let Some(entry) = accepted(ledger, &mut chain, object, bytes, report) {
                one_segment(ledger, &entry, depth, &mut segments, report, seen).await?;
                report.archived = entry.last;
                report.latest = Some(Micros(entry.latest));
            }
        }
        if page.len() < MAX_LISTING {
            break;
        }
    }
    let behind = ledger.place.segment(epoch, report.archived + 1, 0);
    let delayed = segments.range(behind..).count() as u64;
    report.delayed += delayed;
    report.unreferenced += segments.len() as u64 - delayed;
    Ok(())
}

/// The entry, with its fault noted; one that does not continue the chain but is genuine is where the chain goes on.
fn accepted(
    ledger: &Ledger,
    chain: &mut Option<Chain>,
    object: &str,
    bytes: &[u8],
    report: &mut Report,
) -> Option<Entry> {
    let fault = match chain {
        Some(known) => match known.accept(&ledger.key, object, bytes) {
            Ok(entry) => return Some(entry),
            Err(fault) => Some(fault),
        },
        None => None,
    };
    let genuine = open::<Entry>(&ledger.key, bytes);
    let genuine = genuine.map_err(|damage| Fault::new(object, Wrong::Entry(damage)));
    let placed = genuine.and_then(|entry| {
        let says = ledger.place.entry(entry.epoch, entry.idx);
        if says == object { Ok(entry) } else { Err(Fault::new(object, Wrong::Reordered { says })) }
    });
    match placed {
        Ok(entry) => {
            fault.iter().for_each(|fault| report.fault(fault));
            *chain = Some(Chain::after(&ledger.place, &entry, blake3::hash(bytes)));
            Some(entry)
        }
        Err(fault) => {
            report.fault(&fault);
            *chain = None;
            None
        }
    }
}

async fn one_segment(
    ledger: &Ledger,
    entry: &Entry,
    depth: Depth,
    segments: &mut BTreeMap<String, u64>,
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), ArchiveError> {
    let fault = |wrong| Fault::new(&entry.segment, wrong);
    match segments.remove(&entry.segment) {
        None => {
            report.fault(&fault(Wrong::Missing));
            return Ok(());
        }
        Some(length) if length != entry.length => {
            report.fault(&fault(Wrong::Length { expected: entry.length, found: length }));
            return Ok(());
        }
        Some(_) => {}
    }
    if chosen(depth, entry.idx) {
        match ledger.segment(&SegmentRef::from(entry)).await {
            Ok(messages) => {
                report.read += 1;
                seen.note(&messages);
            }
            Err(ArchiveError::Fault { fault, .. }) => {
                report.fault(&fault);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    report.found += 1;
    Ok(())
}

fn chosen(depth: Depth, idx: u64) -> bool {
    match depth {
        Depth::Chain => false,
        Depth::Bytes => true,
        Depth::Share { percent, seed } => {
            let hash = blake3::hash(&[idx.to_le_bytes(), seed.to_le_bytes()].concat());
            u64::from(hash.as_bytes()[0]) * 256 + u64::from(hash.as_bytes()[1]) < u64::from(percent) * 65_536 / 100
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_that_share_and_differs_by_seed() {
        let of = |seed| (0..10_000).filter(move |idx| chosen(Depth::Share { percent: 10, seed }, *idx));
        let count = of(1).count();
        assert!((900..1_100).contains(&count), "{count}");
        assert_ne!(of(1).collect::<Vec<_>>(), of(2).collect::<Vec<_>>());
        assert_eq!((0..100).filter(|idx| chosen(Depth::Share { percent: 100, seed: 3 }, *idx)).count(), 100);
    }
}
