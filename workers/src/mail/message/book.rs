//! Which messages are to be sent and when, as the log tells it.

use super::Key;
use bus_schema::{AnyEvent, Micros, StoredEvent, mail::message::MessageEvent};
use std::collections::{BTreeSet, HashMap};

/// A message that is to be sent.
#[derive(Clone, Copy, Debug)]
struct Page {
    due: Micros,
    /// The position of the event that opened it.
    position: u64,
    /// A job has it.
    running: bool,
    /// An event came since the job began, which counts more than what the job says.
    news: bool,
    /// It is to be sent as far as events tell. One that is not stays while its job runs.
    open: bool,
}

/// Messages with something to do, the most urgent first.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: HashMap<Key, Page>,
    waiting: BTreeSet<(Micros, u64, Key)>,
}

impl Book {
    /// Takes notice of an event.
    pub(super) fn note(&mut self, stored: &StoredEvent) {
        let Some(id) = stored.subject.address.uuid() else { return };
        // One that cannot be read is met by the job too, which says so.
        let Ok(Some(AnyEvent::Message(event))) = stored.decode() else { return };
        self.tell((stored.subject.tenant.clone(), id), &event, stored.seq);
    }

    fn tell(&mut self, key: Key, event: &MessageEvent, position: u64) {
        let due = match event {
            MessageEvent::Requested(_) | MessageEvent::Requeued(_) => Some(Micros(0)),
            MessageEvent::Deferred(deferred) => Some(deferred.retry_at),
            // What comes back beside a bounce says nothing of what is to be done.
            MessageEvent::Delivered(_) | MessageEvent::Complained(_) | MessageEvent::ComplaintWithdrawn(_) => return,
            _ => None,
        };
        let before = self.pages.get(&key).copied();
        self.unqueue(&key);
        let running = before.is_some_and(|page| page.running);
        match due {
            Some(due) => {
                let position = before.filter(|page| page.open).map_or(position, |page| page.position);
                self.pages.insert(key.clone(), Page { due, position, running, news: true, open: true });
                self.queue(&key);
            }
            None if running => {
                let ended = before.map(|page| Page { news: true, open: false, ..page });
                self.pages.extend(ended.map(|page| (key, page)));
            }
            None => _ = self.pages.remove(&key),
        }
    }

    fn queue(&mut self, key: &Key) {
        let Some(page) = self.pages.get(key).filter(|page| page.open && !page.running) else { return };
        self.waiting.insert((page.due, page.position, key.clone()));
    }

    fn unqueue(&mut self, key: &Key) {
        if let Some(page) = self.pages.get(key) {
            self.waiting.remove(&(page.due, page.position, key.clone()));
        }
    }

    /// The next message to be sent now; it counts as running until [`Book::rest`].
    pub(super) fn next(&mut self, now: Micros) -> Option<Key> {
        if self.waiting.first()?.0 > now {
            return None;
        }
        let (.., key) = self.waiting.pop_first()?;
        let page = self.pages.get_mut(&key)?;
        (page.running, page.news) = (true, false);
        Some(key)
    }

    /// Its job ended; it is to be looked at `again` then, if at all, unless an event said otherwise meanwhile.
    pub(super) fn rest(&mut self, key: &Key, again: Option<Micros>) {
        let Some(page) = self.pages.get_mut(key) else { return };
        page.running = false;
        if !page.news {
            page.open = again.is_some();
            page.due = again.unwrap_or(page.due);
        }
        if page.open { self.queue(key) } else { _ = self.pages.remove(key) }
    }

    /// Everything up to here is done, if the log is read up to `read`.
    pub(super) fn done(&self, read: u64) -> u64 {
        self.pages.values().map(|page| page.position.saturating_sub(1)).fold(read, u64::min)
    }

    /// Messages that are to be sent.
    pub(super) fn open(&self) -> usize {
        self.pages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        TenantId,
        mail::message::{MessageAccepted, MessageCancelled, MessageDeferred, MessageRequeued},
    };
    use uuid::Uuid;

    fn key(id: u128) -> Key {
        (TenantId::try_new("acme").unwrap(), Uuid::from_u128(id))
    }

    fn requeued() -> MessageEvent {
        MessageRequeued { generation: 1, expires_at: Micros(99) }.into()
    }

    fn deferred(retry_at: i64) -> MessageEvent {
        let (cause, retry_at) = (String::new(), Micros(retry_at));
        MessageDeferred { generation: 0, attempt: 1, cause, unknown: false, retry_at, message_id: None }.into()
    }

    fn accepted() -> MessageEvent {
        MessageAccepted { generation: 0, attempt: 1, message_id: String::new(), provider_id: None }.into()
    }

    #[test]
    fn a_message_is_sent_when_it_is_due_and_by_one_job() {
        let mut book = Book::default();
        book.tell(key(1), &requeued(), 5);
        book.tell(key(2), &deferred(50), 6);
        assert_eq!(book.next(Micros(10)), Some(key(1)));
        assert_eq!(book.next(Micros(10)), None);
        assert_eq!(book.done(9), 4, "it is not done while its job runs");
        // Its own event, then its end.
        book.tell(key(1), &accepted(), 7);
        book.rest(&key(1), None);
        assert_eq!((book.done(9), book.open()), (5, 1));
        assert_eq!(book.next(Micros(50)), Some(key(2)));
        book.rest(&key(2), Some(Micros(70)));
        assert_eq!(book.next(Micros(69)), None);
        assert_eq!(book.next(Micros(70)), Some(key(2)));
        book.rest(&key(2), None);
        assert_eq!((book.next(Micros(99)), book.done(9)), (None, 9));
    }

    #[test]
    fn what_events_say_counts_more_than_what_a_job_says() {
        let mut book = Book::default();
        book.tell(key(1), &requeued(), 5);
        assert!(book.next(Micros(0)).is_some());
        // Taken, and wanted once more while the job ends.
        book.tell(key(1), &accepted(), 6);
        book.tell(key(1), &requeued(), 8);
        assert_eq!(book.next(Micros(0)), None);
        book.rest(&key(1), None);
        assert_eq!(book.done(9), 7);
        assert_eq!(book.next(Micros(0)), Some(key(1)));
        // Cancelled while the job believes to try again.
        book.tell(key(1), &MessageCancelled {}.into(), 9);
        book.rest(&key(1), Some(Micros(1)));
        assert_eq!((book.next(Micros(9)), book.open()), (None, 0));
        // An event that is read after its job ended.
        book.tell(key(1), &accepted(), 10);
        assert_eq!(book.open(), 0);
    }
}
