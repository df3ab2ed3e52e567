//! Somebody else than the archiver looks at what the archiver did.
//!
//! A writer that stands still can report that all is well for as long as it stands. So the lag is not taken from its word
//! alone: a [`Watcher`] reads the entries back from the provider, goes along their chain, and asks the log for the first
//! message behind them. What the archiver claims and the provider does not show is an error, and so is a log that begins
//! behind what is archived: nothing may leave it before every provider has it.
//!
//! The entries are read back, not the segments they name: `millrace protection verify` does that.

use super::{
    archiver::Progress,
    ledger::{ArchiveError, Ledger},
    manifest::{Chain, Fault, Wrong},
    object_store::MAX_LISTING,
};
use crate::worker::Worker;
use bus_schema::{Micros, bus::Bus, subject::Family};
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(3);
/// How long the log may take to show one message.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen at a provider and in the log.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Everything up to this position was read back; `None`: the provider has not answered yet.
    pub confirmed: Option<u64>,
    /// Store time of the first message of the archive.
    pub since: Option<Micros>,
    /// The last position of the log.
    pub last: u64,
    /// The first message of the log that is not known to be at the provider, and when it was stored.
    pub oldest: Option<(u64, Micros)>,
    /// Entries that are missing or not what they should be, since the start.
    pub chain_errors: u64,
    /// The last of them.
    pub fault: Option<String>,
    /// Times the log was found to begin behind what is archived.
    pub gaps: u64,
    pub gap: Option<String>,
}

/// What the watcher needs.
pub struct Watcher {
    pub bus: Bus,
    pub family: Family,
    pub ledger: Ledger,
    pub epoch: u32,
    /// The archiver that is watched.
    pub progress: watch::Receiver<Progress>,
    pub every: Duration,
}

impl Watcher {
    /// Looks again and again for as long as the answer is held.
    pub fn start(self) -> (Worker, watch::Receiver<Seen>) {
        let (sender, seen) = watch::channel(Seen::default());
        let worker = Worker::start("archive-watcher", |mut stop| async move {
            let mut chain = None;
            while !stop.is_asked() {
                let mut now = sender.borrow().clone();
                self.look(&mut chain, &mut now).await;
                sender.send_replace(now);
                tokio::select! {
                    () = tokio::time::sleep(self.every) => {}
                    () = stop.asked() => {}
                }
            }
        });
        (worker, seen)
    }

    async fn look(&self, chain: &mut Option<Chain>, seen: &mut Seen) {
        // Before the provider is asked: what was claimed then must be there.
        let claimed = self.progress.borrow().archived;
        match self.read_back(chain, seen).await {
            Ok(confirmed) if confirmed < claimed => {
                let at = chain.as_ref().map_or_else(|| self.ledger.place.epoch(self.epoch), Chain::next_key);
                self.wrong(seen, &Fault::new(&at, Wrong::Missing));
                seen.confirmed = Some(confirmed);
            }
            Ok(confirmed) => seen.confirmed = Some(confirmed),
            Err(ArchiveError::Fault { fault, .. }) => {
                self.wrong(seen, &fault);
                // What comes next is compared with what is there now.
                *chain = None;
            }
            // The archiver says that its provider is away.
            Err(error) => tracing::debug!(provider = self.ledger.store.provider(), %error, "nothing is read back"),
        }
        let known = seen.confirmed.unwrap_or(0).max(claimed);
        if let Err(why) = self.look_at_log(known, seen).await {
            tracing::debug!(why, "the log does not say what it holds");
        }
    }

    /// The position up to which the provider shows entries. The first time the newest entry is believed, later ones must
    /// continue it.
    async fn read_back(&self, chain: &mut Option<Chain>, seen: &mut Seen) -> Result<u64, ArchiveError> {
        let ledger = &self.ledger;
        let mut known = match chain.take() {
            Some(chain) => chain,
            None => {
                let Some((start, hash)) = ledger.start_of(self.epoch).await? else { return Ok(0) };
                let newest = ledger.newest(self.epoch).await?;
                newest.map_or_else(
                    || Chain::start(&ledger.place, &start, hash),
                    |(entry, hash)| Chain::after(&ledger.place, &entry, hash),
                )
            }
        };
        if seen.since.is_none()
            && let Some(oldest) = ledger.epochs().await?.first()
        {
            seen.since = ledger.entry(*oldest, 1).await?.map(|(entry, _)| Micros(entry.from));
        }
        loop {
            let page = ledger.page(known.epoch(), known.next_idx() - 1).await?;
            for (object, bytes) in &page {
                let accepted = known.accept(&ledger.key, object, bytes);
                accepted.map_err(|fault| ArchiveError::Fault { provider: ledger.provider(), fault })?;
            }
            if page.len() < MAX_LISTING {
                break;
            }
        }
        let confirmed = known.next_first() - 1;
        *chain = Some(known);
        Ok(confirmed)
    }

    async fn look_at_log(&self, known: u64, seen: &mut Seen) -> Result<(), String> {
        let bounds = self.bus.bounds(self.family).await.map_err(|error| error.to_string())?;
        seen.last = bounds.last;
        if bounds.first > known + 1 && bounds.last > known {
            let (provider, stream) = (self.ledger.store.provider(), self.ledger.place.stream());
            let gap = format!(
                "the log begins at {} and the provider has it up to {known}: what is between them is lost",
                bounds.first
            );
            if seen.gap.as_deref() != Some(&gap) {
                tracing::error!(provider, stream, gap, "the log has a gap");
                seen.gaps += 1;
            }
            seen.gap = Some(gap);
        }
        seen.oldest = None;
        if bounds.last > known {
            let follow = self.bus.follow(self.family, known + 1, Vec::new()).await;
            let batch = follow.map_err(|error| error.to_string())?.next_stored(1, PATIENCE).await;
            let batch = batch.map_err(|error| error.to_string())?;
            seen.oldest = batch.messages.first().map(|message| (message.seq, message.stored));
        }
        Ok(())
    }

    fn wrong(&self, seen: &mut Seen, fault: &Fault) {
        let words = fault.to_string();
        if seen.fault.as_deref() != Some(&words) {
            tracing::error!(
                provider = self.ledger.store.provider(),
                fault = words,
                "the archive is not what was written"
            );
            seen.chain_errors += 1;
        }
        seen.fault = Some(words);
    }
}

impl Seen {
    /// How old the oldest message is that is neither at the provider nor claimed to be, in seconds.
    pub fn lag_seconds(&self, archived: u64, now: Micros) -> f64 {
        match self.oldest {
            Some((position, stored)) if position > archived => now.0.saturating_sub(stored.0).max(0) as f64 / 1e6,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_meanwhile_is_no_lag() {
        let seen = Seen { oldest: Some((5, Micros(1_000_000))), ..Seen::default() };
        assert_eq!(seen.lag_seconds(4, Micros(3_500_000)), 2.5);
        assert_eq!(seen.lag_seconds(5, Micros(3_500_000)), 0.0);
        assert_eq!(Seen::default().lag_seconds(0, Micros(i64::MAX)), 0.0);
    }
}
