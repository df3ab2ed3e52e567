//! Making a log out of one provider's archive.
//!
//! First a [`Plan`]: the whole chain is checked before a message is read, and the point to restore to is found. Then the segments
//! come in order, each whole or not at all; the error names the object. [`restore`] does it for a cell: events, facts up to the
//! same moment, and the keys that open them.
//!
//! **What is equal afterwards.** Position, subject, body and headers of every message, except [transport
//! headers](bus_schema::bus::TRANSPORT_HEADERS). The server gives a new store time; the old one is not added as a header,
//! because a message with one more header would be another message, and nothing that is read from the log goes by it: the
//! time of an event is in its envelope (`Ev-At`). The archive keeps the old one.
//!
//! **What stays erased.** Keys that any archived event says are destroyed are held back, also when the event lies behind the
//! restored point or in an epoch that was given up (see [`super::key_copies`]).

use super::{
    ArchiveError, ArchiveKey, Ledger, ObjectStore, Place,
    key_restore::{self, Destroyed, KeysRestored},
    ledger::{Branch, SegmentRef},
    manifest::{Entry, Fault, Wrong},
    publish::{self, Filled, NotFilled},
};
use bus_schema::{
    Micros,
    bus::{Bus, DuplicateWindow, ReadError, StoredMessage, StreamError},
    subject::Family,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::{collections::BTreeMap, sync::Arc};

/// Segments fetched at once.
const AHEAD: usize = 4;

/// Up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything the provider has.
    End,
    /// This position of the events, included; facts up to the same moment.
    Position(u64),
    /// Everything stored up to this moment. Clocks step back: it ends before the first message that is later.
    Time(Micros),
}

/// A checked chain and the part of it to restore.
#[derive(Debug)]
pub struct Plan {
    ledger: Ledger,
    parts: Vec<Part>,
    /// The last position.
    pub last: u64,
    /// The greatest store time up to it.
    pub latest: Micros,
    /// The newest epoch of the archive; a restored log goes on in a higher one.
    pub epoch: u32,
    /// Segments that are not restored and name persons who were erased.
    erasing: Vec<SegmentRef>,
    /// Epoch to the position of the key directory whose keys are needed.
    pub(super) keys: BTreeMap<u32, u64>,
}

/// A segment and how much of it counts.
#[derive(Clone, Copy, Debug)]
struct Part {
    segment: SegmentRef,
    /// The last position that counts.
    until: u64,
    /// The greatest store time before this segment, and up to its end.
    before: i64,
    latest: i64,
    erasures: u64,
    keys: u64,
}

impl Plan {
    /// Checks everything and finds the point.
    pub async fn make(ledger: Ledger, target: Target) -> Result<Self, RestoreError> {
        let lineage = ledger.lineage().await?;
        let epoch = lineage.last().map_or(0, |branch| branch.start.0.epoch);
        let (mut parts, mut erasing) = (Vec::new(), Vec::new());
        for branch in &lineage {
            let (taken, beyond) = entries(&ledger, branch, &lineage).await?;
            parts.extend(taken);
            erasing.extend(beyond);
        }
        // Epochs that were given up as a whole still say who was erased in them.
        for epoch in ledger.epochs().await? {
            if lineage.iter().all(|branch| branch.start.0.epoch != epoch)
                && let Some(start) = ledger.start_of(epoch).await?
            {
                ledger.chain(&start, |(entry, _)| erasing.extend(erased_in(&entry))).await?;
            }
        }
        let archived = parts.last().map_or(0, |part| part.until);
        let mut plan =
            Self { ledger, parts, last: archived, latest: Micros(i64::MIN), epoch, erasing, keys: BTreeMap::new() };
        match target {
            Target::End => {}
            Target::Position(position) if position > archived => {
                return Err(RestoreError::Beyond { provider: plan.ledger.provider(), archived, wanted: position });
            }
            Target::Position(position) => plan.last = position,
            Target::Time(time) => plan.last = plan.position_at(time.0).await?,
        }
        plan.cut().await?;
        Ok(plan)
    }

    /// How many messages will come.
    pub fn messages(&self) -> u64 {
        self.last
    }

    /// The messages in order, a segment at a time. Every segment that has part in it is checked whole.
    pub fn segments(&self) -> impl Stream<Item = Result<Vec<StoredMessage>, ArchiveError>> + Send {
        let parts: Vec<Part> = self.parts.clone();
        let ledger = self.ledger.clone();
        stream::iter(parts)
            .map(move |part| {
                let ledger = ledger.clone();
                async move {
                    let mut messages = ledger.segment(&part.segment).await?;
                    messages.retain(|message| message.seq <= part.until);
                    Ok(messages)
                }
            })
            .buffered(AHEAD)
    }

    /// The persons that messages which are not restored say are erased.
    pub(super) async fn erased_elsewhere(&self, destroyed: &mut Destroyed) -> Result<(), ArchiveError> {
        let ledger = &self.ledger;
        let fetch = |segment: SegmentRef| async move { ledger.segment(&segment).await };
        let mut segments = stream::iter(self.erasing.clone()).map(fetch).buffered(AHEAD);
        while let Some(messages) = segments.try_next().await? {
            messages.iter().for_each(|message| destroyed.note(message));
        }
        Ok(())
    }

    /// The last position before the first message that was stored later.
    async fn position_at(&self, time: i64) -> Result<u64, RestoreError> {
        let Some(part) = self.parts.iter().find(|part| part.latest > time) else { return Ok(self.last) };
        let mut latest = part.before;
        let mut position = part.segment.first - 1;
        for message in self.ledger.segment(&part.segment).await? {
            latest = latest.max(message.stored.0);
            if latest > time || message.seq > part.until {
                break;
            }
            position = message.seq;
        }
        Ok(position)
    }

    /// Leaves out what lies behind the last position.
    async fn cut(&mut self) -> Result<(), RestoreError> {
        if self.last == 0 {
            return Err(RestoreError::Nothing { provider: self.ledger.provider() });
        }
        let kept = self.parts.partition_point(|part| part.segment.first <= self.last);
        let beyond = self.parts.split_off(kept);
        self.erasing.extend(beyond.iter().filter(|part| part.erasures > 0).map(|part| part.segment));
        if let Some(part) = self.parts.last_mut() {
            let whole = part.until <= self.last && part.until == part.segment.last;
            part.until = part.until.min(self.last);
            let until = part.until;
            let part = *part;
            let mut latest = part.latest;
            if !whole {
                let messages = self.ledger.segment(&part.segment).await?;
                let times = messages.iter().filter(|message| message.seq <= until).map(|message| message.stored.0);
                latest = times.fold(part.before, i64::max);
                if part.erasures > 0 {
                    self.erasing.push(part.segment);
                }
            }
            self.latest = Micros(latest);
        }
        for part in &self.parts {
            let needed = self.keys.entry(part.segment.epoch).or_default();
            *needed = part.keys.max(*needed);
        }
        Ok(())
    }
}

/// The entries of a branch that count, and the segments of those that do not and name erased persons.
async fn entries(
    ledger: &Ledger,
    branch: &Branch,
    lineage: &[Branch],
) -> Result<(Vec<Part>, Vec<SegmentRef>), ArchiveError> {
    let (mut parts, mut erasing, mut broken): (Vec<Part>, Vec<SegmentRef>, _) = (Vec::new(), Vec::new(), false);
    let mut before = branch.start.0.latest;
    let chain = ledger
        .chain(&branch.start, |(entry, hash)| {
            let bound = branch.until.as_ref().map(|(cut, parent)| (*cut, parent));
            if bound.is_some_and(|(_, parent)| entry.idx > parent.idx) {
                erasing.extend(erased_in(&entry));
                return;
            }
            broken |= bound.is_some_and(|(_, parent)| entry.idx == parent.idx && parent.hash != hash.into());
            let until = bound.map_or(entry.last, |(cut, _)| entry.last.min(cut));
            if until < entry.last {
                erasing.extend(erased_in(&entry));
            }
            let (erasures, keys, latest) = (entry.erasures, entry.keys, entry.latest);
            parts.push(Part { segment: (&entry).into(), until, before, latest, erasures, keys });
            before = latest;
        })
        .await?;
    if let Some((cut, parent)) = &branch.until {
        let child = lineage.iter().find(|other| other.start.0.parent.as_ref() == Some(parent));
        let child = child.map_or_else(String::new, |child| ledger.place.epoch(child.start.0.epoch));
        if chain.next_idx() <= parent.idx {
            return Err(ledger.fault(&chain.next_key(), Wrong::Missing));
        }
        if broken || parts.last().map_or(branch.start.0.cut, |part| part.until) != *cut {
            return Err(ledger.fault(&child, Wrong::BrokenLink));
        }
    }
    Ok((parts, erasing))
}

fn erased_in(entry: &Entry) -> Option<SegmentRef> {
    (entry.erasures > 0).then(|| entry.into())
}

/// One provider's archive of a cell.
#[derive(Clone, Debug)]
pub struct Source {
    pub store: ObjectStore,
    pub key: Arc<ArchiveKey>,
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    pub events: Filled,
    /// `None`: the provider has no facts.
    pub facts: Option<Filled>,
    pub keys: KeysRestored,
    /// The newest epoch of the archive; the restored log goes on in the next one ([`super::epochs::begin_epoch`]).
    pub epoch: u32,
}

/// Fills an empty cell from one provider alone. `progress` hears how many messages of how many are there.
///
/// Cut off in the middle, it leaves a log that must not be used: begin again with an empty one.
pub async fn restore(
    source: &Source,
    bus: &Bus,
    target: Target,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Restored, RestoreError> {
    publish::must_be_empty(bus).await?;
    let ledger = |family| Ledger::new(source.store.clone(), source.key.clone(), Place::new(bus.cell(), family));
    let events = Plan::make(ledger(Family::Events), target).await?;
    let moment = if target == Target::End { Target::End } else { Target::Time(events.latest) };
    let facts = match Plan::make(ledger(Family::Facts), moment).await {
        Ok(facts) => Some(facts),
        Err(RestoreError::Nothing { .. } | RestoreError::Archive(ArchiveError::Empty { .. })) => None,
        Err(error) => return Err(error),
    };
    let total = events.messages() + facts.as_ref().map_or(0, Plan::messages);
    let mut needed = events.keys.clone();
    for (epoch, position) in facts.iter().flat_map(|facts| &facts.keys) {
        let of_epoch = needed.entry(*epoch).or_default();
        *of_epoch = (*position).max(*of_epoch);
    }
    // Before anything is written: whether the keys are there to read it.
    let copies = key_restore::read(&source.store, &source.key, bus.cell(), &needed).await?;
    let mut destroyed = Destroyed::default();
    events.erased_elsewhere(&mut destroyed).await?;
    let done = publish::fill(bus, Family::Events, &events, &mut destroyed, |done| progress(done, total)).await?;
    let facts = match &facts {
        None => None,
        Some(facts) => {
            facts.erased_elsewhere(&mut destroyed).await?;
            let before = done.last;
            Some(publish::fill(bus, Family::Facts, facts, &mut destroyed, |done| progress(before + done, total)).await?)
        }
    };
    let keys = key_restore::write(bus, copies, &destroyed).await?;
    for family in [Family::Events, Family::Facts] {
        bus.set_duplicate_window(family, DuplicateWindow::Normal).await?;
    }
    Ok(Restored { events: done, facts, keys, epoch: events.epoch })
}

/// Why there is no restored log.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the provider {provider} has positions up to {archived}, not {wanted}; the other provider may have more")]
    Beyond { provider: String, archived: u64, wanted: u64 },
    #[error("the provider {provider} has nothing up to the point asked for")]
    Nothing { provider: String },
    #[error(transparent)]
    NotFilled(#[from] NotFilled),
    #[error("the log cannot be reached: {0}")]
    Log(#[from] StreamError),
    #[error("the log cannot be read: {0}")]
    Read(#[from] ReadError),
}

impl RestoreError {
    /// The object that is damaged or missing, if that is what it is about.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Archive(ArchiveError::Fault { fault, .. }) => Some(fault),
            _ => None,
        }
    }
}
