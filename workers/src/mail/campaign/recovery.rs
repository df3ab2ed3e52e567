//! Windows that somebody left open.
//!
//! Of a window of its own a worker has the journal: what was answered is recorded, what was being handed over is unknown, and
//! the rest stays to be sent. Of another worker's window nothing is known, so all of it is unknown.

use super::{CampaignParts, JobError, Rest, journal, meta, rejected};
use bus_schema::{CommandId, TenantId, mail::chunk::chunk_id};
use std::time::Duration;
use uuid::Uuid;
use writers::{
    Rejection,
    mail::chunk::{Chunk, ChunkCommand, ChunkRejection},
};

const RETRY: Duration = Duration::from_secs(1);

/// Closes every window of this worker's last life, whatever became of its campaign. Ends when that is done.
pub(super) async fn replay(parts: &CampaignParts) {
    while let Err(error) = replay_once(parts).await {
        tracing::warn!(%error, "what was being sent when this worker ended last is not recorded yet");
        tokio::time::sleep(RETRY).await;
    }
}

async fn replay_once(parts: &CampaignParts) -> Result<(), JobError> {
    for found in parts.journal.left()? {
        let chunk = parts.writer.load::<Chunk>(&found.tenant, found.chunk).await?;
        let is_open = chunk.state.window().is_some_and(|window| window.epoch == found.epoch);
        let place = chunk.state.plan().map(|plan| plan.place);
        if let Some(place) = place.filter(|_| is_open)
            && let Some((chunk, epoch)) = claim(parts, &found.tenant, place.campaign, found.chunk).await?
        {
            close(parts, &found.tenant, found.chunk, &chunk, epoch).await?;
        }
        // Closed now, or it was never opened, or another worker has it, which takes all of it as unknown.
        parts.journal.forget(found.chunk, found.epoch);
    }
    Ok(())
}

/// Makes this worker the owner. `None`: another one is.
pub(super) async fn claim(
    parts: &CampaignParts,
    tenant: &TenantId,
    campaign: Uuid,
    chunk: Uuid,
) -> Result<Option<(Chunk, u32)>, JobError> {
    let lease_seconds = parts.pace.lease_seconds;
    let claim = ChunkCommand::Claim { worker: parts.journal.worker().to_owned(), lease_seconds };
    let meta = meta(campaign, CommandId::random());
    match parts.writer.execute::<Chunk>(tenant, chunk, &meta, &claim).await {
        Ok(receipt) => {
            let state = receipt.value.state;
            let epoch = state.owner().map_or(0, |owner| owner.epoch);
            Ok(Some((state, epoch)))
        }
        Err(error) => {
            let error = JobError::from(error);
            let leased = ChunkRejection::Leased { worker: String::new() }.code();
            if error.rejected().is_some_and(|rejected| rejected.code == leased) { Ok(None) } else { Err(error) }
        }
    }
}

/// Closes the open window of a chunk this worker owns, if there is one.
pub(super) async fn close(
    parts: &CampaignParts,
    tenant: &TenantId,
    id: Uuid,
    chunk: &Chunk,
    epoch: u32,
) -> Result<Chunk, JobError> {
    let (Some(window), Some(plan)) = (chunk.window(), chunk.plan()) else { return Ok(chunk.clone()) };
    let found = parts.journal.found(id, window.epoch, &window.indexes);
    let outcomes = match &found {
        Some(found) => found.outcomes(),
        None => window.indexes.iter().map(|index| journal::unknown(*index, "another worker ended there")).collect(),
    };
    let unknown = outcomes.iter().filter(|outcome| outcome.fate == bus_schema::mail::chunk::Fate::Unknown).count();
    let (campaign, number) = (plan.place.campaign, plan.place.number);
    tracing::info!(%tenant, %campaign, number, unknown, journal = found.is_some(), "a window that was left open is closed");
    rejected::note(parts, tenant, chunk, &outcomes).await;
    let record = ChunkCommand::Record { epoch, outcomes };
    let meta = meta(campaign, CommandId::random());
    let receipt = parts.writer.execute::<Chunk>(tenant, id, &meta, &record).await?;
    parts.journal.forget(id, window.epoch);
    Ok(receipt.value.state)
}

/// Closes the windows of a campaign that is not sent any more, or not now.
pub(super) async fn settle(parts: &CampaignParts, tenant: &TenantId, campaign: Uuid) -> Result<Rest, JobError> {
    let mut later: Option<Duration> = None;
    for number in 0.. {
        let id = chunk_id(campaign, number);
        let chunk = parts.writer.load::<Chunk>(tenant, id).await?;
        if chunk.state.plan().is_none() {
            break;
        }
        if chunk.state.window().is_none() {
            continue;
        }
        let now = parts.writer.clock().now();
        if let Some(free) = chunk.state.claimable_at(parts.journal.worker(), now) {
            let wait = Duration::from_micros(u64::try_from(free.0 - now.0).unwrap_or(0));
            later = Some(later.map_or(wait, |later| later.min(wait)));
            continue;
        }
        match claim(parts, tenant, campaign, id).await? {
            Some((chunk, epoch)) => _ = close(parts, tenant, id, &chunk, epoch).await?,
            None => later = Some(RETRY),
        }
    }
    Ok(later.map_or(Rest::Done, |later| Rest::After(later.max(RETRY))))
}
