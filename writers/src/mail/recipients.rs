//! Recipients of a campaign by their contact: where one stands, and what is proven of those nobody could tell.
//!
//! An audience is frozen in the order of the contacts' ids, so a recipient's chunk is found by halving.

use super::{
    campaign::Campaign,
    chunk::{Chunk, ChunkCommand},
};
use crate::writer::{Loaded, Meta, WriteError, Writer};
use bus_schema::{
    CommandId, TenantId,
    mail::chunk::{Fate, Proof, Reconciled, chunk_id},
};
use std::sync::Arc;
use uuid::Uuid;

/// A recipient's place.
#[derive(Clone, Debug)]
pub struct RecipientPlace {
    /// The id of the chunk.
    pub id: Uuid,
    pub index: u16,
    pub chunk: Arc<Loaded<Chunk>>,
}

/// What is known of a mail, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub contact: Uuid,
    /// Whether the provider took it. Only a provider can show that it did not.
    pub accepted: bool,
    pub proof: Proof,
    pub provider_id: Option<String>,
}

/// What an evidence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was unknown and is not any more.
    Reconciled,
    /// It was known already: this is how it stands.
    Known(Fate),
    /// It is being sent at this moment, or still to be sent: say it again later.
    Open,
    /// The campaign is not sent to this contact.
    NoRecipient,
}

/// Finds a recipient. `None`: the campaign has no frozen audience, or the contact is not in it.
pub async fn place(
    writer: &Writer,
    tenant: &TenantId,
    campaign: Uuid,
    contact: Uuid,
) -> Result<Option<RecipientPlace>, WriteError> {
    let chunks = chunks(writer, tenant, campaign).await?;
    find(writer, tenant, campaign, chunks, contact).await
}

/// Records evidence of a campaign's recipients, once for each: saying it again changes nothing. Gives the verdicts in the order of
/// the contacts' ids, and the position of the last change.
pub async fn reconcile(
    writer: &Writer,
    tenant: &TenantId,
    campaign: Uuid,
    meta: &Meta,
    mut evidence: Vec<Evidence>,
) -> Result<(Vec<(Uuid, Verdict)>, u64), WriteError> {
    evidence.sort_by_key(|evidence| evidence.contact);
    evidence.dedup_by_key(|evidence| evidence.contact);
    let chunks = chunks(writer, tenant, campaign).await?;
    let (mut verdicts, mut position) = (Vec::with_capacity(evidence.len()), 0);
    let mut rest = evidence.into_iter().peekable();
    while let Some(first) = rest.next() {
        let Some(place) = find(writer, tenant, campaign, chunks, first.contact).await? else {
            verdicts.push((first.contact, Verdict::NoRecipient));
            continue;
        };
        // Those that follow and are in the same chunk are recorded with it.
        let mut of_chunk = vec![(place.index, first)];
        while let Some(next) = rest.peek()
            && let Some(index) = index_of(&place.chunk.state, next.contact)
        {
            of_chunk.extend(rest.next().map(|next| (index, next)));
        }
        let mut entries = Vec::new();
        for (index, evidence) in of_chunk {
            let verdict = verdict(&place.chunk.state, index);
            verdicts.push((evidence.contact, verdict));
            if verdict == Verdict::Reconciled {
                let Evidence { accepted, proof, provider_id, .. } = evidence;
                entries.push(Reconciled { index, accepted, proof, provider_id });
            }
        }
        if entries.is_empty() {
            continue;
        }
        let command = CommandId::derived(&["mail.reconcile", &meta.command.0.to_string(), &place.id.to_string()]);
        let meta = Meta { command, content: None, if_match: None, ..meta.clone() };
        let reconcile = ChunkCommand::Reconcile { entries };
        let receipt = writer.execute::<Chunk>(tenant, place.id, &meta, &reconcile).await?;
        position = position.max(receipt.position);
    }
    Ok((verdicts, position))
}

fn verdict(chunk: &Chunk, index: u16) -> Verdict {
    let standing = chunk.standing().get(usize::from(index)).copied().unwrap_or_default();
    let under_way = chunk.window().is_some_and(|window| window.indexes.contains(&index));
    match standing.fate {
        _ if under_way => Verdict::Open,
        Some(Fate::Unknown) => Verdict::Reconciled,
        Some(fate) => Verdict::Known(fate),
        None => Verdict::Open,
    }
}

async fn chunks(writer: &Writer, tenant: &TenantId, campaign: Uuid) -> Result<u32, WriteError> {
    let campaign = writer.load::<Campaign>(tenant, campaign).await?;
    Ok(campaign.state.launch().and_then(|launch| launch.audience).map_or(0, |audience| audience.chunks))
}

async fn find(
    writer: &Writer,
    tenant: &TenantId,
    campaign: Uuid,
    chunks: u32,
    contact: Uuid,
) -> Result<Option<RecipientPlace>, WriteError> {
    let (mut first, mut end) = (0, chunks);
    while first < end {
        let middle = first + (end - first) / 2;
        let id = chunk_id(campaign, middle);
        let chunk = writer.load::<Chunk>(tenant, id).await?;
        let recipients = chunk.state.plan().map(|plan| plan.recipients.as_slice()).unwrap_or_default();
        match (recipients.first(), recipients.last()) {
            (Some(lowest), _) if contact < *lowest => end = middle,
            (_, Some(highest)) if contact > *highest => first = middle + 1,
            _ => return Ok(index_of(&chunk.state, contact).map(|index| RecipientPlace { id, index, chunk })),
        }
    }
    Ok(None)
}

fn index_of(chunk: &Chunk, contact: Uuid) -> Option<u16> {
    let place = chunk.plan()?.recipients.binary_search(&contact).ok()?;
    u16::try_from(place).ok()
}
