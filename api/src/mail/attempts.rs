//! `/v1/campaigns/{id}/recipients/{contact}`: everything that happened with one recipient, read from the log itself.

use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
    },
};
use axum::{Json, extract::State};
use bus_schema::{
    Micros, StoredEvent,
    catalog::Catalogued,
    mail::chunk::{ChunkEvent, Outcome},
    subject::Family,
};
use projectors::mail::recipients::SendState;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::{chunk::Chunk, recipients};

const READ: &str = "mail.campaign:read";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recipient))
}

/// One recipient of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipientHistory {
    pub contact: Uuid,
    /// `planned`, `attempting`, `accepted`, `rejected`, `deferred`, `unknown` or `skipped`.
    #[schema(example = "accepted")]
    pub state: &'static str,
    /// Oldest first.
    pub steps: Vec<RecipientStep>,
}

/// One thing that happened.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct RecipientStep {
    /// `cell:position` in the log.
    pub position: String,
    /// RFC 3339.
    pub at: String,
    /// `planned`; `attempting`: from here on it may have been sent; `accepted`, `rejected`, `deferred`, `unknown`, `skipped` or `unsent`:
    /// how an attempt ended; `reopened`: a person asked for another attempt; `reconciled`: it became known that the mail
    /// was taken; `denied`: that it was not.
    #[schema(example = "accepted")]
    pub what: &'static str,
    /// A stage and a code of the provider, why nothing was sent, or what the proof was.
    #[schema(example = "rcpt 450 4.2.1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Which provider it was, as the installation calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What the provider calls the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Of an attempt that is not the last: when the next may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
}

/// Everything that happened with one recipient of a campaign: every attempt with its time, its provider and how it ended. Needs
/// `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/recipients/{contact}", tag = "campaigns",
    params(("id" = Uuid, Path), ("contact" = Uuid, Path)), responses((status = 200, body = RecipientHistory),
    (status = 404, description = "There is no such recipient, or the audience is not found yet", body = ProblemDocument)))]
async fn recipient(
    State(app): State<App>,
    caller: Caller,
    Path((id, contact)): Path<(Uuid, Uuid)>,
) -> Result<Json<RecipientHistory>, Problem> {
    caller.allow(READ)?;
    let place = recipients::place(&app.writer, &caller.tenant, id, contact).await?;
    let place = place.ok_or_else(|| Problem::not_found("recipient"))?;
    let subject = app.writer.subject::<Chunk>(&caller.tenant, place.id).to_string();
    // A chunk has some dozens of events.
    let stored = app.bus.read_subject(Family::Events, &subject, 0).await?;
    let cell = app.cell.as_str();
    let steps: Vec<RecipientStep> = stored.iter().filter_map(|event| step(event, place.index, cell)).collect();
    let chunk = &place.chunk.state;
    let attempting = chunk.window().is_some_and(|window| window.indexes.contains(&place.index));
    let fate = chunk.standing().get(usize::from(place.index)).and_then(|standing| standing.fate);
    let state = if attempting { SendState::Attempting } else { fate.map_or(SendState::Planned, SendState::from) };
    Ok(Json(RecipientHistory { contact, state: state.as_str(), steps }))
}

fn step(stored: &StoredEvent, index: u16, cell: &str) -> Option<RecipientStep> {
    let event = stored.decode().ok()??;
    let (what, outcome) = what(ChunkEvent::from_any(&event)?, index)?;
    let Outcome { cause, provider, provider_id, retry_at, .. } = outcome.unwrap_or_else(|| nothing(index));
    Some(RecipientStep {
        position: format!("{cell}:{}", stored.seq),
        at: stored.envelope.at.to_string(),
        what,
        cause,
        provider,
        provider_id,
        retry_at: retry_at.map(|at: Micros| at.to_string()),
    })
}

fn nothing(index: u16) -> Outcome {
    Outcome::new(index, bus_schema::mail::chunk::Fate::Unsent)
}

/// What an event says of the recipient at this place, if anything.
fn what(event: &ChunkEvent, index: u16) -> Option<(&'static str, Option<Outcome>)> {
    use bus_schema::mail::chunk::Fate;
    match event {
        ChunkEvent::Planned(_) => Some(("planned", None)),
        ChunkEvent::WindowAttempting(window) => window.indexes.contains(&index).then_some(("attempting", None)),
        ChunkEvent::WindowOutcome(window) => {
            let outcome = window.outcomes.iter().find(|outcome| outcome.index == index)?;
            let word = match outcome.fate {
                Fate::Accepted => "accepted",
                Fate::Rejected => "rejected",
                Fate::Deferred => "deferred",
                Fate::Unknown => "unknown",
                Fate::Skipped => "skipped",
                Fate::Unsent => "unsent",
            };
            Some((word, Some(outcome.clone())))
        }
        ChunkEvent::Reopened(reopened) => {
            let mut indexes = reopened.deferred.iter().chain(&reopened.rejected).chain(&reopened.unknown);
            indexes.any(|reopened| *reopened == index).then_some(("reopened", None))
        }
        ChunkEvent::Reconciled(reconciled) => {
            let entry = reconciled.entries.iter().find(|entry| entry.index == index)?;
            let outcome = nothing(index).because(entry.proof.as_str());
            let outcome = Outcome { provider_id: entry.provider_id.clone(), ..outcome };
            Some((if entry.accepted { "reconciled" } else { "denied" }, Some(outcome)))
        }
        ChunkEvent::Claimed(_) | ChunkEvent::Done(_) => None,
    }
}
