//! Freezes a campaign's audience into chunks.
//!
//! The audience is walked in the order of the contacts' ids. What is planned already is read back first, and the walk goes on
//! behind its last contact; a chunk is planned by a command whose id follows from its number. So after a crash, or when two
//! processes do it at once, nobody is planned twice.

use super::{CampaignParts, JobError, audience, meta};
use crate::worker::Stop;
use bus_schema::{
    CommandId, Micros, TenantId,
    mail::{
        campaign::Segment,
        chunk::{ChunkPlace, MAX_RECIPIENTS, chunk_id},
    },
    subject::Family,
};
use projectors::{
    RecordView,
    crm::contacts::{Contacts, FILTERABLE, OF_FACTS},
    mail::{campaigns::purpose_word, suppressions::Suppressions},
    search::{Cursor, FieldValue, Filter, MAX_LIMIT, Op, Query, grammar},
};
use std::{collections::VecDeque, time::Duration};
use uuid::Uuid;
use writers::mail::{
    campaign::{Audience, Campaign, CampaignCommand, CampaignStatus},
    chunk::{Chunk, ChunkCommand, Plan},
};

/// How long search may take to know what the log has at the launch.
const PATIENCE: Duration = Duration::from_secs(60);
/// Contacts asked for at once: each page is a walk over all who match, so that few large ones freeze a large audience sooner.
const PAGE: usize = MAX_LIMIT;

/// What is frozen.
pub(super) struct Wanted<'a> {
    pub(super) campaign: Uuid,
    pub(super) segment: &'a Segment,
    /// The launch: what `$NOW` means.
    pub(super) at: Micros,
    /// The launch's position in the log: what search has to know.
    pub(super) position: u64,
    pub(super) content_hash: &'a str,
}

/// Plans all chunks and records how many there are. `None`: it was stopped, or the campaign was cancelled meanwhile.
pub(super) async fn freeze(
    parts: &CampaignParts,
    tenant: &TenantId,
    wanted: &Wanted<'_>,
    stop: &Stop,
) -> Result<Option<Audience>, JobError> {
    parts.search.wait(wanted.position, PATIENCE).await?;
    parts.views.wait(Suppressions::NAME, wanted.position, PATIENCE).await?;
    let mut query = query(tenant, wanted)?;
    if query.filter.first_of(&OF_FACTS).is_some() {
        // Who opened something before the launch is known to have.
        let facts = parts.bus.last_seq(Family::Facts).await?;
        parts.search.wait_for_facts(facts, PATIENCE).await?;
    }
    let (mut audience, mut last) = planned(parts, tenant, wanted.campaign).await?;
    let mut waiting: VecDeque<Uuid> = VecDeque::new();
    let (mut ended, mut seen) = (false, last);
    loop {
        while !ended && waiting.len() < MAX_RECIPIENTS {
            query.after = seen.max(last).map(|id| Cursor::behind(Contacts::NAME, id.to_string()));
            let hits = parts.search.index().search(query.clone()).await?;
            ended = hits.ids.len() < PAGE;
            let page: Vec<Uuid> = hits.ids.iter().filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
            seen = page.last().copied().max(seen);
            let out = audience::suppressed_of(parts, tenant, &page, wanted.segment.purpose).await?;
            waiting.extend(page.into_iter().filter(|id| !out.contains(id)));
        }
        if waiting.is_empty() {
            break;
        }
        let campaign = parts.writer.load_cached::<Campaign>(tenant, wanted.campaign, Duration::from_secs(1)).await?;
        if stop.is_asked() || campaign.state.status() == &CampaignStatus::Cancelled {
            return Ok(None);
        }
        let recipients = waiting.iter().take(MAX_RECIPIENTS).copied().collect();
        let plan = plan(parts, tenant, wanted, audience.chunks, recipients).await?;
        audience.chunks += 1;
        audience.recipients += plan.recipients.len() as u64;
        last = plan.recipients.last().copied();
        // Another process may have planned others.
        while waiting.front().is_some_and(|first| Some(*first) <= last) {
            waiting.pop_front();
        }
    }
    let freeze = CampaignCommand::Freeze { audience };
    let meta = meta(wanted.campaign, CommandId::random());
    parts.writer.execute::<Campaign>(tenant, wanted.campaign, &meta, &freeze).await?;
    Ok(Some(audience))
}

/// Everybody of the segment who has consented, by id.
fn query(tenant: &TenantId, wanted: &Wanted<'_>) -> Result<Query, JobError> {
    let unfit = |why: String| JobError::Unfit(format!("the filter of its segment cannot be used any more: {why}"));
    let filter = serde_json::from_str(&wanted.segment.filter).map_err(|error| unfit(error.to_string()))?;
    let filter = grammar::segment(&filter, FILTERABLE, wanted.at.0).map_err(|faults| {
        let faults: Vec<String> = faults.into_iter().map(|fault| format!("{}: {}", fault.at, fault.message)).collect();
        unfit(faults.join("; "))
    })?;
    let consent = format!("consents.{}", purpose_word(wanted.segment.purpose));
    let consented = Filter::cmp(consent, Op::Eq, [FieldValue::Bool(true)]);
    let mut query = Query::new(tenant.as_str());
    query.collections = vec![Contacts::NAME.to_owned()];
    query.filter = Filter::And(vec![consented, filter]);
    query.limit = PAGE;
    Ok(query)
}

/// What is planned already: how much, and who is the last of it.
async fn planned(
    parts: &CampaignParts,
    tenant: &TenantId,
    campaign: Uuid,
) -> Result<(Audience, Option<Uuid>), JobError> {
    let (mut audience, mut last) = (Audience { chunks: 0, recipients: 0 }, None);
    loop {
        let chunk = parts.writer.load::<Chunk>(tenant, chunk_id(campaign, audience.chunks)).await?;
        let Some(plan) = chunk.state.plan() else { return Ok((audience, last)) };
        audience.chunks += 1;
        audience.recipients += plan.recipients.len() as u64;
        last = plan.recipients.last().copied();
    }
}

/// Plans a chunk; gives what is planned, which is another one's plan if that was first.
async fn plan(
    parts: &CampaignParts,
    tenant: &TenantId,
    wanted: &Wanted<'_>,
    number: u32,
    recipients: Vec<Uuid>,
) -> Result<Plan, JobError> {
    let (campaign, id) = (wanted.campaign, chunk_id(wanted.campaign, number));
    let command = CommandId::derived(&["mail.plan", tenant.as_str(), &id.to_string()]);
    let plan = Plan {
        place: ChunkPlace { campaign, number },
        recipients,
        class: wanted.segment.purpose,
        content_hash: wanted.content_hash.to_owned(),
        generation: 0,
    };
    let receipt =
        parts.writer.execute::<Chunk>(tenant, id, &meta(campaign, command), &ChunkCommand::Plan(plan)).await?;
    // A retried command is answered with what it did the first time, which may have been another plan.
    let planned = receipt.value.state.plan().cloned();
    planned.ok_or_else(|| JobError::Unfit(format!("chunk {number} was planned and is not there")))
}
