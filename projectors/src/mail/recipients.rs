//! What became of each recipient of a campaign, and how many had each end.
//!
//! | table    | partition   | sort                     | body                                              |
//! |----------|-------------|--------------------------|---------------------------------------------------|
//! | `blocks` | campaign id | chunk number, block      | [`Block`]: 32 neighbouring recipients of a chunk  |
//! | `counts` | campaign id | empty                    | [`Counts`]                                        |
//!
//! A window has at most 32 recipients, so its events change few rows, and none is large. Recipients are named by their
//! ids: nothing here is personal data, and nothing has to go when a person is erased.

use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, RowKey, Scan},
    sort_key::{Order, SortKey},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    codec,
    mail::chunk::{ChunkEvent, ChunkPlace, Fate, MAX_RECIPIENTS, Reconciled},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The name of the view.
pub const RECIPIENTS: &str = "recipients";

const BLOCKS: &str = "blocks";
const COUNTS: &str = "counts";
/// Recipients of one row.
const BLOCK: usize = 32;
/// Rows of blocks read for one page at most: a filter that few pass does not walk through a whole campaign at once.
const WALK: usize = 1_000;

/// How it stands with a recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// Still to be sent.
    #[default]
    Planned,
    /// In a window whose outcome is not recorded yet.
    Attempting,
    Accepted,
    Rejected,
    Deferred,
    Unknown,
    Skipped,
}

impl SendState {
    pub const ALL: [Self; 7] =
        [Self::Planned, Self::Attempting, Self::Accepted, Self::Rejected, Self::Deferred, Self::Unknown, Self::Skipped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Attempting => "attempting",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl From<Fate> for SendState {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Accepted => Self::Accepted,
            Fate::Rejected => Self::Rejected,
            Fate::Deferred => Self::Deferred,
            Fate::Unknown => Self::Unknown,
            Fate::Skipped => Self::Skipped,
            Fate::Unsent => Self::Planned,
        }
    }
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    #[serde(rename = "c")]
    pub contact: Uuid,
    #[serde(rename = "s")]
    pub state: SendState,
    /// Since when.
    #[serde(rename = "t")]
    pub at: Micros,
    /// A stage and a code of the provider, or why it was skipped.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the provider calls the mail.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Which provider it was, as the installation calls it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// Neighbours in a chunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    /// Position of the last event in it.
    #[serde(rename = "v")]
    seq: u64,
    #[serde(rename = "r")]
    recipients: Vec<Recipient>,
}

/// Recipients of a campaign by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Position of the last event in it.
    #[serde(rename = "v")]
    pub seq: u64,
    pub planned: u64,
    pub attempting: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub deferred: u64,
    pub unknown: u64,
    pub skipped: u64,
}

impl Counts {
    fn of(&mut self, state: SendState) -> &mut u64 {
        match state {
            SendState::Planned => &mut self.planned,
            SendState::Attempting => &mut self.attempting,
            SendState::Accepted => &mut self.accepted,
            SendState::Rejected => &mut self.rejected,
            SendState::Deferred => &mut self.deferred,
            SendState::Unknown => &mut self.unknown,
            SendState::Skipped => &mut self.skipped,
        }
    }

    fn moves(&mut self, from: SendState, to: SendState, count: u64) {
        let left = self.of(from).saturating_sub(count);
        *self.of(from) = left;
        *self.of(to) += count;
    }

    /// What changed follows from the event alone, so a row that is ahead of the blocks is right too.
    fn apply(&mut self, event: &ChunkEvent) {
        match event {
            ChunkEvent::Planned(planned) => self.planned += planned.recipients.len() as u64,
            ChunkEvent::WindowAttempting(window) => {
                let again = u64::from(window.again);
                let fresh = (window.indexes.len() as u64).saturating_sub(again);
                self.moves(SendState::Planned, SendState::Attempting, fresh);
                self.moves(SendState::Deferred, SendState::Attempting, again);
            }
            ChunkEvent::WindowOutcome(window) => {
                for outcome in &window.outcomes {
                    self.moves(SendState::Attempting, outcome.fate.into(), 1);
                }
            }
            ChunkEvent::Reopened(reopened) => {
                let ends = [
                    (SendState::Deferred, &reopened.deferred),
                    (SendState::Rejected, &reopened.rejected),
                    (SendState::Unknown, &reopened.unknown),
                ];
                ends.into_iter().for_each(|(from, of)| self.moves(from, SendState::Planned, of.len() as u64));
            }
            ChunkEvent::Reconciled(reconciled) => {
                for entry in &reconciled.entries {
                    self.moves(SendState::Unknown, state_of(entry), 1);
                }
            }
            ChunkEvent::Claimed(_) | ChunkEvent::Done(_) => {}
        }
    }
}

fn state_of(entry: &Reconciled) -> SendState {
    if entry.accepted { SendState::Accepted } else { SendState::Deferred }
}

/// The view.
#[derive(Debug, Default)]
pub struct Recipients;

fn counts_row(campaign: Uuid) -> RowName {
    RowName::new(COUNTS, campaign.to_string(), Vec::new())
}

fn block_row(place: ChunkPlace, block: usize) -> RowName {
    RowName::new(BLOCKS, place.campaign.to_string(), block_sort(place.number, block))
}

fn block_sort(number: u32, block: usize) -> Vec<u8> {
    SortKey::new().u64(u64::from(number) << 16 | block as u64, Order::Asc).finish()
}

/// The blocks an event changes. A block beyond the largest chunk is not one, whatever an event says.
fn blocks(event: &ChunkEvent) -> BTreeSet<usize> {
    let of = |index: usize| (index < MAX_RECIPIENTS).then_some(index / BLOCK);
    match event {
        ChunkEvent::Planned(planned) => (0..planned.recipients.len()).filter_map(of).collect(),
        ChunkEvent::WindowAttempting(window) => window.indexes.iter().filter_map(|index| of((*index).into())).collect(),
        ChunkEvent::WindowOutcome(window) => {
            window.outcomes.iter().filter_map(|outcome| of(outcome.index.into())).collect()
        }
        ChunkEvent::Reopened(reopened) => {
            let indexes = reopened.deferred.iter().chain(&reopened.rejected).chain(&reopened.unknown);
            indexes.filter_map(|index| of((*index).into())).collect()
        }
        ChunkEvent::Reconciled(reconciled) => {
            reconciled.entries.iter().filter_map(|entry| of(entry.index.into())).collect()
        }
        ChunkEvent::Claimed(_) | ChunkEvent::Done(_) => BTreeSet::new(),
    }
}

impl Block {
    fn apply(&mut self, number: usize, event: &ChunkEvent, at: Micros) {
        let first = number * BLOCK;
        let place = |index: u16| usize::from(index).checked_sub(first).filter(|place| *place < BLOCK);
        match event {
            ChunkEvent::Planned(planned) => {
                let of_block = planned.recipients.iter().skip(first).take(BLOCK);
                let recipient = |contact: &Uuid| Recipient {
                    contact: *contact,
                    state: SendState::Planned,
                    at,
                    cause: None,
                    provider_id: None,
                    provider: None,
                };
                self.recipients = of_block.map(recipient).collect();
            }
            ChunkEvent::WindowAttempting(window) => {
                for place in window.indexes.iter().filter_map(|index| place(*index)) {
                    let Some(recipient) = self.recipients.get_mut(place) else { continue };
                    (recipient.state, recipient.at) = (SendState::Attempting, at);
                }
            }
            ChunkEvent::WindowOutcome(window) => {
                for outcome in &window.outcomes {
                    let found = place(outcome.index).and_then(|place| self.recipients.get_mut(place));
                    let Some(recipient) = found else { continue };
                    (recipient.state, recipient.at) = (outcome.fate.into(), at);
                    recipient.cause.clone_from(&outcome.cause);
                    recipient.provider_id.clone_from(&outcome.provider_id);
                    recipient.provider.clone_from(&outcome.provider);
                }
            }
            ChunkEvent::Reopened(reopened) => {
                let indexes = reopened.deferred.iter().chain(&reopened.rejected).chain(&reopened.unknown);
                for place in indexes.filter_map(|index| place(*index)) {
                    let Some(recipient) = self.recipients.get_mut(place) else { continue };
                    (recipient.state, recipient.at) = (SendState::Planned, at);
                }
            }
            ChunkEvent::Reconciled(reconciled) => {
                for entry in &reconciled.entries {
                    let found = place(entry.index).and_then(|place| self.recipients.get_mut(place));
                    let Some(recipient) = found else { continue };
                    (recipient.state, recipient.at) = (state_of(entry), at);
                    recipient.cause = Some(format!("reconciled by {}", entry.proof.as_str()));
                    if entry.provider_id.is_some() {
                        recipient.provider_id.clone_from(&entry.provider_id);
                    }
                }
            }
            ChunkEvent::Claimed(_) | ChunkEvent::Done(_) => {}
        }
    }
}

fn row<T: DeserializeOwned + Default>(rows: &Rows<'_>, name: &RowName) -> Result<T, ProjectionError> {
    let body = rows.get(name).map(|body| codec::decode(&body)).transpose();
    Ok(body.map_err(|error| ProjectionError::Row(error.to_string()))?.unwrap_or_default())
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, ProjectionError> {
    codec::encode(row).map_err(|error| ProjectionError::Row(error.to_string()))
}

impl Projection for Recipients {
    fn name(&self) -> &'static str {
        RECIPIENTS
    }

    fn version(&self) -> u32 {
        1
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == ChunkEvent::CONTEXT && address.aggregate == ChunkEvent::AGGREGATE
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        let Some(event) = ChunkEvent::from_any(&event.event) else { return Vec::new() };
        let (place, blocks) = (event.place(), blocks(event));
        if blocks.is_empty() {
            return Vec::new();
        }
        let rows = blocks.into_iter().map(|block| block_row(place, block));
        rows.chain([counts_row(place.campaign)]).collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let refused = || ProjectionError::Event(format!("{} is not an event of {RECIPIENTS}", event.envelope.kind));
        let domain = ChunkEvent::from_any(&event.event).ok_or_else(refused)?;
        let (place, touched) = (domain.place(), blocks(domain));
        if touched.is_empty() {
            return Ok(());
        }
        for number in touched {
            let name = block_row(place, number);
            let mut block: Block = row(rows, &name)?;
            if block.seq < event.seq {
                block.apply(number, domain, event.envelope.at);
                block.seq = event.seq;
                rows.put(name, encode(&block)?);
            }
        }
        let name = counts_row(place.campaign);
        let mut counts: Counts = row(rows, &name)?;
        if counts.seq < event.seq {
            counts.apply(domain);
            counts.seq = event.seq;
            rows.put(name, encode(&counts)?);
        }
        Ok(())
    }
}

/// A page of a campaign's recipients, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipientPage {
    pub recipients: Vec<Recipient>,
    /// Where the next page begins. A page may have few recipients, or none, and a next one all the same.
    pub next: Option<RecipientCursor>,
}

/// A place among a campaign's recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientCursor {
    /// The block, as its sort key numbers it.
    block: u64,
    /// Recipients of it that were seen.
    seen: u8,
}

impl std::fmt::Display for RecipientCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.block, self.seen)
    }
}

impl std::str::FromStr for RecipientCursor {
    type Err = ViewError;

    fn from_str(text: &str) -> Result<Self, ViewError> {
        let (block, seen) = text.split_once('-').filter(|_| text.len() <= 24).ok_or(ViewError::Cursor)?;
        let block = u64::from_str_radix(block, 16).map_err(|_| ViewError::Cursor)?;
        let seen = u8::from_str_radix(seen, 16).map_err(|_| ViewError::Cursor)?;
        Ok(Self { block, seen })
    }
}

impl Views {
    /// Recipients of a campaign, all or those in one state.
    pub async fn recipients(
        &self,
        tenant: &TenantId,
        campaign: Uuid,
        state: Option<SendState>,
        after: Option<RecipientCursor>,
        limit: usize,
    ) -> Result<RecipientPage, ViewError> {
        let table = self.serving(RECIPIENTS)?.generation().table(BLOCKS)?;
        let rows_wanted = if state.is_some() { WALK } else { limit / BLOCK + 2 };
        let mut scan = Scan::new(table, tenant.shared(), campaign.to_string(), rows_wanted);
        // The block of the cursor itself is read again: the walk begins behind the one before it.
        if let Some(before) = after.and_then(|after| after.block.checked_sub(1)) {
            scan = scan.after(SortKey::new().u64(before, Order::Asc).finish());
        }
        let page = self.store().scan(&scan).await?;
        let mut recipients = Vec::new();
        let mut last = None;
        for row in &page.rows {
            let Ok(sort) = <[u8; 8]>::try_from(&row.sort[..]) else { continue };
            let number = u64::from_be_bytes(sort);
            let block: Block = codec::decode(&row.body).map_err(ViewError::Row)?;
            let skip = after.filter(|after| after.block == number).map_or(0, |after| after.seen);
            let numbered = (1..=u8::MAX).zip(block.recipients).skip(skip.into());
            for (seen, recipient) in numbered {
                if state.is_some_and(|state| state != recipient.state) {
                    continue;
                }
                if recipients.len() == limit {
                    return Ok(RecipientPage { recipients, next: last });
                }
                recipients.push(recipient);
                last = Some(RecipientCursor { block: number, seen });
            }
            if recipients.len() < limit {
                last = Some(RecipientCursor { block: number + 1, seen: 0 });
            }
        }
        Ok(RecipientPage { recipients, next: last.filter(|_| page.next.is_some()) })
    }

    /// One recipient by its place in the audience.
    pub async fn recipient_at(
        &self,
        tenant: &TenantId,
        place: ChunkPlace,
        index: u16,
    ) -> Result<Option<Recipient>, ViewError> {
        let table = self.serving(RECIPIENTS)?.generation().table(BLOCKS)?;
        let (block, index) = (usize::from(index) / BLOCK, usize::from(index) % BLOCK);
        let RowName { partition, sort, .. } = block_row(place, block);
        let row = self.store().get(&RowKey { table, tenant: tenant.shared(), partition, sort }).await?;
        let block = row.map(|row| codec::decode::<Block>(&row.body)).transpose().map_err(ViewError::Row)?;
        Ok(block.and_then(|block| block.recipients.into_iter().nth(index)))
    }

    /// How many recipients of a campaign are in each state; nothing before its first chunk is planned.
    pub async fn recipient_counts(&self, tenant: &TenantId, campaign: Uuid) -> Result<Option<Counts>, ViewError> {
        let table = self.serving(RECIPIENTS)?.generation().table(COUNTS)?;
        let key = RowKey { table, tenant: tenant.shared(), partition: campaign.to_string(), sort: Vec::new() };
        let row = self.store().get(&key).await?;
        row.map(|row| codec::decode(&row.body)).transpose().map_err(ViewError::Row)
    }
}

#[cfg(test)]
mod tests;
