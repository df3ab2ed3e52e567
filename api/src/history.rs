//! A record's history and its state as of any time or position, read from the log itself.

use crate::{
    app::App,
    http::{
        codes::field,
        problem::{FieldError, Problem},
    },
};
use axum::Json;
use bus_schema::{
    Address, KeyId, Keyring, Micros, StoredEvent, Subject, TenantId, catalog::Catalogued, sealed::revealing,
};
use projectors::{Happening, Record, RecordView, record_view::fold_record};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An event as callers see it: sealed values open, or `{"erased": true}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventJson {
    /// `cell:position` in the log.
    pub position: String,
    pub id: Uuid,
    #[schema(example = "contact.created")]
    pub kind: String,
    pub schema: u16,
    /// RFC 3339.
    pub at: String,
    #[schema(example = "account:0198c0de-0000-7000-8000-000000000001")]
    pub actor: String,
    pub correlation: Uuid,
    /// The command that caused it.
    pub cause: Uuid,
    pub context: String,
    pub aggregate: String,
    pub aggregate_id: String,
    /// The body by field names; null for a kind this version does not know.
    pub data: Value,
}

/// Shows an event with the keys at hand.
pub fn event_json(event: &StoredEvent, keys: &Keyring) -> EventJson {
    let data = match event.decode() {
        Ok(Some(decoded)) => without_secrets(revealing(keys, || decoded.to_json())),
        Ok(None) => Value::Null,
        Err(error) => serde_json::json!({ "unreadable": error.to_string() }),
    };
    let (subject, envelope) = (&event.subject, &event.envelope);
    let cell = match subject.family {
        bus_schema::subject::Family::Events => subject.cell.to_string(),
        bus_schema::subject::Family::Facts => format!("fx.{}", subject.cell),
    };
    EventJson {
        position: format!("{cell}:{}", event.seq),
        id: envelope.event_id.0,
        kind: envelope.kind.clone(),
        schema: envelope.schema,
        at: envelope.at.to_string(),
        actor: envelope.actor.to_string(),
        correlation: envelope.correlation,
        cause: envelope.cause.0,
        context: subject.address.context.clone(),
        aggregate: subject.address.aggregate.clone(),
        aggregate_id: subject.address.id.clone(),
        data,
    }
}

/// The hash of a secret helps nobody who may read events; it is shown as sealed secrets are.
fn without_secrets(mut data: Value) -> Value {
    if let Some(hash) = data.get_mut("secret_hash") {
        *hash = serde_json::json!({ "secret": true });
    }
    data
}

/// The keys that open some events.
pub async fn keys_of(app: &App, tenant: &TenantId, events: &[StoredEvent]) -> Result<Keyring, Problem> {
    let needed: Vec<KeyId> = events.iter().filter_map(|event| event.envelope.key).collect();
    Ok(app.keys.load(tenant, &needed).await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    #[serde(default = "default_limit")]
    limit: usize,
    /// Position of the last event of the previous page.
    after: Option<u64>,
    #[serde(rename = "wait_ms")]
    _wait_ms: Option<u64>,
}

fn default_limit() -> usize {
    50
}

/// A page of a record's events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryPage {
    pub items: Vec<EventJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn subject_of<V: RecordView>(app: &App, tenant: &TenantId, id: Uuid) -> Subject {
    Subject::event(&app.cell, tenant, Address::new(V::Event::CONTEXT, V::Event::AGGREGATE, id))
}

pub async fn page<V: RecordView>(
    app: &App,
    tenant: &TenantId,
    id: Uuid,
    noun: &str,
    query: &HistoryQuery,
) -> Result<Json<HistoryPage>, Problem> {
    let limit = query.limit.clamp(1, 200);
    let subject = subject_of::<V>(app, tenant, id);
    let from = query.after.unwrap_or(0) + 1;
    let piece = app.bus.read_filtered(subject.family, &subject.to_string(), from, limit + 1).await?;
    let mut events = piece.events;
    if events.is_empty() && query.after.is_none() {
        return Err(Problem::not_found(noun));
    }
    let more = piece.more || events.len() > limit;
    events.truncate(limit);
    let keys = keys_of(app, tenant, &events).await?;
    let next = events.last().filter(|_| more).map(|event| event.seq.to_string());
    Ok(Json(HistoryPage { items: events.iter().map(|event| event_json(event, &keys)).collect(), next }))
}

/// A point of the past: a position of the log or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    Position(u64),
    Time(Micros),
}

impl AsOf {
    /// `eu1:48213`, `48213` or RFC 3339.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let position = text.rsplit_once(':').map_or(text, |(_, position)| position);
        if !text.contains('T')
            && let Ok(position) = position.parse()
        {
            return Ok(Self::Position(position));
        }
        Micros::parse(text).map(Self::Time).ok_or_else(|| {
            let message = "a position such as eu1:48213 or a time such as 2026-01-31T12:00:00Z is expected";
            Problem::parameters(vec![FieldError::new("as_of", field::INVALID_AS_OF, message)])
        })
    }

    /// The position it names, when it names one.
    pub fn position(self) -> Option<u64> {
        match self {
            Self::Position(position) => Some(position),
            Self::Time(_) => None,
        }
    }

    pub fn includes(self, event: &StoredEvent) -> bool {
        match self {
            Self::Position(position) => event.seq <= position,
            Self::Time(time) => event.envelope.at <= time,
        }
    }
}

/// A record as it was. Reading the past obeys today's rights: the caller has been checked like for the present.
pub async fn as_of<V: RecordView>(
    app: &App,
    tenant: &TenantId,
    id: Uuid,
    as_of: &str,
) -> Result<Option<Record<V::Row>>, Problem> {
    let as_of = AsOf::parse(as_of)?;
    let subject = subject_of::<V>(app, tenant, id);
    let mut record = None;
    for stored in app.bus.read_subject(subject.family, &subject.to_string(), 0).await? {
        if !as_of.includes(&stored) {
            break;
        }
        let decoded = stored.decode().map_err(|error| Problem::fault(&error))?;
        if let Some(event) = decoded.as_ref().and_then(V::Event::from_any) {
            let (seq, at, actor) = (stored.seq, stored.envelope.at, stored.envelope.actor.clone());
            record = fold_record::<V>(record, event, &Happening { id, seq, at, actor });
        }
    }
    Ok(record)
}
