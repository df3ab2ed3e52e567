//! Finds the processes that are not done, and sets their timers again.
//!
//! The timers' stream is in no archive: what is in it follows from the processes' own streams. So at every start these are read
//! from the first one on that was not done at the last start, and whatever waits gets its timer. One that is set already is
//! replaced by the same; one whose deadline has passed fires at once, and its alarm is raised once (its command is known).

use super::{Fulfilments, JOB, NAME};
use crate::{place::Place, runtime::Failure, worker::Stop};
use bus_schema::{
    StoredEvent, TenantId,
    catalog::Catalogued,
    shop::fulfilment::{FulfilmentBook, FulfilmentEvent},
    subject::Family,
};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;
use writers::shop::fulfilment::Fulfilment;

const BATCH: usize = 500;
const PATIENCE: Duration = Duration::from_secs(1);

/// Processes that are not done, after some events.
#[derive(Default)]
struct Waiting(HashMap<(TenantId, Uuid), Known>);

/// What is known of one.
struct Known {
    /// The position of the first event that was read of it.
    first: u64,
    /// `None`: it began before, so its stream has to be read.
    book: Option<FulfilmentBook>,
}

impl Waiting {
    fn take(&mut self, (tenant, id): (TenantId, Uuid), seq: u64, event: &FulfilmentEvent) {
        let before = self.0.remove(&(tenant.clone(), id));
        let first = before.as_ref().map_or(seq, |known| known.first);
        let began_before = match &before {
            Some(known) => known.book.is_none(),
            None => !matches!(event, FulfilmentEvent::Started(_)),
        };
        let book = FulfilmentBook::after(before.and_then(|known| known.book), event).filter(|_| !began_before);
        if began_before || book.as_ref().is_some_and(|book| !book.is_settled()) {
            self.0.insert((tenant, id), Known { first, book });
        }
    }
}

fn read(event: &StoredEvent) -> Option<((TenantId, Uuid), FulfilmentEvent)> {
    // What a later version wrote is for its worker.
    let decoded = event.decode().ok().flatten()?;
    let event_of = FulfilmentEvent::from_any(&decoded)?.clone();
    Some(((event.subject.tenant.clone(), event.subject.address.uuid()?), event_of))
}

pub(super) async fn rearm(this: &Fulfilments, stop: &mut Stop) -> Result<usize, Failure> {
    let away = |error: &dyn std::fmt::Display| Failure::Later(format!("the log does not give its events: {error}"));
    let Some(mut place) = Place::open(this.place.clone(), &this.bus, stop).await else { return Ok(0) };
    let last = this.bus.last_seq(Family::Events).await.map_err(|error| away(&error))?;
    let (context, aggregate) = (FulfilmentEvent::CONTEXT, FulfilmentEvent::AGGREGATE);
    let filter = format!("{}.{}.*.{context}.{aggregate}.*", Family::Events.token(), this.bus.cell());
    let follow = this.bus.follow(Family::Events, place.position() + 1, vec![filter]).await;
    let mut events = follow.map_err(|error| away(&error))?;
    let mut waiting = Waiting::default();
    loop {
        let batch = events.next_batch(BATCH, PATIENCE).await.map_err(|error| away(&error))?;
        let end = batch.last().is_none_or(|event| event.as_ref().map_or(0, |event| event.seq) >= last);
        for event in batch.iter().flatten() {
            if let Some((key, decoded)) = read(event) {
                waiting.take(key, event.seq, &decoded);
            }
        }
        if end || stop.is_asked() {
            break;
        }
    }
    if stop.is_asked() {
        return Ok(0);
    }
    let (mut set, mut before) = (0, last);
    for ((tenant, id), known) in waiting.0 {
        let book = match known.book {
            Some(book) => Some(book),
            None => this.writer.load::<Fulfilment>(&tenant, id).await?.state.book().cloned(),
        };
        let Some(book) = book.filter(|book| !book.is_settled()) else { continue };
        before = before.min(known.first - 1);
        let armed = this.timers.set(&tenant, id, book.deadline).await;
        armed.map_err(|error| Failure::Later(format!("a timer of {NAME} is not set: {error}")))?;
        set += 1;
    }
    place.reached(before, true).await;
    tracing::debug!(worker = JOB.name, set, before, "timers are set again");
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        Currency, Micros, Money,
        shop::fulfilment::{CourseLine, FulfilmentStarted, LineEnrolled, LineRefunded},
    };

    const PRODUCT: Uuid = Uuid::from_u128(1);

    fn key(id: u128) -> (TenantId, Uuid) {
        (TenantId::try_new("acme").unwrap(), Uuid::from_u128(id))
    }

    fn started() -> FulfilmentEvent {
        let unit_price = Money::new(1, Currency::EUR);
        let line = CourseLine { product: PRODUCT, course: PRODUCT, quantity: 1, unit_price };
        FulfilmentStarted { contact: None, lines: vec![line], deadline: Micros(5) }.into()
    }

    fn enrolled() -> FulfilmentEvent {
        LineEnrolled { product: PRODUCT, enrolment: PRODUCT, round: 1 }.into()
    }

    #[test]
    fn who_is_done_is_forgotten_and_who_began_before_is_looked_at() {
        let mut waiting = Waiting::default();
        waiting.take(key(1), 3, &started());
        waiting.take(key(2), 4, &started());
        waiting.take(key(1), 5, &enrolled());
        // It was settled before the place, and has something to do again.
        let refunded = LineRefunded { product: PRODUCT, pieces: 1, deadline: Micros(9) };
        waiting.take(key(3), 6, &refunded.into());
        assert!(!waiting.0.contains_key(&key(1)));
        let known =
            |id| waiting.0.get(&key(id)).map(|known| (known.first, known.book.as_ref().map(|book| book.deadline)));
        assert_eq!(known(2), Some((4, Some(Micros(5)))));
        assert_eq!(known(3), Some((6, None)));
        let mut again = Waiting::default();
        again.take(key(1), 3, &started());
        again.take(key(1), 5, &enrolled());
        let refunded = LineRefunded { product: PRODUCT, pieces: 1, deadline: Micros(9) };
        again.take(key(1), 7, &refunded.into());
        // Its stream is read, because what was forgotten is not known any more.
        assert!(again.0[&key(1)].book.is_none());
    }
}
