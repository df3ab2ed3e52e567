//! All views from the first event on, against reading the same events and writing the same rows.

use super::ratios;
use crate::{
    AnyError, Scale,
    contacts::Sample,
    log::Log,
    table::{Outcome, Reach, median},
};
use bus_schema::{
    CommandId, EventId, Micros, StoredEvent,
    bus::Outgoing,
    crm::contact::{ConsentGiven, ContactChanged, ContactEvent, ContactTagged, Purpose},
    events::EventSet,
    subject::Family,
};
use projectors::{
    Views,
    backend::{
        fjall::{FjallStore, Options},
        memory::MemoryStore,
    },
    catalog::projections,
    generation::Generation,
    lane::{self, Slot},
    read_store::{ReadStore, ReadStorePort, WriteBatch},
};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events a lane takes at once, so the rows of the ceiling are written in the same batches.
pub(super) const BATCH: usize = 2_000;
/// Events of one request to the log.
const PIECE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let (events, turns) = (scale.of(200_000, 40_000), scale.of(5, 3));
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    log.batches(mix(&sample, events)?, 500, 2).await?;
    let last = log.bus.last_seq(Family::Events).await?;
    let rows = rows(&log, last).await?;
    let (mut rebuilds, mut ceilings, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        let read = read(&log, last).await?;
        ceilings.push((read + write(rows.clone()).await?).as_secs_f64());
        reads.push(read.as_secs_f64());
        rebuilds.push(rebuild(&log, last).await?.as_secs_f64());
    }
    let ceiling = format!(
        "{:.2} s (reading {:.2}, {} rows)",
        median(&ceilings),
        median(&reads),
        rows.iter().map(|b| b.ops.len()).sum::<usize>()
    );
    let measured = format!("{:.2} s ({:.0} events/s)", median(&rebuilds), last as f64 / median(&rebuilds));
    let name = format!("rebuild of all views, {last} events");
    Ok(vec![Outcome::of(&name, measured, ceiling, &ratios(&rebuilds, &ceilings), Reach::AtMost(2.0))])
}

/// What happens to contacts: of twenty events eleven are new ones, five tags, two consents, two changes.
pub(super) fn mix(sample: &Sample, count: usize) -> Result<Vec<Outgoing>, AnyError> {
    let stored = sample.stored();
    let Some(ContactEvent::Created(created)) = ContactEvent::decode(&stored.envelope.kind, 1, &stored.body)? else {
        return Err("the sample is not a creation".into());
    };
    let evidence = serde_json::from_value(serde_json::to_value(&created.details)?)?;
    let tag = ContactTagged { tag: "customer".into() };
    let consent = ConsentGiven { purpose: Purpose::Marketing, evidence };
    let change = ContactChanged { details: created.details.clone(), home: created.home, import: None };
    let kinds: [ContactEvent; 4] = [created.into(), tag.into(), consent.into(), change.into()];
    let bodies = kinds.iter().map(EventSet::encode).collect::<Result<Vec<_>, _>>()?;
    let mut contacts: Vec<Uuid> = Vec::new();
    let message = |number: usize| {
        let what = match number % 20 {
            0..11 => 0,
            11..16 => 1,
            16..18 => 2,
            _ => 3,
        };
        let event = CommandId::random().0;
        // Later events concern contacts from near and far.
        let id = match (what, contacts.len()) {
            (0, _) | (_, 0) => event,
            (_, known) => contacts[(number * 7_919) % known],
        };
        if what == 0 {
            contacts.push(id);
        }
        let mut envelope = stored.envelope.clone();
        (envelope.event_id, envelope.cause) = (EventId(event), CommandId(event));
        envelope.kind = kinds[what].kind().to_owned();
        envelope.at = Micros(envelope.at.0 + number as i64);
        let body = bodies[what].clone().into();
        Outgoing { subject: sample.subject(id).to_string(), envelope: Some(envelope), body, expect: None }
    };
    Ok((0..count).map(message).collect())
}

/// Reads every event the way a lane does, without doing anything.
async fn read(log: &Log, last: u64) -> Result<Duration, AnyError> {
    let began = Instant::now();
    let mut source = log.bus.follow(Family::Events, 1, Vec::new()).await?;
    let mut at = 0;
    while at < last {
        let batch = source.next_batch(BATCH, PATIENCE).await?;
        at = batch.iter().flatten().map(|event: &StoredEvent| event.seq).max().ok_or("the log ended early")?;
    }
    Ok(began.elapsed())
}

/// The row batches the views make of the whole log.
pub(super) async fn rows(log: &Log, last: u64) -> Result<Vec<WriteBatch>, AnyError> {
    let store = ReadStore::Memory(MemoryStore::new());
    let generation = |view: &str, version| Generation { view: view.to_owned(), version, number: 0 };
    let slots: Vec<Slot> = projections()
        .into_iter()
        .filter(|view| view.family() == Family::Events)
        .map(|view| Slot::new(view.clone(), generation(view.name(), view.version()), 0))
        .collect();
    let (mut batches, mut at) = (Vec::new(), 0);
    while at < last {
        let mut events = Vec::new();
        while events.len() < BATCH && at < last {
            let piece = log.bus.read_filtered(Family::Events, ">", at + 1, PIECE).await?;
            at += piece.events.len() as u64;
            events.extend(piece.events.into_iter().map(Ok));
        }
        let mut whole = WriteBatch::default();
        for slot in &slots {
            let batch = lane::changes(&store, slot, log.cell.as_str(), events.clone()).await?;
            whole.ops.extend(batch.ops);
            whole.marks.extend(batch.marks);
        }
        store.write(whole.clone()).await?;
        batches.push(whole);
    }
    Ok(batches)
}

/// Writes the batches into a fresh store.
async fn write(batches: Vec<WriteBatch>) -> Result<Duration, AnyError> {
    let folder = tempfile::tempdir()?;
    let store = FjallStore::open(folder.path(), Options::default()).await?;
    let began = Instant::now();
    for batch in batches {
        store.write(batch).await?;
    }
    Ok(began.elapsed())
}

/// Lets the platform's own views catch up from nothing in a fresh store.
pub(super) async fn rebuild(log: &Log, last: u64) -> Result<Duration, AnyError> {
    let folder = tempfile::tempdir()?;
    let store = ReadStore::Fjall(FjallStore::open(folder.path(), Options::default()).await?);
    let views = Views::open(log.cell.clone(), store, projections()).await?;
    let followed: Vec<_> = projections().into_iter().filter(|view| view.family() == Family::Events).collect();
    let began = Instant::now();
    views.start(log.bus.clone());
    for view in &followed {
        views.wait(view.name(), last, Duration::from_secs(300)).await?;
    }
    let took = began.elapsed();
    // A lane ends when its views are retired.
    for view in projections() {
        views.serving(view.name())?.retire();
    }
    Ok(took)
}
