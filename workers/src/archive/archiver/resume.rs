//! Where an archiver goes on: after the newest entry at its provider, and nowhere else.

use super::{
    Halt,
    cut::{Cut, CutFile},
};
use crate::archive::{
    binary::Binary32,
    key::hex,
    ledger::{ArchiveError, Ledger},
    manifest::{Chain, EpochStart},
    record,
};
use bus_schema::{bus::Bus, subject::Family};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Resumed {
    pub(super) chain: Chain,
    /// What is at the provider already.
    pub(super) archived: u64,
    /// A cut that was saved and has no entry yet.
    pub(super) unfinished: Option<Cut>,
}

/// Why it could not be found out now.
pub(super) enum NotResumed {
    Halt(Halt),
    /// It may work later.
    Again {
        why: String,
        refused: bool,
    },
}

impl From<ArchiveError> for NotResumed {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Object(object) => Self::Again { refused: !object.is_transient(), why: object.to_string() },
            ArchiveError::Fault { fault, .. } => Self::Halt(Halt::Damaged(fault)),
            other => Self::Again { why: other.to_string(), refused: true },
        }
    }
}

pub(super) async fn resume(
    ledger: &Ledger,
    epoch: u32,
    cuts: &CutFile,
    bus: &Bus,
    family: Family,
) -> Result<Resumed, NotResumed> {
    let halt = |halt| Err(NotResumed::Halt(halt));
    let known = ledger.epochs().await?;
    if let Some(found) = known.last().copied().filter(|found| *found > epoch) {
        return halt(Halt::NewerEpoch { ours: epoch, found });
    }
    let start = match ledger.start_of(epoch).await? {
        Some(start) => start,
        None if known.is_empty() && epoch == 1 => {
            ledger.begin(&first_epoch(ledger)).await?;
            ledger.start_of(epoch).await?.ok_or(NotResumed::Again {
                why: "the provider does not show what it has just taken".into(),
                refused: true,
            })?
        }
        None => return halt(Halt::NoEpoch { epoch }),
    };
    let newest = ledger.newest(epoch).await?;
    let chain = match &newest {
        Some((entry, hash)) => Chain::after(&ledger.place, entry, *hash),
        None => Chain::start(&ledger.place, &start.0, start.1),
    };
    let archived = chain.next_first() - 1;
    let saved = cuts.load(&ledger.key).await;
    let saved = saved.map_err(|damaged| {
        NotResumed::Halt(Halt::CutFile { path: damaged.path.display().to_string(), why: damaged.why })
    })?;
    // A cut of an older epoch was finished, or the epoch was given up with it.
    let unfinished = match saved.filter(|cut| cut.entry.epoch == epoch) {
        Some(cut) if cut.entry_key == chain.next_key() => {
            let mut ahead = chain.clone();
            if ahead.accept(&ledger.key, &cut.entry_key, &cut.entry_bytes).is_err() {
                return halt(Halt::Fenced { object: cut.entry_key });
            }
            Some(cut)
        }
        Some(cut) if cut.entry.idx > chain.next_idx() => return halt(Halt::LostEntries { object: chain.next_key() }),
        Some(cut) if cut.entry.idx + 1 == chain.next_idx() => {
            let theirs = newest.as_ref().map(|(_, hash)| *hash);
            if theirs != Some(blake3::hash(&cut.entry_bytes)) {
                return halt(Halt::Fenced { object: cut.entry_key });
            }
            None
        }
        _ => None,
    };
    let (position, identity) = match (&unfinished, &newest) {
        (Some(cut), _) => (cut.entry.last, cut.entry.last_identity),
        (None, Some((entry, _))) => (entry.last, entry.last_identity),
        (None, None) => (start.0.cut, start.0.cut_identity),
    };
    same_log(bus, family, position, identity).await?;
    Ok(Resumed { chain, archived, unfinished })
}

fn first_epoch(ledger: &Ledger) -> EpochStart {
    EpochStart {
        cell: ledger.place.cell().to_string(),
        stream: ledger.place.stream().to_owned(),
        epoch: 1,
        cut: 0,
        cut_identity: Binary32([0; 32]),
        latest: i64::MIN,
        parent: None,
        signer: hex(&ledger.key.id()),
    }
}

/// Refuses a log that is not the one that was archived: one that was made anew, or restored to an earlier point.
async fn same_log(bus: &Bus, family: Family, position: u64, identity: Binary32) -> Result<(), NotResumed> {
    if position == 0 {
        return Ok(());
    }
    let again = |why: String| NotResumed::Again { why, refused: false };
    let last = bus.last_seq(family).await.map_err(|error| again(error.to_string()))?;
    if last < position {
        return Err(NotResumed::Halt(Halt::LogBehind { archived: position, last }));
    }
    let mut follow = bus.follow(family, position, Vec::new()).await.map_err(|error| again(error.to_string()))?;
    let batch = follow.next_stored(1, PATIENCE).await.map_err(|error| again(error.to_string()))?;
    match batch.messages.first() {
        None => Err(again("the log does not show the last archived message".into())),
        Some(message) if message.seq == position && Binary32::from(record::identity(message)) != identity => {
            Err(NotResumed::Halt(Halt::OtherLog { position }))
        }
        // Facts may have left the log after they were archived; a gap behind them is found by the gatherer.
        Some(_) => Ok(()),
    }
}
