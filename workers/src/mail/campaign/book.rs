//! What is to be done for which campaign, as the log tells it.

use super::Key;
use bus_schema::{AnyEvent, Micros, StoredEvent, TenantId, mail::campaign::CampaignEvent};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Campaigns under way at once; they share the provider's connections.
const AT_ONCE: usize = 6;

/// What a campaign needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Its time has come, or will.
    Launch,
    /// It is to be sent.
    Send,
    /// It was paused or cancelled on its way: what is open is to be settled, once.
    Settle,
}

#[derive(Clone, Debug)]
struct Page {
    errand: Errand,
    /// Of [`Errand::Launch`].
    due: Micros,
    not_before: Option<Instant>,
    /// Something happened since the job of it began.
    news: bool,
    running: bool,
    /// When it had its turn last, in turns of the book: who waits longest is next.
    turn: u64,
}

impl Page {
    fn is_ready(&self, now: Micros, moment: Instant) -> bool {
        !self.running && self.due <= now && self.not_before.is_none_or(|then| then <= moment)
    }
}

/// Campaigns with something to do.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: BTreeMap<Key, Page>,
    turns: u64,
}

impl Book {
    /// Takes notice of an event.
    pub(super) fn note(&mut self, stored: &StoredEvent) {
        let Some(id) = stored.subject.address.uuid() else { return };
        // One that cannot be read is met by the job too, which says so.
        let Ok(Some(AnyEvent::Campaign(event))) = stored.decode() else { return };
        self.tell((stored.subject.tenant.clone(), id), &event);
    }

    fn tell(&mut self, key: Key, event: &CampaignEvent) {
        let (errand, due) = match event {
            CampaignEvent::Scheduled(scheduled) => (Errand::Launch, scheduled.at),
            CampaignEvent::Launched(_) | CampaignEvent::Resumed(_) | CampaignEvent::Retried(_) => {
                (Errand::Send, Micros(0))
            }
            CampaignEvent::Paused(_) => (Errand::Settle, Micros(0)),
            CampaignEvent::Cancelled(_) if self.pages.get(&key).is_some_and(|page| page.errand != Errand::Launch) => {
                (Errand::Settle, Micros(0))
            }
            CampaignEvent::Cancelled(_) | CampaignEvent::Unscheduled(_) | CampaignEvent::Finished(_) => {
                self.strike(&key);
                return;
            }
            CampaignEvent::Created(_)
            | CampaignEvent::AudienceSet(_)
            | CampaignEvent::ContentSet(_)
            | CampaignEvent::AudienceFrozen(_) => return,
        };
        let (running, turn) = self.pages.get(&key).map_or((false, 0), |page| (page.running, page.turn));
        self.pages.insert(key, Page { errand, due, not_before: None, news: true, running, turn });
    }

    /// Nothing is to be done any more, but for the job that runs.
    fn strike(&mut self, key: &Key) {
        if self.pages.get(key).is_some_and(|page| !page.running) {
            self.pages.remove(key);
        } else if let Some(page) = self.pages.get_mut(key) {
            page.news = false;
        }
    }

    /// The campaign to be looked after now; it counts as running until [`Book::rest`].
    pub(super) fn next(&mut self, now: Micros, moment: Instant) -> Option<(Key, Errand)> {
        let mut running: BTreeMap<&TenantId, usize> = BTreeMap::new();
        for ((tenant, _), _) in self.pages.iter().filter(|(_, page)| page.running) {
            *running.entry(tenant).or_default() += 1;
        }
        if running.values().sum::<usize>() >= AT_ONCE {
            return None;
        }
        // The tenant with the fewest under way, and of its campaigns the one that had its turn longest ago.
        let ready = self.pages.iter().filter(|(_, page)| page.is_ready(now, moment));
        let fair = |(key, page): &(&Key, &Page)| (running.get(&key.0).copied().unwrap_or(0), page.turn);
        let key = ready.min_by_key(fair).map(|(key, _)| key.clone())?;
        let page = self.pages.get_mut(&key)?;
        self.turns += 1;
        (page.running, page.news, page.turn) = (true, false, self.turns);
        Some((key, page.errand))
    }

    /// Whether a campaign waits for its turn.
    pub(super) fn is_crowded(&self, now: Micros, moment: Instant) -> bool {
        self.pages.values().any(|page| page.is_ready(now, moment))
    }

    /// Its job ended; it is to be looked at `again` then, if at all, unless something happened meanwhile.
    pub(super) fn rest(&mut self, key: &Key, again: Option<Instant>) {
        let Some(page) = self.pages.get_mut(key) else { return };
        page.running = false;
        match (page.news, again) {
            (true, _) => page.not_before = None,
            (false, Some(again)) => page.not_before = Some(again),
            (false, None) if page.errand == Errand::Send || page.errand == Errand::Launch => {
                // It was sent, cancelled or taken back: the event that says so may not be read yet. A settled one stays
                // known, so that its cancelling is understood.
                self.pages.remove(key);
            }
            (false, None) => page.not_before = moment_that_never_comes(),
        }
    }
}

/// A settled campaign waits for its next event.
fn moment_that_never_comes() -> Option<Instant> {
    Instant::now().checked_add(std::time::Duration::from_secs(100 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::mail::campaign::{
        CampaignCancelled, CampaignFinished, CampaignLaunched, CampaignPaused, CampaignResumed, CampaignScheduled,
        CampaignUnscheduled, SendCounts,
    };
    use uuid::Uuid;

    fn key(id: u128) -> Key {
        (TenantId::try_new("acme").unwrap(), Uuid::from_u128(id))
    }

    fn scheduled(at: i64) -> CampaignEvent {
        CampaignScheduled { at: Micros(at), time_zone: "UTC".into() }.into()
    }

    fn launched() -> CampaignEvent {
        CampaignLaunched { scheduled: Micros(5), at: Micros(5), filter: None }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_campaign_is_launched_when_it_is_due_and_not_twice_at_once() {
        let mut book = Book::default();
        book.tell(key(1), &scheduled(10));
        book.tell(key(2), &scheduled(10));
        book.tell(key(2), &CampaignUnscheduled {}.into());
        assert_eq!(book.next(Micros(9), Instant::now()), None);
        assert_eq!(book.next(Micros(10), Instant::now()), Some((key(1), Errand::Launch)));
        assert_eq!(book.next(Micros(10), Instant::now()), None);
        // Its own event: the job goes on by itself, and is looked after once more when it ends.
        book.tell(key(1), &launched());
        assert_eq!(book.next(Micros(10), Instant::now()), None);
        book.rest(&key(1), None);
        assert_eq!(book.next(Micros(10), Instant::now()), Some((key(1), Errand::Send)));
        book.tell(key(1), &CampaignFinished { counts: SendCounts::default() }.into());
        book.rest(&key(1), None);
        assert_eq!(book.next(Micros(10), Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_campaign_waits_and_news_wake_it() {
        let mut book = Book::default();
        book.tell(key(1), &launched());
        assert!(book.next(Micros(0), Instant::now()).is_some());
        let later = Instant::now() + std::time::Duration::from_secs(5);
        book.rest(&key(1), Some(later));
        assert_eq!(book.next(Micros(0), Instant::now()), None);
        assert_eq!(book.next(Micros(0), later), Some((key(1), Errand::Send)));
        book.tell(key(1), &CampaignPaused { trouble: None }.into());
        book.rest(&key(1), Some(later + std::time::Duration::from_secs(5)));
        assert_eq!(book.next(Micros(0), Instant::now()), Some((key(1), Errand::Settle)));
        book.rest(&key(1), None);
        assert_eq!(book.next(Micros(0), later), None, "settled once");
        book.tell(key(1), &CampaignResumed {}.into());
        assert_eq!(book.next(Micros(0), Instant::now()), Some((key(1), Errand::Send)));
        book.rest(&key(1), Some(Instant::now()));
        book.tell(key(1), &CampaignCancelled {}.into());
        assert_eq!(book.next(Micros(0), Instant::now()), Some((key(1), Errand::Settle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_campaign_cancelled_on_the_ground_needs_nothing() {
        let mut book = Book::default();
        book.tell(key(1), &scheduled(1));
        book.tell(key(1), &CampaignCancelled {}.into());
        assert_eq!(book.next(Micros(5), Instant::now()), None);
        for id in 0..6 {
            book.tell(key(id), &launched());
        }
        let mut under_way = 0;
        while book.next(Micros(5), Instant::now()).is_some() {
            under_way += 1;
        }
        assert_eq!(under_way, AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_behind_another_tenants_many() {
        let mut book = Book::default();
        let other = TenantId::try_new("zebra").unwrap();
        for id in 0..2 * AT_ONCE as u128 {
            book.tell(key(id), &launched());
        }
        while book.next(Micros(5), Instant::now()).is_some() {}
        book.tell((other.clone(), Uuid::from_u128(1)), &launched());
        assert!(book.is_crowded(Micros(5), Instant::now()));
        // The first that gives its place up gives it to the tenant that has none.
        book.rest(&key(0), Some(Instant::now()));
        let (next, _) = book.next(Micros(5), Instant::now()).unwrap();
        assert_eq!(next.0, other);
        // Then each of the many has its turn, and the one that had its already comes last.
        let mut order = Vec::new();
        for _ in 0..2 * AT_ONCE {
            let running = book.pages.iter().filter(|(key, page)| page.running && key.0 != other);
            let oldest = running.min_by_key(|(_, page)| page.turn).map(|(key, _)| key.clone()).unwrap();
            book.rest(&oldest, Some(Instant::now()));
            order.push(book.next(Micros(5), Instant::now()).unwrap().0.1);
        }
        let mut all = order.clone();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), order.len(), "nobody has two turns before everybody had one: {order:?}");
        for key in book.pages.keys().cloned().collect::<Vec<_>>() {
            book.tell(key.clone(), &CampaignFinished { counts: SendCounts::default() }.into());
            book.rest(&key, None);
        }
        assert!(!book.is_crowded(Micros(5), Instant::now()));
    }
}
