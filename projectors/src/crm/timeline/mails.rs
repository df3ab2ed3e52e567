//! The mails of campaigns in the timelines of those who got them, or did not.

use super::{ENTRIES, TimelineEntry, encode, place};
use crate::projection::{ProjectionError, RowName, Rows};
use bus_schema::{Address, AnyEvent, Recorded};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const CHUNKS: &str = "chunks";
/// Ends that stand in a timeline. A deferred mail has its end later, and one that was not sent is nothing that happened.
const ENDS: [&str; 3] = ["accepted", "rejected", "unknown"];

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
    let kind = event.envelope.kind.as_str();
    let Value::Object(fields) = event.event.to_json() else { return Ok(()) };
    let list = |name: &str| fields.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if kind == "chunk.planned" {
        let ids = list("recipients").iter().filter_map(|id| Uuid::parse_str(id.as_str()?).ok());
        let bytes: Vec<u8> = ids.flat_map(Uuid::into_bytes).collect();
        rows.put(chunk(id), bytes);
        return Ok(());
    }
    let campaign = fields.get("campaign").and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok());
    let (Some(campaign), Some(recipients)) = (campaign, rows.get(&chunk(id))) else { return Ok(()) };
    let recipients: Vec<u8> = recipients.to_vec();
    let entries = match kind {
        "chunk.window_outcome" => list("outcomes"),
        "chunk.reconciled" => list("entries"),
        _ => return Ok(()),
    };
    for entry in entries {
        let Some(contact) = contact(&recipients, entry) else { continue };
        let Some((word, summary)) = told(kind, entry) else { continue };
        let entry = TimelineEntry {
            kind: format!("campaign.{word}"),
            at: event.envelope.at,
            actor: event.envelope.actor.clone(),
            context: "mail".to_owned(),
            aggregate: "campaign".to_owned(),
            id: campaign,
            summary,
        };
        rows.put(RowName::new(ENTRIES, contact.to_string(), place(event.seq)), encode(&entry)?);
    }
    Ok(())
}

fn contact(recipients: &[u8], entry: &Value) -> Option<Uuid> {
    let index = usize::try_from(entry.get("index")?.as_u64()?).ok()?;
    Uuid::from_slice(recipients.chunks_exact(16).nth(index)?).ok()
}

/// The word of the entry and what it shows, unless it is no end.
fn told(kind: &str, entry: &Value) -> Option<(&'static str, Map<String, Value>)> {
    let shown = |names: &[&str]| {
        names.iter().filter_map(|name| Some(((*name).to_owned(), entry.get(*name)?.clone()))).collect::<Map<_, _>>()
    };
    if kind == "chunk.reconciled" {
        let word = if entry.get("accepted") == Some(&json!(true)) { "accepted" } else { "not_accepted" };
        return Some((word, shown(&["proof"])));
    }
    let fate = entry.get("fate")?.as_str()?;
    let word = ENDS.into_iter().find(|end| *end == fate)?;
    Some((word, shown(&["cause", "provider"])))
}
