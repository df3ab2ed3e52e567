//! Chunks: what of a campaign's audience was tried, by whom, and what became of it.
//!
//! The rules that keep a mail from being sent twice are here: a recipient is in at most one open window, a window is opened
//! only by the present owner (its epoch), and a recipient that was accepted or is unknown is never attempted again; unless a
//! person asks for it, and then an unknown one once, with the same Message-ID.

use crate::{
    decider::{Ctx, Decider, Decision, USUAL_BYTES},
    rejections,
};
use bus_schema::{
    Micros,
    mail::{
        campaign::{ConsentPurpose, RetriedEnd, SendCounts},
        chunk::{
            ChunkClaimed, ChunkDone, ChunkEvent, ChunkPlace, ChunkPlanned, ChunkReconciled, ChunkReopened, Fate,
            MAX_RECIPIENTS, MAX_WINDOW, Outcome, Reconciled, WindowAttempting, WindowOutcome,
        },
    },
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// How long after the end of a lease another worker waits: what two machines' clocks may differ by, in seconds.
pub const SKEW: i64 = 10;
/// The longest lease, in seconds.
pub const MAX_LEASE: i64 = 3_600;
/// Bytes of a cause or of a provider's id that are kept.
pub const MAX_CAUSE: usize = 200;

/// A chunk. What never changes is shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Chunk {
    plan: Option<Arc<Plan>>,
    /// One for each recipient.
    standing: Vec<Standing>,
    owner: Option<Owner>,
    window: Option<Window>,
    /// The window that was closed last, with what was said of it.
    closed: Vec<Outcome>,
    done: bool,
    /// The retry of the campaign it was last opened for.
    #[serde(default)]
    round: u32,
}

/// What was frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub place: ChunkPlace,
    pub recipients: Vec<Uuid>,
    pub class: ConsentPurpose,
    pub content_hash: String,
    pub generation: u32,
}

/// Who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub worker: String,
    pub epoch: u32,
    pub lease_until: Micros,
}

/// A window whose outcome is not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Of the owner who opened it: its journal knows how far it came.
    pub epoch: u32,
    pub indexes: Vec<u16>,
}

/// How it stands with one recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// `None`: still to be sent.
    pub fate: Option<Fate>,
    /// How often nobody took it for the time being.
    pub deferrals: u8,
    /// When it may be tried, or tried again; `None`: at once.
    pub retry_at: Option<Micros>,
    /// It was unknown, and a person asked for another attempt.
    #[serde(default)]
    pub resent: bool,
}

impl Standing {
    /// It may be attempted.
    pub fn is_open(self) -> bool {
        matches!(self.fate, None | Some(Fate::Deferred))
    }
}

/// What can be asked of a chunk.
#[derive(Clone, Debug)]
pub enum ChunkCommand {
    Plan(Plan),
    /// Makes a worker the owner when there is none, when it is the owner of before, or when the lease is over. The owner of
    /// the present epoch makes its lease longer with [`ChunkCommand::Extend`].
    Claim {
        worker: String,
        lease_seconds: i64,
    },
    Extend {
        epoch: u32,
        lease_seconds: i64,
    },
    /// Opens a window. What it does not name may not be sent.
    Attempt {
        epoch: u32,
        indexes: Vec<u16>,
        lease_seconds: i64,
    },
    /// Closes the window, whoever opened it.
    Record {
        epoch: u32,
        outcomes: Vec<Outcome>,
    },
    /// Opens a chunk that is done for another attempt at those with these ends, once for each round.
    Reopen {
        round: u32,
        ends: Vec<RetriedEnd>,
    },
    /// Says of unknown recipients what is known now; what is said of others changes nothing.
    Reconcile {
        entries: Vec<Reconciled>,
    },
    /// Ends the chunk. What is deferred then stays so.
    Finish {
        epoch: u32,
    },
}

rejections! {
    /// Why a command to a chunk is refused.
    pub enum ChunkRejection {
        Unknown: Missing, "chunk_not_found", "", "there is no such chunk";
        Exists: State, "chunk_exists", "", "the chunk is planned already";
        BadPlan: Invalid, "invalid_plan", "", "a chunk has 1 to 500 different recipients in ascending order";
        BadLease: Invalid, "invalid_lease", "", "a lease has 1 to 3600 seconds";
        Leased { worker: String }: State, "chunk_leased", "", "the chunk is leased to {worker}";
        StaleEpoch { epoch: u32 }: State, "stale_epoch", "", "the chunk has another owner now, of epoch {epoch}";
        LeaseOver: State, "lease_over", "", "the lease of the chunk is over; claim it again";
        WindowOpen: State, "window_open", "", "a window of the chunk is open; record what became of it first";
        NoWindow: State, "no_window", "", "no window of the chunk is open";
        BadWindow: Invalid, "invalid_window", "", "a window has 1 to 32 recipients of the chunk in ascending order, and an outcome names each of them";
        NotOpen { index: u16 }: State, "recipient_settled", "", "the recipient at {index} was sent or settled already";
        BadProof: Invalid, "invalid_proof", "", "proofs name recipients of the chunk in ascending order, and only a provider can show that it did not take a mail";
        Unsettled: State, "recipients_unsettled", "", "recipients of the chunk are still to be sent";
        Done: State, "chunk_done", "", "the chunk is done";
    }
}

impl Chunk {
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// The open window.
    pub fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    pub fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// Those that may be attempted, ascending.
    pub fn open(&self) -> impl Iterator<Item = (u16, Standing)> {
        let numbered = self.standing.iter().enumerate().filter(|(_, standing)| standing.is_open());
        numbered.filter_map(|(index, standing)| Some((u16::try_from(index).ok()?, *standing)))
    }

    /// When this worker may claim it; `None`: now.
    pub fn claimable_at(&self, worker: &str, now: Micros) -> Option<Micros> {
        let owner = self.owner.as_ref().filter(|owner| owner.worker != worker)?;
        let free = owner.lease_until.plus_seconds(SKEW);
        (free > now).then_some(free)
    }

    /// Recipients by what became of them; those still to be sent are in none.
    pub fn counts(&self) -> SendCounts {
        let mut counts = SendCounts::default();
        for standing in &self.standing {
            match standing.fate {
                Some(Fate::Accepted) => counts.accepted += 1,
                Some(Fate::Rejected) => counts.rejected += 1,
                Some(Fate::Deferred) => counts.deferred += 1,
                Some(Fate::Unknown) => counts.unknown += 1,
                Some(Fate::Skipped) => counts.skipped += 1,
                Some(Fate::Unsent) | None => {}
            }
        }
        counts
    }

    /// The retry of the campaign it was last opened for; 0 before the first.
    pub fn round(&self) -> u32 {
        self.round
    }

    fn reopen(&self, round: u32, ends: &[RetriedEnd]) -> Result<Option<ChunkReopened>, ChunkRejection> {
        let ChunkPlace { campaign, number } = self.planned()?.place;
        if !self.done || round <= self.round {
            return Ok(None);
        }
        let of = |end: RetriedEnd, fate: Fate| -> Vec<u16> {
            let wanted =
                |standing: &Standing| standing.fate == Some(fate) && !(fate == Fate::Unknown && standing.resent);
            let numbered = self.standing.iter().enumerate().filter(|(_, standing)| wanted(standing));
            let indexes = numbered.filter_map(|(index, _)| u16::try_from(index).ok());
            if ends.contains(&end) { indexes.collect() } else { Vec::new() }
        };
        let deferred = of(RetriedEnd::Deferred, Fate::Deferred);
        let rejected = of(RetriedEnd::Rejected, Fate::Rejected);
        let unknown = of(RetriedEnd::Unknown, Fate::Unknown);
        let some = !(deferred.is_empty() && rejected.is_empty() && unknown.is_empty());
        Ok(some.then_some(ChunkReopened { campaign, number, round, deferred, rejected, unknown }))
    }

    fn reconcile(&self, entries: &[Reconciled]) -> Result<Option<ChunkReconciled>, ChunkRejection> {
        let ChunkPlace { campaign, number } = self.planned()?.place;
        let ascending = entries.windows(2).all(|pair| pair[0].index < pair[1].index);
        let known = |entry: &Reconciled| usize::from(entry.index) < self.standing.len();
        let proves = |entry: &Reconciled| (entry.accepted || entry.proof.can_deny()) && is_short(&entry.provider_id);
        if !ascending || !entries.iter().all(|entry| known(entry) && proves(entry)) {
            return Err(ChunkRejection::BadProof);
        }
        let is_unknown = |entry: &&Reconciled| {
            self.standing.get(usize::from(entry.index)).is_some_and(|standing| standing.fate == Some(Fate::Unknown))
        };
        let entries: Vec<Reconciled> = entries.iter().filter(is_unknown).cloned().collect();
        Ok((!entries.is_empty()).then_some(ChunkReconciled { campaign, number, entries }))
    }

    fn planned(&self) -> Result<&Plan, ChunkRejection> {
        self.plan.as_deref().ok_or(ChunkRejection::Unknown)
    }

    /// The owner, if this is its epoch.
    fn owned(&self, epoch: u32) -> Result<&Owner, ChunkRejection> {
        match &self.owner {
            Some(owner) if owner.epoch == epoch => Ok(owner),
            Some(owner) => Err(ChunkRejection::StaleEpoch { epoch: owner.epoch }),
            None => Err(ChunkRejection::StaleEpoch { epoch: 0 }),
        }
    }

    fn attempt(
        &self,
        epoch: u32,
        indexes: &[u16],
        lease: Micros,
        now: Micros,
    ) -> Result<WindowAttempting, ChunkRejection> {
        use ChunkRejection as R;
        let place = self.planned()?.place;
        if self.done {
            return Err(R::Done);
        }
        // Past its end another worker may have claimed it by the time this is read.
        if self.owned(epoch)?.lease_until <= now {
            return Err(R::LeaseOver);
        }
        if self.window.is_some() {
            return Err(R::WindowOpen);
        }
        let ascending = indexes.windows(2).all(|pair| pair[0] < pair[1]);
        if !(1..=MAX_WINDOW).contains(&indexes.len()) || !ascending {
            return Err(R::BadWindow);
        }
        let mut again = 0;
        for index in indexes {
            let standing = self.standing.get(usize::from(*index)).ok_or(R::BadWindow)?;
            if !standing.is_open() {
                return Err(R::NotOpen { index: *index });
            }
            again += u16::from(standing.fate.is_some());
        }
        let ChunkPlace { campaign, number } = place;
        Ok(WindowAttempting { campaign, number, epoch, indexes: indexes.to_vec(), again, lease_until: lease })
    }

    fn record(&self, epoch: u32, outcomes: &[Outcome]) -> Result<Option<WindowOutcome>, ChunkRejection> {
        let ChunkPlace { campaign, number } = self.planned()?.place;
        self.owned(epoch)?;
        let Some(window) = &self.window else {
            // A repetition of what was recorded.
            return if self.closed == outcomes { Ok(None) } else { Err(ChunkRejection::NoWindow) };
        };
        let indexes = &window.indexes;
        let same = indexes.len() == outcomes.len()
            && indexes.iter().zip(outcomes).all(|(index, outcome)| *index == outcome.index);
        if !same || outcomes.iter().any(|outcome| !is_short(&outcome.cause) || !is_short(&outcome.provider_id)) {
            return Err(ChunkRejection::BadWindow);
        }
        Ok(Some(WindowOutcome { campaign, number, epoch, outcomes: outcomes.to_vec() }))
    }
}

fn is_short(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(|text| text.len() <= MAX_CAUSE)
}

fn is_plan(plan: &Plan) -> bool {
    (1..=MAX_RECIPIENTS).contains(&plan.recipients.len()) && plan.recipients.windows(2).all(|pair| pair[0] < pair[1])
}

impl Decider for Chunk {
    type Event = ChunkEvent;
    type Command = ChunkCommand;
    type Rejection = ChunkRejection;

    fn bytes(&self) -> usize {
        let planned = self.plan.as_ref().map_or(0, |plan| size_of_val(plan.recipients.as_slice()));
        // Their texts are short.
        USUAL_BYTES + planned + size_of_val(self.standing.as_slice()) + 2 * size_of_val(self.closed.as_slice())
    }

    fn decide(&self, command: &ChunkCommand, ctx: &Ctx) -> Result<Decision<ChunkEvent>, ChunkRejection> {
        use ChunkRejection as R;
        let lease = |seconds: i64| match seconds {
            1..=MAX_LEASE => Ok(ctx.now.plus_seconds(seconds)),
            _ => Err(R::BadLease),
        };
        match command {
            ChunkCommand::Plan(plan) => {
                if !is_plan(plan) {
                    return Err(R::BadPlan);
                }
                match self.plan() {
                    Some(planned) if planned == plan => Ok(Decision::nothing()),
                    Some(_) => Err(R::Exists),
                    None => {
                        let Plan { place, recipients, class, content_hash, generation } = plan.clone();
                        let ChunkPlace { campaign, number } = place;
                        Ok(Decision::event(ChunkPlanned {
                            campaign,
                            number,
                            recipients,
                            class,
                            content_hash,
                            generation,
                        }))
                    }
                }
            }
            ChunkCommand::Claim { worker, lease_seconds } => {
                let ChunkPlace { campaign, number } = self.planned()?.place;
                let lease_until = lease(*lease_seconds)?;
                if self.done {
                    return Err(R::Done);
                }
                if self.claimable_at(worker, ctx.now).is_some() {
                    let worker = self.owner.as_ref().map(|owner| owner.worker.clone()).unwrap_or_default();
                    return Err(R::Leased { worker });
                }
                let epoch = self.owner.as_ref().map_or(1, |owner| owner.epoch.saturating_add(1));
                Ok(Decision::event(ChunkClaimed { campaign, number, worker: worker.clone(), epoch, lease_until }))
            }
            ChunkCommand::Extend { epoch, lease_seconds } => {
                let ChunkPlace { campaign, number } = self.planned()?.place;
                let lease_until = lease(*lease_seconds)?;
                let owner = self.owned(*epoch)?;
                if self.done || lease_until <= owner.lease_until {
                    return Ok(Decision::nothing());
                }
                let (worker, epoch) = (owner.worker.clone(), *epoch);
                Ok(Decision::event(ChunkClaimed { campaign, number, worker, epoch, lease_until }))
            }
            ChunkCommand::Attempt { epoch, indexes, lease_seconds } => {
                Ok(Decision::event(self.attempt(*epoch, indexes, lease(*lease_seconds)?, ctx.now)?))
            }
            ChunkCommand::Record { epoch, outcomes } => {
                Ok(self.record(*epoch, outcomes)?.map_or_else(Decision::nothing, Decision::event))
            }
            ChunkCommand::Reopen { round, ends } => {
                Ok(self.reopen(*round, ends)?.map_or_else(Decision::nothing, Decision::event))
            }
            ChunkCommand::Reconcile { entries } => {
                Ok(self.reconcile(entries)?.map_or_else(Decision::nothing, Decision::event))
            }
            ChunkCommand::Finish { epoch } => {
                let ChunkPlace { campaign, number } = self.planned()?.place;
                if self.done {
                    return Ok(Decision::nothing());
                }
                self.owned(*epoch)?;
                if self.window.is_some() {
                    return Err(R::WindowOpen);
                }
                if self.standing.iter().any(|standing| standing.fate.is_none()) {
                    return Err(R::Unsettled);
                }
                Ok(Decision::event(ChunkDone { campaign, number, epoch: *epoch }))
            }
        }
    }

    fn evolve(&mut self, event: &ChunkEvent) {
        match event {
            ChunkEvent::Planned(planned) => {
                let ChunkPlanned { recipients, class, content_hash, generation, .. } = planned.clone();
                self.standing = vec![Standing::default(); recipients.len()];
                let place = event.place();
                self.plan = Some(Arc::new(Plan { place, recipients, class, content_hash, generation }));
            }
            ChunkEvent::Claimed(claimed) => {
                let ChunkClaimed { worker, epoch, lease_until, .. } = claimed.clone();
                self.owner = Some(Owner { worker, epoch, lease_until });
            }
            ChunkEvent::WindowAttempting(attempting) => {
                let (epoch, indexes) = (attempting.epoch, attempting.indexes.clone());
                self.window = Some(Window { epoch, indexes });
                if let Some(owner) = &mut self.owner {
                    owner.lease_until = attempting.lease_until;
                }
            }
            ChunkEvent::WindowOutcome(outcome) => {
                for outcome in &outcome.outcomes {
                    let Some(standing) = self.standing.get_mut(usize::from(outcome.index)) else { continue };
                    standing.fate = Some(outcome.fate).filter(|fate| *fate != Fate::Unsent);
                    standing.retry_at = outcome.retry_at;
                    standing.deferrals += u8::from(outcome.fate == Fate::Deferred && standing.deferrals < u8::MAX);
                }
                self.window = None;
                self.closed.clone_from(&outcome.outcomes);
            }
            ChunkEvent::Done(_) => self.done = true,
            ChunkEvent::Reopened(reopened) => {
                (self.done, self.round) = (false, reopened.round);
                let known = reopened.deferred.iter().chain(&reopened.rejected).map(|index| (*index, false));
                for (index, unknown) in known.chain(reopened.unknown.iter().map(|index| (*index, true))) {
                    let Some(standing) = self.standing.get_mut(usize::from(index)) else { continue };
                    *standing = Standing { resent: standing.resent || unknown, ..Standing::default() };
                }
            }
            ChunkEvent::Reconciled(reconciled) => {
                for entry in &reconciled.entries {
                    let Some(standing) = self.standing.get_mut(usize::from(entry.index)) else { continue };
                    standing.fate = Some(if entry.accepted { Fate::Accepted } else { Fate::Deferred });
                    standing.retry_at = None;
                }
            }
        }
    }

    fn creates(command: &ChunkCommand) -> bool {
        matches!(command, ChunkCommand::Plan(_))
    }

    /// A chunk claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> ChunkRejection {
        ChunkRejection::Exists
    }
}

#[cfg(test)]
mod tests;
