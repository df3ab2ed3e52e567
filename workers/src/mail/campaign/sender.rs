//! One campaign, carried as far as it goes: launched, frozen, sent chunk by chunk, finished.

use super::{
    CampaignParts, JobError, Memory, Rest, Shop, Turn,
    fate::Trouble,
    launcher::{self, Wanted},
    meta,
    prepare::{Imprint, Prepared, Unfit},
    recovery, restored,
    window::{Sending, Sent},
};
use crate::worker::Stop;
use bus_schema::{
    CommandId, Micros, TenantId,
    mail::{
        campaign::{ConsentPurpose, Segment, SendCounts},
        chunk::{Fate, MAX_WINDOW, chunk_id},
    },
};
use futures::future::join_all;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;
use writers::{
    Rejection, WriteError,
    crm::segment::Segment as SavedSegment,
    mail::{
        campaign::{Campaign, CampaignCommand, CampaignRejection, CampaignStatus, Retry},
        chunk::{Chunk, ChunkCommand, Standing},
    },
};

/// Chunks sent at once: while one is recorded and its next mails are made, those of the others are handed over. One for each
/// connection, so that a host that is lost leaves a window a connection unknown; more than so many keep none busier.
const MOST_LANES: usize = 16;
/// So many rounds without a success, one after the other, pause a campaign: about ten minutes.
const TROUBLES: u32 = 16;
/// The longest rest after such a round.
const LONGEST: Duration = Duration::from_secs(60);
/// A campaign whose chunks all rest for longer than this makes room for others.
const IDLE: Duration = Duration::from_secs(20);
/// How long a chunk rests that another worker has.
const LEASED: Duration = Duration::from_secs(1);
/// How long a campaign rests that is on its way while this platform has no provider.
const NO_OUTLET: Duration = Duration::from_secs(30);

/// Does for a campaign what its state asks for.
pub(super) async fn run(shop: &Shop, tenant: &TenantId, id: Uuid, stop: &Stop, turn: &Turn) -> Result<Rest, JobError> {
    let Shop { parts, stacks, log_end, courtesy } = shop;
    let mut campaign = parts.writer.load::<Campaign>(tenant, id).await?;
    if parts.outlet.is_some()
        && let Some(rest) = restored::hold(parts, tenant, id, &campaign).await?
    {
        return Ok(rest);
    }
    if let CampaignStatus::Scheduled { at, .. } = campaign.state.status() {
        if parts.outlet.is_none() || *at > parts.writer.clock().now() {
            return Ok(Rest::Done);
        }
        let filter = saved_filter(parts, tenant, campaign.state.segment()).await?;
        let launch = CampaignCommand::Launch { filter };
        parts.writer.execute::<Campaign>(tenant, id, &meta(id, CommandId::random()), &launch).await?;
        campaign = parts.writer.load::<Campaign>(tenant, id).await?;
    }
    let state = &campaign.state;
    let (Some(launch), Some(segment), Some(content)) = (state.launch(), state.segment(), state.content()) else {
        return Ok(Rest::Done);
    };
    match state.status() {
        CampaignStatus::Sending => {}
        CampaignStatus::Paused | CampaignStatus::Cancelled => return recovery::settle(parts, tenant, id).await,
        _ => return Ok(Rest::Done),
    }
    let Some(outlet) = parts.outlet.clone() else { return Ok(Rest::After(NO_OUTLET)) };
    let key = parts.writer.tenant_key(tenant).await?;
    let (owner, purpose, words) = (tenant.clone(), segment.purpose, content.clone());
    let imprint = Imprint::of(&parts.writer, tenant).await?;
    if purpose == ConsentPurpose::Marketing && imprint.postal_address.is_empty() {
        return pause(parts, tenant, id, Unfit::NoPostalAddress.to_string()).await;
    }
    let prepared = stacks.run(move || Prepared::try_new(&outlet, &owner, key, id, purpose, &words, imprint));
    let prepared = match prepared.await? {
        Ok(prepared) => prepared,
        Err(unfit) => return pause(parts, tenant, id, unfit.to_string()).await,
    };
    let audience = match launch.audience {
        Some(audience) => audience,
        None => {
            let (at, position, content_hash) = (launch.at, campaign.revision, prepared.content_hash());
            let wanted = Wanted { campaign: id, segment, at, position, content_hash };
            match launcher::freeze(parts, tenant, &wanted, stop).await {
                Ok(Some(audience)) => audience,
                Ok(None) => return Ok(Rest::Done),
                Err(JobError::Unfit(why)) => return pause(parts, tenant, id, why).await,
                Err(error) => return Err(error),
            }
        }
    };
    let sending = Sending { parts, stacks, log_end, courtesy, tenant, campaign: id, prepared: &prepared, stop };
    let run = Run::new(sending, audience.chunks, launch.retry.as_ref(), turn);
    let mut failed = None;
    let lanes = prepared.outlet().providers().connections().clamp(1, MOST_LANES);
    for ended in join_all((0..lanes).map(|_| run.lane())).await {
        failed = failed.or(ended.err());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let (done, counts) = *lock(&run.done);
    if done < audience.chunks {
        // Each lane closed its window. Halted: paused, cancelled or stopped.
        let halted = run.halted.load(Ordering::Relaxed) || stop.is_asked();
        return Ok(if halted { Rest::Done } else { Rest::After(run.rest_of_queue()) });
    }
    let finish = CampaignCommand::Finish { counts };
    match parts.writer.execute::<Campaign>(tenant, id, &meta(id, CommandId::random()), &finish).await {
        Ok(_) => tracing::info!(%tenant, campaign = %id, ?counts, "a campaign is finished"),
        // It was cancelled in the last moment.
        Err(WriteError::Rejected(rejected)) if rejected.code == CampaignRejection::Cancelled.code() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Rest::Done)
}

/// What a saved segment finds now. One that was deleted since stays as the campaign knew it.
pub(super) async fn saved_filter(
    parts: &CampaignParts,
    tenant: &TenantId,
    segment: Option<&Segment>,
) -> Result<Option<String>, JobError> {
    let Some(saved) = segment.and_then(|segment| segment.saved) else { return Ok(None) };
    let saved = parts.writer.load::<SavedSegment>(tenant, saved).await?;
    Ok(saved.state.definition().map(|definition| definition.filter.clone()))
}

/// Pauses a campaign, with the reason for its author.
async fn pause(parts: &CampaignParts, tenant: &TenantId, id: Uuid, trouble: String) -> Result<Rest, JobError> {
    tracing::error!(%tenant, campaign = %id, why = %trouble, "a campaign is paused");
    let pause = CampaignCommand::Pause { trouble: Some(trouble) };
    match parts.writer.execute::<Campaign>(tenant, id, &meta(id, CommandId::random()), &pause).await {
        // It ended meanwhile.
        Err(WriteError::Rejected(_)) | Ok(_) => Ok(Rest::Done),
        Err(error) => Err(error.into()),
    }
}

/// A campaign being sent.
struct Run<'a> {
    sending: Sending<'a>,
    retry: Option<&'a Retry>,
    turn: &'a Turn,
    queue: Mutex<Queue>,
    outage: Mutex<Outage>,
    halted: AtomicBool,
    /// Chunks that are done, and what became of their recipients.
    done: Mutex<(u32, SendCounts)>,
}

/// Rounds without a success, one after the other. All lanes meet the same provider: what fails in one while another rests is
/// of the same round, or a campaign of many lanes would be paused after seconds.
struct Outage {
    rounds: u32,
    /// All lanes rest until then.
    until: Instant,
}

impl Outage {
    fn new(now: Instant) -> Self {
        Self { rounds: 0, until: now }
    }

    /// A window failed. True: it began another round, of which the rest is.
    fn failed(&mut self, now: Instant) -> bool {
        let another = now >= self.until;
        if another {
            self.rounds += 1;
            self.until = now + Duration::from_secs(1 << (self.rounds - 1).min(6)).min(LONGEST);
        }
        another
    }
}

/// The chunks that are left, with the time before which they rest.
struct Queue {
    waiting: BinaryHeap<Reverse<(Instant, u32)>>,
    in_work: usize,
}

/// What a lane does next.
enum Next {
    Chunk(u32),
    Wait(Duration),
    Nothing,
}

/// How far a chunk came.
enum Step {
    Done(SendCounts),
    Later(Duration),
    Halt,
}

impl<'a> Run<'a> {
    fn new(sending: Sending<'a>, chunks: u32, retry: Option<&'a Retry>, turn: &'a Turn) -> Self {
        let now = Instant::now();
        let round = retry.map_or(0, |retry| retry.round);
        let mut memory = lock(&turn.memory);
        if memory.round != round {
            *memory = Memory { round, ..Memory::default() };
        }
        let waiting = (0..chunks).filter(|number| !memory.done.contains_key(number));
        let queue = Mutex::new(Queue { waiting: waiting.map(|number| Reverse((now, number))).collect(), in_work: 0 });
        let mut done = (0, SendCounts::default());
        for counts in memory.done.values() {
            done.0 += 1;
            add(&mut done.1, *counts);
        }
        drop(memory);
        let (outage, halted, done) = (Mutex::new(Outage::new(now)), AtomicBool::new(false), Mutex::new(done));
        Self { sending, retry, turn, queue, outage, halted, done }
    }

    /// Takes one chunk after the other until none is left. An error or a halt ends the other lanes too, each after its window.
    async fn lane(&self) -> Result<(), JobError> {
        while !self.halted.load(Ordering::Relaxed) && !self.sending.stop.is_asked() && !self.turn.is_over() {
            let number = match self.next() {
                Next::Chunk(number) => number,
                Next::Wait(wait) => {
                    self.rest(wait).await;
                    if !self.sending.goes_on().await? {
                        self.halted.store(true, Ordering::Relaxed);
                    }
                    continue;
                }
                Next::Nothing => break,
            };
            let step = self.chunk(number).await;
            lock(&self.queue).in_work -= 1;
            match step {
                Ok(Step::Done(counts)) => {
                    let mut done = lock(&self.done);
                    done.0 += 1;
                    add(&mut done.1, counts);
                    lock(&self.turn.memory).done.insert(number, counts);
                }
                Ok(Step::Later(wait)) => lock(&self.queue).waiting.push(Reverse((Instant::now() + wait, number))),
                Ok(Step::Halt) => self.halted.store(true, Ordering::Relaxed),
                Err(error) => {
                    self.halted.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn next(&self) -> Next {
        let (mut queue, now) = (lock(&self.queue), Instant::now());
        match queue.waiting.peek() {
            Some(Reverse((then, number))) if *then <= now => {
                let number = *number;
                queue.waiting.pop();
                queue.in_work += 1;
                Next::Chunk(number)
            }
            Some(Reverse((then, _))) if *then - now > IDLE && queue.in_work == 0 => Next::Nothing,
            Some(Reverse((then, _))) => Next::Wait(*then - now),
            // What another lane has may come back.
            None if queue.in_work > 0 => Next::Wait(Duration::from_millis(50)),
            None => Next::Nothing,
        }
    }

    /// How long the chunks that are left rest at least.
    fn rest_of_queue(&self) -> Duration {
        let first = lock(&self.queue).waiting.peek().map(|Reverse((then, _))| *then);
        first.map_or(Duration::ZERO, |then| then.saturating_duration_since(Instant::now()))
    }

    /// Waits in pieces, so that a pause and a stop are noticed.
    async fn rest(&self, wait: Duration) {
        let mut stop = self.sending.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(wait.min(Duration::from_secs(1))) => {}
            () = stop.asked() => {}
        }
    }

    async fn chunk(&self, number: u32) -> Result<Step, JobError> {
        let Sending { parts, tenant, campaign, prepared, .. } = &self.sending;
        let id = chunk_id(*campaign, number);
        let mut loaded = parts.writer.load::<Chunk>(tenant, id).await?;
        if let Some(Retry { round, ends }) = self.retry.filter(|retry| retry.round > loaded.state.round()) {
            let reopen = ChunkCommand::Reopen { round: *round, ends: ends.clone() };
            parts.writer.execute::<Chunk>(tenant, id, &meta(*campaign, CommandId::random()), &reopen).await?;
            loaded = parts.writer.load::<Chunk>(tenant, id).await?;
        }
        if loaded.state.is_done() {
            return Ok(Step::Done(loaded.state.counts()));
        }
        let plan = loaded.state.plan().ok_or_else(|| JobError::Unfit(format!("chunk {number} is not planned")))?;
        if plan.content_hash != prepared.content_hash() {
            let why = "what it says is not what it said when its audience was frozen".to_owned();
            pause(parts, tenant, *campaign, why).await?;
            return Ok(Step::Halt);
        }
        let now = parts.writer.clock().now();
        if let Some(free) = loaded.state.claimable_at(parts.journal.worker(), now) {
            // Its owner may be done with it long before its lease ends.
            return Ok(Step::Later(until(free, now).min(LEASED)));
        }
        if !self.sending.goes_on().await? {
            return Ok(Step::Halt);
        }
        let Some((chunk, epoch)) = recovery::claim(parts, tenant, *campaign, id).await? else {
            return Ok(Step::Later(Duration::from_secs(1)));
        };
        let mut chunk = recovery::close(parts, tenant, id, &chunk, epoch).await?;
        let mut journal = parts.journal.of_chunk(tenant, id, epoch);
        loop {
            let indexes = self.window_of(&chunk, parts.writer.clock().now());
            if indexes.is_empty() {
                break;
            }
            if self.turn.is_over() {
                return Ok(Step::Later(Duration::ZERO));
            }
            let _place = self.sending.courtesy.place(parts.writer.quiet_for()).await;
            if self.halted.load(Ordering::Relaxed) || !self.sending.goes_on().await? {
                return Ok(Step::Halt);
            }
            match self.sending.window(id, &chunk, &mut journal, indexes).await? {
                Sent::Lost => return Ok(Step::Later(Duration::from_secs(1))),
                Sent::Closed { chunk: next, trouble } => {
                    chunk = next;
                    if self.is_troubled(trouble).await? {
                        return Ok(Step::Halt);
                    }
                }
            }
        }
        let later = chunk.open().filter(|(_, standing)| self.is_tried(*standing));
        if let Some(then) = later.filter_map(|(_, standing)| standing.retry_at).min() {
            return Ok(Step::Later(until(then, parts.writer.clock().now())));
        }
        let finish = ChunkCommand::Finish { epoch };
        parts.writer.execute::<Chunk>(tenant, id, &meta(*campaign, CommandId::random()), &finish).await?;
        Ok(Step::Done(chunk.counts()))
    }

    /// Rests after a window without a success, together with the other lanes; pauses the campaign when that does not help.
    /// True: nothing more is sent.
    async fn is_troubled(&self, trouble: Option<Trouble>) -> Result<bool, JobError> {
        let Sending { parts, tenant, campaign, .. } = &self.sending;
        let cause = match trouble {
            None => {
                *lock(&self.outage) = Outage::new(Instant::now());
                return Ok(false);
            }
            Some(Trouble::Refused(cause)) => {
                pause(parts, tenant, *campaign, format!("the mail provider refuses this sender: {cause}")).await?;
                return Ok(true);
            }
            Some(Trouble::Passing(cause)) => cause,
        };
        let now = Instant::now();
        let (another, rounds, end) = {
            let mut outage = lock(&self.outage);
            (outage.failed(now), outage.rounds, outage.until)
        };
        if rounds >= TROUBLES {
            pause(parts, tenant, *campaign, format!("the mail provider takes nothing: {cause}")).await?;
            return Ok(true);
        }
        if another {
            let seconds = (end - now).as_secs();
            tracing::warn!(%tenant, %campaign, %cause, seconds, "the mail provider takes nothing; sending rests");
        }
        while Instant::now() < end && self.sending.goes_on().await? {
            self.rest(end - Instant::now()).await;
        }
        Ok(false)
    }

    /// What the next window is of: those that were never tried, and those that may be tried again, now.
    fn window_of(&self, chunk: &Chunk, now: Micros) -> Vec<u16> {
        let due = |standing: Standing| self.is_tried(standing) && standing.retry_at.is_none_or(|then| then <= now);
        chunk.open().filter(|(_, standing)| due(*standing)).map(|(index, _)| index).take(MAX_WINDOW).collect()
    }

    /// It is still to be sent, or deferred and that is not its end.
    fn is_tried(&self, standing: Standing) -> bool {
        let rests = self.sending.parts.pace.deferrals.len();
        match standing.fate {
            None => true,
            Some(fate) => fate == Fate::Deferred && usize::from(standing.deferrals) <= rests,
        }
    }
}

fn until(then: Micros, now: Micros) -> Duration {
    Duration::from_micros(u64::try_from(then.0 - now.0).unwrap_or(0)).max(Duration::from_millis(100))
}

fn add(sum: &mut SendCounts, more: SendCounts) {
    sum.accepted += more.accepted;
    sum.rejected += more.rejected;
    sum.deferred += more.deferred;
    sum.unknown += more.unknown;
    sum.skipped += more.skipped;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_fail_together_are_one_round() {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        let began = (0..16).filter(|_| outage.failed(start)).count();
        assert_eq!((began, outage.rounds), (1, 1), "sixteen lanes met one outage");
        let (mut now, mut rounds) = (start, 1);
        while rounds < TROUBLES {
            now = outage.until;
            assert!(outage.failed(now) && !outage.failed(now));
            rounds += 1;
        }
        let minutes = (now - start).as_secs() / 60;
        assert!((9..=11).contains(&minutes), "a campaign is paused after {minutes} minutes");
    }
}
