//! Erasure to its end: when a person was erased, the key is destroyed, whatever happened between the event and the key.
//!
//! The command that erases destroys the key itself right after its event, so this worker normally finds the key gone
//! already. It repairs what a crash or an outage cut off. Destroying a key twice changes nothing, so its place in the log
//! is only there to save time: without it everything is looked at again from the beginning.

use crate::{
    log_reader::LogReader,
    worker::{Stop, Worker},
};
use bus_schema::{
    AnyEvent, KeyId, Micros, StoredEvent, bus::Bus, catalog::Catalogued, crm::contact::ContactEvent, ids::Cell,
    keys::KeyDirectory, mail::suppression::SuppressionEvent, shop::order::OrderEvent, subject::Family, time::Clock,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after a key could not be destroyed.
const RETRY: Duration = Duration::from_secs(1);
/// The least time between two savings of the place.
const RHYTHM: Duration = Duration::from_secs(5);

/// Everything before here is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    cell: Cell,
    position: u64,
}

/// How long the command that erases has to destroy the key itself; both at once would do the work twice.
const GRACE: Duration = Duration::from_secs(5);

/// Starts the eraser of a cell; `place` is the file that keeps its position.
pub fn start(bus: Bus, keys: KeyDirectory, clock: Clock, place: PathBuf) -> Worker {
    Worker::start("eraser", |stop| run(bus, keys, clock, place, stop))
}

async fn run(bus: Bus, keys: KeyDirectory, clock: Clock, place: PathBuf, mut stop: Stop) {
    let start = begin(&bus, &place, &mut stop).await;
    let aggregates = [
        (ContactEvent::CONTEXT, ContactEvent::AGGREGATE),
        (OrderEvent::CONTEXT, OrderEvent::AGGREGATE),
        (SuppressionEvent::CONTEXT, SuppressionEvent::AGGREGATE),
    ];
    let mut reader = LogReader::new(bus.clone(), &aggregates, start + 1);
    let (mut done, mut saved, mut saved_at) = (start, start, Instant::now());
    while !stop.is_asked() {
        stop.pass().await;
        let batch = tokio::select! {
            batch = reader.next(PATIENCE) => batch,
            () = stop.asked() => break,
        };
        for event in &batch.events {
            let Some(key) = destroyed(event) else { continue };
            tokio::select! {
                () = tokio::time::sleep(grace(event.envelope.at, clock.now())) => {}
                () = stop.asked() => return,
            }
            while let Err(error) = keys.destroy(&event.subject.tenant, key).await {
                let tenant = &event.subject.tenant;
                tracing::error!(%error, %tenant, position = event.seq, "the key of an erased person is not destroyed yet");
                stop.status().failed(format!("the key named by event {} is not destroyed yet: {error}", event.seq));
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    // Not counted as done: the next start begins with it.
                    () = stop.asked() => return,
                }
            }
            stop.status().is_done();
        }
        batch.report(stop.status());
        done = batch.upto.unwrap_or(done);
        if done > saved && (saved_at.elapsed() >= RHYTHM || stop.is_asked()) {
            save(&place, &Place { cell: bus.cell().clone(), position: done }).await;
            (saved, saved_at) = (done, Instant::now());
        }
    }
    if done > saved {
        save(&place, &Place { cell: bus.cell().clone(), position: done }).await;
    }
}

/// What is left of the [`GRACE`] of an erasure.
fn grace(erased: Micros, now: Micros) -> Duration {
    let passed = now.0.saturating_sub(erased.0);
    GRACE.saturating_sub(Duration::from_micros(u64::try_from(passed).unwrap_or(0)))
}

/// The key an event says is to be destroyed.
pub(crate) fn destroyed(event: &StoredEvent) -> Option<KeyId> {
    // The kind is in the headers: only these few bodies are decoded.
    if !event.envelope.kind.ends_with("erased") {
        return None;
    }
    match event.decode() {
        Ok(Some(AnyEvent::Contact(ContactEvent::Erased(erased)))) => Some(erased.key),
        Ok(Some(AnyEvent::Order(OrderEvent::BuyerErased(erased)))) => Some(erased.key),
        Ok(Some(AnyEvent::Suppression(SuppressionEvent::AddressErased(erased)))) => Some(erased.key),
        Ok(_) => None,
        Err(error) => {
            let tenant = &event.subject.tenant;
            tracing::error!(%error, %tenant, position = event.seq, "an erasure cannot be read, its key may still be there");
            None
        }
    }
}

/// The saved place, unless it is of another log.
async fn begin(bus: &Bus, path: &Path, stop: &mut Stop) -> u64 {
    let saved = tokio::fs::read(path).await.ok().and_then(|bytes| serde_json::from_slice::<Place>(&bytes).ok());
    let Some(place) = saved.filter(|place| place.cell == *bus.cell()) else { return 0 };
    loop {
        match bus.last_seq(Family::Events).await {
            // A log that is shorter was restored from further back: what it does not have may come again differently.
            Ok(last) => return if place.position <= last { place.position } else { 0 },
            Err(error) => tracing::warn!(%error, "the eraser waits for the log"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.asked() => return place.position,
        }
    }
}

async fn save(path: &Path, place: &Place) {
    let written = async {
        let beside = path.with_extension("new");
        tokio::fs::write(&beside, serde_json::to_vec(place)?).await?;
        tokio::fs::rename(&beside, path).await
    };
    if let Err(error) = written.await {
        tracing::warn!(%error, path = %path.display(), "the eraser's place cannot be saved; its next start takes longer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        Actor, Address, CommandId, Envelope, EventId, Subject, TenantId, crm::contact::ContactErased,
        crm::contact::ContactTagged, events::EventSet,
    };
    use bytes::Bytes;
    use uuid::Uuid;

    fn stored(event: ContactEvent) -> StoredEvent {
        let (cell, tenant) = (Cell::try_new("eu1").unwrap(), TenantId::try_new("demo").unwrap());
        let envelope = Envelope {
            event_id: EventId(Uuid::from_u128(1)),
            kind: event.kind().into(),
            schema: event.schema(),
            at: Micros(0),
            actor: Actor::Visitor,
            correlation: Uuid::nil(),
            cause: CommandId(Uuid::nil()),
            fingerprint: None,
            key: None,
            trace: None,
        };
        let subject = Subject::event(&cell, &tenant, Address::new("crm", "contact", Uuid::from_u128(2)));
        StoredEvent { seq: 7, subject, envelope, body: Bytes::from(event.encode().unwrap()) }
    }

    #[test]
    fn erasures_name_their_keys() {
        let key = KeyId(Uuid::from_u128(3));
        assert_eq!(destroyed(&stored(ContactEvent::Erased(ContactErased { key }))), Some(key));
        assert_eq!(destroyed(&stored(ContactEvent::Tagged(ContactTagged { tag: "erased".into() }))), None);
    }

    #[test]
    fn the_command_itself_comes_first() {
        assert_eq!(grace(Micros(1_000_000), Micros(1_000_000)), GRACE);
        assert_eq!(grace(Micros(1_000_000), Micros(2_500_000)), Duration::from_millis(3_500));
        assert_eq!(grace(Micros(1_000_000), Micros(60_000_000)), Duration::ZERO);
        assert_eq!(grace(Micros(1_000_000), Micros(0)), GRACE, "a clock that is behind");
    }

    #[tokio::test]
    async fn the_place_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eraser.json");
        let place = Place { cell: Cell::try_new("eu1").unwrap(), position: 9 };
        save(&path, &place).await;
        assert_eq!(serde_json::from_slice::<Place>(&std::fs::read(&path).unwrap()).unwrap(), place);
    }
}
