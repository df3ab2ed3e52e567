//! Mails that wait for a connection, so that whoever has one can open the next mail behind its own.

use super::{Connection, Opening};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A connection with its place among those of the pool.
pub(super) type Held = (Connection, OwnedSemaphorePermit);

/// In the order in which they began to wait.
#[derive(Debug, Default)]
pub(super) struct Offers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: VecDeque<Offer>,
}

/// One that waits. Dropped, it tells that no connection comes from where it was taken.
#[derive(Debug)]
pub(super) struct Offer {
    number: u64,
    opening: Arc<Opening>,
    give: oneshot::Sender<Held>,
}

/// The waiting side. Dropped, the offer is withdrawn.
pub(super) struct Waiting<'a> {
    offers: &'a Offers,
    number: u64,
    /// The connection on which the mail was opened; an error when that came to nothing.
    pub(super) given: oneshot::Receiver<Held>,
}

impl Offers {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, opening: &Arc<Opening>) -> Waiting<'_> {
        let (give, given) = oneshot::channel();
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back(Offer { number, opening: opening.clone(), give });
        Waiting { offers: self, number, given }
    }

    /// Whoever waits longest.
    pub(super) fn take(&self) -> Option<Offer> {
        self.queue().waiting.pop_front()
    }
}

impl Offer {
    pub(super) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Hands over a connection on which this mail was opened. One that nobody waits for any more is closed, because it is in the
    /// middle of a mail.
    pub(super) fn give(self, held: Held) {
        if let Err((connection, permit)) = self.give.send(held) {
            drop(connection);
            drop(permit);
        }
    }
}

impl Waiting<'_> {
    /// True: nobody took the offer, and nobody will.
    pub(super) fn withdraw(&self) -> bool {
        let mut queue = self.offers.queue();
        // They are numbered as they stand.
        let found = queue.waiting.binary_search_by_key(&self.number, |offer| offer.number);
        found.is_ok_and(|at| queue.waiting.remove(at).is_some())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}
