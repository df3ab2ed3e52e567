//! One window: its mails are made, it is recorded as attempted, they are handed over, and what became of each is recorded.

use super::{
    CampaignParts, JobError,
    audience::{self, LogEnd},
    courtesy::Courtesy,
    fate::{self, Trouble},
    journal::ChunkJournal,
    meta,
    prepare::Prepared,
    rejected,
    stack::Stacks,
};
use crate::mail::{
    Class,
    providers::{Gate, Handed, Origin},
};
use crate::{mail::Composed, worker::Stop};
use bus_schema::{
    CommandId, Micros, TenantId,
    mail::{
        chunk::{Fate, Outcome},
        response::Seat,
    },
};
use futures::StreamExt;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;
use writers::mail::{
    campaign::{Campaign, CampaignStatus},
    chunk::{Chunk, ChunkCommand, MAX_CAUSE},
};

/// Before the end of a lease nothing is handed over any more, in microseconds.
const MARGIN: i64 = 1_000_000;
/// A mail that waited longer than this since consent was looked at is looked at again.
const RECHECK: Duration = Duration::from_millis(200);
/// How old the campaign's state may be when it is asked whether sending goes on.
pub(super) const FRESH: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_secs(1);
/// So many refusals of the sender in one window are not about single recipients.
const REFUSALS: usize = 4;

/// What all windows of a run share.
pub(super) struct Sending<'a> {
    pub(super) parts: &'a CampaignParts,
    pub(super) stacks: &'a Stacks,
    pub(super) log_end: &'a LogEnd,
    pub(super) courtesy: &'a Courtesy,
    pub(super) tenant: &'a TenantId,
    pub(super) campaign: Uuid,
    pub(super) prepared: &'a Prepared,
    pub(super) stop: &'a Stop,
}

/// How a window ended.
pub(super) enum Sent {
    Closed {
        chunk: Chunk,
        trouble: Option<Trouble>,
    },
    /// Another worker has the chunk, or the lease was over before it began.
    Lost,
}

/// A mail on its way out.
struct Ready {
    index: u16,
    contact: Uuid,
    mail: Composed,
}

/// An open window while its mails are handed over.
struct Open<'a> {
    sending: &'a Sending<'a>,
    id: Uuid,
    epoch: u32,
    journal: Mutex<&'a mut ChunkJournal>,
    lease_until: AtomicI64,
    checked: Instant,
    /// It was told once that consent cannot be looked at.
    told: AtomicBool,
}

impl Sending<'_> {
    /// Sends to these recipients of a chunk, which this worker owns in the journal's epoch.
    pub(super) async fn window(
        &self,
        id: Uuid,
        chunk: &Chunk,
        journal: &mut ChunkJournal,
        indexes: Vec<u16>,
    ) -> Result<Sent, JobError> {
        let (checked, epoch) = (Instant::now(), journal.epoch());
        let (ready, mut outcomes) = self.ready(chunk, &indexes).await?;
        journal.begin(&indexes)?;
        let lease_seconds = self.parts.pace.lease_seconds;
        let attempt = ChunkCommand::Attempt { epoch, indexes, lease_seconds };
        let until = match self.command(id, &attempt).await {
            Ok(chunk) => chunk.owner().map_or(Micros(0), |owner| owner.lease_until),
            Err(error) if error.rejected().is_some() => {
                journal.end();
                return Ok(Sent::Lost);
            }
            // It may be open. The journal says that nothing of it was sent.
            Err(error) => return Err(error),
        };
        let (journal, lease_until) = (Mutex::new(journal), AtomicI64::new(until.0));
        let told = AtomicBool::new(false);
        let open = Open { sending: self, id, epoch, journal, lease_until, checked, told };
        let mut troubles = Vec::new();
        for (outcome, trouble) in open.hand_over_all(ready).await {
            outcomes.push(outcome);
            troubles.extend(trouble);
        }
        outcomes.sort_by_key(|outcome| outcome.index);
        let trouble = judge(&mut outcomes, troubles);
        let now = self.parts.writer.clock().now();
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.fate == Fate::Deferred) {
            let before = chunk.standing().get(usize::from(outcome.index)).map_or(0, |standing| standing.deferrals);
            let rests = &self.parts.pace.deferrals;
            outcome.retry_at = rests.get(usize::from(before)).map(|rest| now.plus_seconds(*rest));
        }
        rejected::note(self.parts, self.tenant, chunk, &outcomes).await;
        let closed = self.record(id, epoch, outcomes).await?;
        open.journal.into_inner().unwrap_or_else(PoisonError::into_inner).end();
        Ok(match closed {
            Some(chunk) => Sent::Closed { chunk, trouble },
            None => Sent::Lost,
        })
    }

    /// The mails of those who may get one, and the outcomes of those who may not.
    async fn ready(&self, chunk: &Chunk, indexes: &[u16]) -> Result<(Vec<Ready>, Vec<Outcome>), JobError> {
        let plan = chunk.plan().ok_or_else(|| JobError::Unfit("a chunk without plan".into()))?;
        let contact = |index: &u16| plan.recipients.get(usize::from(*index)).copied().unwrap_or_default();
        let contacts: Vec<Uuid> = indexes.iter().map(contact).collect();
        audience::settle(self.parts, self.log_end).await?;
        let checked = audience::check(self.parts, self.tenant, &contacts, self.prepared.purpose()).await?;
        let (prepared, generation, number) = (self.prepared.clone(), plan.generation, plan.place.number);
        let now = self.parts.writer.clock().now();
        let indexes = indexes.to_vec();
        let made = self.stacks.run(move || {
            let (mut ready, mut outcomes) = (Vec::new(), Vec::new());
            for ((index, contact), checked) in indexes.into_iter().zip(contacts).zip(checked) {
                let settled = |fate, cause: &str| {
                    let end = cause.floor_char_boundary(MAX_CAUSE);
                    Outcome::new(index, fate).because(&cause[..end])
                };
                let details = match checked {
                    Ok(details) => details,
                    Err(why) => {
                        outcomes.push(settled(Fate::Skipped, why));
                        continue;
                    }
                };
                match prepared.mail(contact, Seat { chunk: number, index }, &details, generation, now) {
                    Ok(mail) => ready.push(Ready { index, contact, mail }),
                    // This one's mail cannot be made; the others get theirs.
                    Err(why) => outcomes.push(settled(Fate::Rejected, &why)),
                }
            }
            (ready, outcomes)
        });
        Ok(made.await?)
    }

    /// Records what became of the window, through outages. `None`: it is not this worker's any more.
    async fn record(&self, id: Uuid, epoch: u32, outcomes: Vec<Outcome>) -> Result<Option<Chunk>, JobError> {
        let record = ChunkCommand::Record { epoch, outcomes };
        loop {
            match self.command(id, &record).await {
                Ok(chunk) => return Ok(Some(chunk)),
                Err(error) => match error.rejected() {
                    Some(rejected) => {
                        tracing::warn!(campaign = %self.campaign, code = rejected.code, "a window was taken over");
                        return Ok(None);
                    }
                    // The next start has it from the journal.
                    None if self.stop.is_asked() => return Err(error),
                    None => tracing::warn!(%error, campaign = %self.campaign, "what was sent is not recorded yet"),
                },
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn command(&self, id: Uuid, command: &ChunkCommand) -> Result<Chunk, JobError> {
        let meta = meta(self.campaign, CommandId::random());
        Ok(self.parts.writer.execute::<Chunk>(self.tenant, id, &meta, command).await?.value.state)
    }

    /// Whether the campaign is still to be sent.
    pub(super) async fn goes_on(&self) -> Result<bool, JobError> {
        let campaign = self.parts.writer.load_cached::<Campaign>(self.tenant, self.campaign, FRESH).await?;
        Ok(campaign.state.status() == &CampaignStatus::Sending && !self.stop.is_asked())
    }
}

impl Open<'_> {
    async fn hand_over_all(&self, ready: Vec<Ready>) -> Vec<(Outcome, Option<Trouble>)> {
        // Their waiting for connections is in order; the window bounds their number.
        let at_once = ready.len().max(1);
        let all = futures::stream::iter(ready).map(|ready| self.hand_over(ready)).buffer_unordered(at_once);
        let all = all.collect::<Vec<_>>();
        tokio::pin!(all);
        tokio::select! {
            outcomes = &mut all => outcomes,
            never = self.keep_lease() => match never {},
        }
    }

    async fn hand_over(&self, ready: Ready) -> (Outcome, Option<Trouble>) {
        let Ready { index, contact, mail } = ready;
        let passage = Passage { open: self, index, contact };
        let providers = self.sending.prepared.outlet().providers();
        let origin = Origin { tenant: self.sending.tenant, class: Class::Marketing };
        match providers.hand_over(&origin, &mail.envelope, &mail.message, &passage).await {
            Handed::Answered { answer, provider } => {
                let (outcome, trouble) = fate::of(index, &answer);
                let outcome = Outcome { provider: Some(provider.to_string()), ..outcome };
                // Without this line the mail is unknown after a kill, which is the safe side.
                self.note(|journal| journal.outcome(&outcome));
                (outcome, trouble)
            }
            Handed::Halted(halted) => *halted,
            Handed::Resting { cause, .. } => (Outcome::new(index, Fate::Unsent), Some(Trouble::Passing(cause))),
            Handed::Crowded { again } => {
                let rest = i64::try_from(again.as_micros()).unwrap_or(i64::MAX);
                let now = self.sending.parts.writer.clock().now();
                let retry_at = Some(Micros(now.0.saturating_add(rest)));
                (Outcome { retry_at, ..Outcome::new(index, Fate::Unsent) }, None)
            }
        }
    }

    /// Nobody asked to stop, and nobody else can have the chunk.
    fn may_send(&self) -> bool {
        let now = self.sending.parts.writer.clock().now().0;
        !self.sending.stop.is_asked() && now < self.lease_until.load(Ordering::Relaxed) - MARGIN
    }

    /// What forbids this mail now, if anything.
    async fn look_again(&self, contact: Uuid) -> Result<Option<Outcome>, JobError> {
        if !self.sending.goes_on().await? {
            return Ok(Some(Outcome::new(0, Fate::Unsent)));
        }
        let Sending { parts, tenant, prepared, .. } = self.sending;
        let checked = audience::check(parts, tenant, &[contact], prepared.purpose()).await?;
        Ok(checked.into_iter().find_map(Result::err).map(|why| Outcome::new(0, Fate::Skipped).because(why)))
    }

    fn note(&self, write: impl FnOnce(&mut ChunkJournal) -> std::io::Result<()>) -> bool {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match write(&mut journal) {
            Ok(()) => true,
            Err(error) => {
                let Sending { tenant, campaign, .. } = self.sending;
                tracing::error!(%tenant, %campaign, %error, "the journal of campaigns cannot be written; nothing is sent without it");
                false
            }
        }
    }

    /// Makes the lease longer while the window lasts. What is handed over stops before its end if that fails.
    async fn keep_lease(&self) -> std::convert::Infallible {
        let lease_seconds = self.sending.parts.pace.lease_seconds;
        let third = Duration::from_secs(lease_seconds.unsigned_abs()) / 3;
        loop {
            tokio::time::sleep(third).await;
            let extend = ChunkCommand::Extend { epoch: self.epoch, lease_seconds };
            match self.sending.command(self.id, &extend).await {
                Ok(chunk) => {
                    let until = chunk.owner().map_or(0, |owner| owner.lease_until.0);
                    self.lease_until.store(until, Ordering::Relaxed);
                }
                Err(error) if error.rejected().is_some() => self.lease_until.store(0, Ordering::Relaxed),
                Err(error) => {
                    let Sending { tenant, campaign, .. } = self.sending;
                    tracing::warn!(%tenant, %campaign, %error, "the lease of a chunk is not longer yet");
                }
            }
        }
    }
}

/// What is asked right before a mail is handed to a provider: whether this worker may still send, whether this receiver still
/// wants it, and whether the journal knows of it.
struct Passage<'a, 'w> {
    open: &'a Open<'w>,
    index: u16,
    contact: Uuid,
}

impl Gate for Passage<'_, '_> {
    /// How it ends for the receiver then.
    type Halt = Box<(Outcome, Option<Trouble>)>;

    async fn pass(&self) -> Result<(), Self::Halt> {
        let Self { open, index, contact } = *self;
        let unsent = |trouble: Option<&str>| {
            let trouble = trouble.map(|trouble| Trouble::Passing(trouble.to_owned()));
            Err(Box::new((Outcome::new(index, Fate::Unsent), trouble)))
        };
        if !open.may_send() {
            return unsent(None);
        }
        // A connection, or a rate, may have taken its time.
        if open.checked.elapsed() > RECHECK {
            match open.look_again(contact).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return Err(Box::new((Outcome { index, ..outcome }, None))),
                Err(error) => {
                    if !open.told.swap(true, Ordering::Relaxed) {
                        let Sending { tenant, campaign, .. } = open.sending;
                        tracing::warn!(%tenant, %campaign, %error, "consent cannot be looked at, so nothing is sent");
                    }
                    return unsent(Some("consent cannot be looked at"));
                }
            }
            if !open.may_send() {
                return unsent(None);
            }
        }
        if open.note(|journal| journal.sending(index)) { Ok(()) } else { unsent(Some("the journal cannot be written")) }
    }
}

/// What the window says of the provider. When it refuses the sender and not single recipients, those it refused for that stay
/// to be sent: they would all be lost to one wrong setting.
fn judge(outcomes: &mut [Outcome], troubles: Vec<Trouble>) -> Option<Trouble> {
    let accepted = outcomes.iter().filter(|outcome| outcome.fate == Fate::Accepted).count();
    let refused: Vec<&String> = troubles
        .iter()
        .filter_map(|trouble| match trouble {
            Trouble::Refused(cause) => Some(cause),
            Trouble::Passing(_) => None,
        })
        .collect();
    let of_sender = refused.iter().filter(|cause| !cause.starts_with("rcpt")).count();
    if accepted == 0 && (of_sender > 0 || refused.len() >= REFUSALS) {
        let cause = refused.first().map(|cause| (*cause).clone()).unwrap_or_default();
        for outcome in outcomes.iter_mut() {
            let about_sender =
                outcome.fate == Fate::Rejected && outcome.cause.as_ref().is_some_and(|cause| refused.contains(&cause));
            if about_sender {
                (outcome.fate, outcome.cause) = (Fate::Unsent, None);
            }
        }
        return Some(Trouble::Refused(cause));
    }
    let passing = troubles.into_iter().find(|trouble| matches!(trouble, Trouble::Passing(_)));
    passing.filter(|_| accepted == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(fates: &[(Fate, Option<&str>)]) -> Vec<Outcome> {
        let outcome = |(index, (fate, cause)): (usize, &(Fate, Option<&str>))| Outcome {
            cause: cause.map(str::to_owned),
            ..Outcome::new(index as u16, *fate)
        };
        fates.iter().enumerate().map(outcome).collect()
    }

    fn refused(cause: &str) -> Trouble {
        Trouble::Refused(cause.into())
    }

    #[test]
    fn a_refused_sender_costs_no_recipient() {
        let no = "mail 550 5.7.1";
        let mut all = outcomes(&[(Fate::Rejected, Some(no)), (Fate::Rejected, Some("rcpt 550 5.1.1"))]);
        assert_eq!(judge(&mut all, vec![refused(no)]), Some(refused(no)));
        assert_eq!(all, outcomes(&[(Fate::Unsent, None), (Fate::Rejected, Some("rcpt 550 5.1.1"))]));
        // One recipient's server that refuses is that one's matter, and so is a refusal beside successes.
        let single = [(Fate::Rejected, Some("rcpt 550 5.7.1"))];
        let mut all = outcomes(&single);
        assert_eq!(judge(&mut all, vec![refused("rcpt 550 5.7.1")]), None);
        assert_eq!(all, outcomes(&single));
        let mixed = [(Fate::Accepted, None), (Fate::Rejected, Some(no))];
        let mut all = outcomes(&mixed);
        assert_eq!(judge(&mut all, vec![refused(no)]), None);
        assert_eq!(all, outcomes(&mixed));
    }

    #[test]
    fn a_provider_that_is_away_is_trouble_unless_something_went_through() {
        let away = || vec![Trouble::Passing("connect: connection lost".into())];
        assert!(judge(&mut outcomes(&[(Fate::Unsent, None)]), away()).is_some());
        assert_eq!(judge(&mut outcomes(&[(Fate::Unsent, None), (Fate::Accepted, None)]), away()), None);
        assert_eq!(judge(&mut outcomes(&[(Fate::Deferred, None)]), vec![]), None);
    }
}
