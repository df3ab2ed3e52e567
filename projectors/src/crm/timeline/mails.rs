//! The mails of campaigns in the timelines of those who got them, or did not.

use super::{ENTRIES, TimelineEntry, encode, place};
use crate::projection::{ProjectionError, RowName, Rows};
use bus_schema::{
    Address, AnyEvent, Recorded,
    catalog::Catalogued,
    mail::chunk::{ChunkEvent, Fate, Outcome, Reconciled},
};
use serde_json::{Map, Value};
use uuid::Uuid;

const CHUNKS: &str = "chunks";

pub(super) fn follows(address: &Address) -> bool {
    (address.context.as_str(), address.aggregate.as_str()) == ("mail", "chunk")
}

fn chunk(id: Uuid) -> RowName {
    RowName::new(CHUNKS, id.to_string(), Vec::new())
}

/// Whose places an event names.
pub(super) fn reads(event: &Recorded<AnyEvent>) -> Option<RowName> {
    let address = &event.subject.address;
    let placed = matches!(event.envelope.kind.as_str(), "chunk.window_outcome" | "chunk.reconciled");
    address.uuid().filter(|_| placed && follows(address)).map(chunk)
}

pub(super) fn apply(id: Uuid, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
    let Some(domain) = ChunkEvent::from_any(&event.event) else { return Ok(()) };
    let told: Vec<(u16, Told)> = match domain {
        ChunkEvent::Planned(planned) => {
            let bytes: Vec<u8> = planned.recipients.iter().flat_map(|contact| contact.into_bytes()).collect();
            rows.put(chunk(id), bytes);
            return Ok(());
        }
        ChunkEvent::WindowOutcome(window) => {
            window.outcomes.iter().filter_map(|outcome| Some((outcome.index, end(outcome)?))).collect()
        }
        ChunkEvent::Reconciled(reconciled) => {
            reconciled.entries.iter().map(|entry| (entry.index, reconciliation(entry))).collect()
        }
        _ => return Ok(()),
    };
    let Some(recipients) = rows.get(&chunk(id)).map(|recipients| recipients.to_vec()) else { return Ok(()) };
    for (index, (word, summary)) in told {
        let contact = recipients.chunks_exact(16).nth(index.into()).and_then(|bytes| Uuid::from_slice(bytes).ok());
        let Some(contact) = contact else { continue };
        let entry = TimelineEntry {
            kind: format!("campaign.{word}"),
            at: event.envelope.at,
            actor: event.envelope.actor.clone(),
            context: "mail".to_owned(),
            aggregate: "campaign".to_owned(),
            id: domain.place().campaign,
            summary,
        };
        rows.put(RowName::new(ENTRIES, contact.to_string(), place(event.seq)), encode(&entry)?);
    }
    Ok(())
}

/// The word of an entry and what it shows.
type Told = (&'static str, Map<String, Value>);

/// How it ended, unless it is no end: a deferred mail has its end later, and one that was not sent is nothing that happened.
fn end(outcome: &Outcome) -> Option<Told> {
    let word = match outcome.fate {
        Fate::Accepted => "accepted",
        Fate::Rejected => "rejected",
        Fate::Unknown => "unknown",
        Fate::Deferred | Fate::Skipped | Fate::Unsent => return None,
    };
    let shown = [("cause", &outcome.cause), ("provider", &outcome.provider)];
    let shown = shown.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())));
    Some((word, shown.collect()))
}

fn reconciliation(entry: &Reconciled) -> Told {
    let word = if entry.accepted { "accepted" } else { "not_accepted" };
    (word, Map::from_iter([("proof".to_owned(), entry.proof.as_str().into())]))
}
