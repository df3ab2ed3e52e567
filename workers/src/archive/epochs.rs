//! Beginning a new epoch: after a restore, the restored log goes on in the same archive, behind the point it was restored to.
//!
//! What the old epoch holds behind that point stays there; it does not count any more, except for the erasures in it.

use super::{
    binary::Binary32,
    key::hex,
    ledger::{ArchiveError, Hashed, Ledger},
    manifest::{Entry, EpochStart, Parent, Wrong},
    record,
};

/// Begins `epoch` at a provider, taking over what it has up to `cut`; less, if the provider does not have that much: its
/// archiver then takes the rest from the restored log. Beginning the same again changes nothing.
pub async fn begin_epoch(ledger: &Ledger, epoch: u32, cut: u64) -> Result<EpochStart, ArchiveError> {
    if let Some((start, _)) = ledger.start_of(epoch).await? {
        // The cut is what makes it the same.
        return if start.cut <= cut { Ok(start) } else { Err(taken(ledger, epoch)) };
    }
    let mut start = EpochStart {
        cell: ledger.place.cell().to_string(),
        stream: ledger.place.stream().to_owned(),
        epoch,
        cut: 0,
        cut_identity: Binary32([0; 32]),
        latest: i64::MIN,
        parent: None,
        signer: hex(&ledger.key.id()),
    };
    let known = ledger.epochs().await?;
    if known.last().is_some_and(|newest| *newest >= epoch) {
        return Err(taken(ledger, epoch));
    }
    if !known.is_empty() && cut > 0 {
        take_over(ledger, cut, &mut start).await?;
    }
    ledger.begin(&start).await?;
    Ok(start)
}

fn taken(ledger: &Ledger, epoch: u32) -> ArchiveError {
    ArchiveError::EpochTaken { provider: ledger.provider(), epoch }
}

async fn take_over(ledger: &Ledger, cut: u64, start: &mut EpochStart) -> Result<(), ArchiveError> {
    for branch in ledger.lineage().await?.into_iter().rev() {
        let (older, _) = &branch.start;
        let upto = branch.until.as_ref().map_or(cut, |(until, _)| cut.min(*until));
        if upto <= older.cut {
            continue;
        }
        let Some((newest, hash)) = ledger.newest(older.epoch).await? else { continue };
        let cut = upto.min(newest.last);
        let (entry, hash) = entry_of(ledger, (newest, hash), cut).await?;
        start.cut = cut;
        start.parent = Some(Parent { epoch: entry.epoch, idx: entry.idx, hash: hash.into() });
        if entry.last == cut {
            (start.cut_identity, start.latest) = (entry.last_identity, entry.latest);
            return Ok(());
        }
        let before = match entry.idx {
            1 => older.latest,
            idx => found(ledger, older.epoch, idx - 1).await?.0.latest,
        };
        for message in ledger.segment(&(&entry).into()).await?.iter().take_while(|message| message.seq <= cut) {
            start.latest = start.latest.max(message.stored.0).max(before);
            start.cut_identity = record::identity(message).into();
        }
        return Ok(());
    }
    Ok(())
}

/// The entry that holds a position, by bisection; `newest` ends at or behind it.
async fn entry_of(ledger: &Ledger, newest: Hashed<Entry>, position: u64) -> Result<Hashed<Entry>, ArchiveError> {
    let (mut low, mut high) = (1, newest);
    while high.0.first > position && low < high.0.idx {
        let middle = found(ledger, high.0.epoch, low + (high.0.idx - low) / 2).await?;
        if middle.0.last < position {
            low = middle.0.idx + 1;
        } else {
            high = middle;
        }
    }
    Ok(high)
}

async fn found(ledger: &Ledger, epoch: u32, idx: u64) -> Result<Hashed<Entry>, ArchiveError> {
    let object = ledger.place.entry(epoch, idx);
    ledger.entry(epoch, idx).await?.ok_or_else(|| ledger.fault(&object, Wrong::Missing))
}
