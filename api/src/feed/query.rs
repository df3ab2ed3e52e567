//! What a feed request asks for.

use crate::{
    app::App,
    history::AsOf,
    http::{
        codes::field,
        problem::{FieldError, Problem},
    },
};
use axum::http::{HeaderMap, header};
use bus_schema::{
    StoredEvent, TenantId,
    catalog::{AGGREGATES, AggregateSpec},
    subject::{Family, is_token},
};
use percent_encoding::percent_decode_str;
use std::collections::BTreeSet;

/// In which form the events leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Page,
    Ndjson,
    ServerSentEvents,
}

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct FeedQuery {
    pub(super) form: Form,
    pub(super) family: Family,
    pub(super) follow: bool,
    pub(super) limit: Option<usize>,
    from: Option<AsOf>,
    /// Exclusive start, for resuming.
    since: Option<AsOf>,
    to: Option<AsOf>,
    context: Option<String>,
    aggregate: Option<String>,
    id: Option<String>,
    kinds: Vec<String>,
}

/// First position, and last one for a bounded read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) to: Option<u64>,
}

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Seconds by which the clocks of writers and of the log may differ.
const CLOCKS: i64 = 60;

impl FeedQuery {
    pub(super) fn parse(raw: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let form = if accept.contains("text/event-stream") {
            Form::ServerSentEvents
        } else if accept.contains("ndjson") {
            Form::Ndjson
        } else {
            Form::Page
        };
        let mut query = Self {
            form,
            family: Family::Events,
            follow: false,
            limit: None,
            from: None,
            since: None,
            to: None,
            context: None,
            aggregate: None,
            id: None,
            kinds: Vec::new(),
        };
        let mut errors = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            if let Err(error) = query.parameter(name, value) {
                errors.push(error);
            }
        }
        // A client that comes back names the last event it has.
        if let Some(last) = headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
            query.since = Some(AsOf::parse(last)?);
        }
        if form == Form::ServerSentEvents {
            query.follow = true;
        }
        if form == Form::Page {
            query.limit = Some(query.limit.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE));
        }
        if errors.is_empty() { Ok(query) } else { Err(Problem::parameters(errors)) }
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<(), FieldError> {
        let wrong = |message: &str| FieldError::new(name, field::INVALID_PARAMETER, message);
        let point = |value: &str| AsOf::parse(value).map_err(|_| wrong("a position (eu1:48213) or a time is expected"));
        let token = |value: String| {
            if is_token(&value) { Ok(Some(value)) } else { Err(wrong("letters, digits, '-' and '_' are expected")) }
        };
        match name {
            "from" => self.from = Some(point(&value)?),
            "since" => self.since = Some(point(&value)?),
            "to" => self.to = Some(point(&value)?),
            "context" => self.context = token(known(name, value, |spec| vec![spec.context])?)?,
            "aggregate" => self.aggregate = token(known(name, value, |spec| vec![spec.aggregate])?)?,
            "id" => self.id = token(value)?,
            "kind" => {
                let kinds = value.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned);
                let of = |spec: &AggregateSpec| spec.kinds.iter().map(|kind| kind.kind).collect();
                self.kinds = kinds.map(|kind| known(name, kind, of)).collect::<Result<_, _>>()?;
            }
            "family" if value == "events" => self.family = Family::Events,
            "family" if value == "facts" => self.family = Family::Facts,
            "family" => return Err(wrong("events or facts is expected")),
            "follow" => self.follow = value.parse().map_err(|_| wrong("true or false is expected"))?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit > 0);
                self.limit = Some(limit.ok_or_else(|| wrong("a number from 1 on is expected"))?);
            }
            _ => {
                let allowed =
                    ["from", "since", "to", "context", "aggregate", "id", "kind", "family", "follow", "limit"];
                return Err(FieldError::new(name, field::UNKNOWN_PARAMETER, "this parameter does not exist here")
                    .allowing(allowed));
            }
        }
        Ok(())
    }

    /// The scope the request needs: that of the aggregate named, or of everything.
    pub(super) fn scope(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".into());
        match (&self.context, &self.aggregate) {
            (None, _) => "*.*:read".into(),
            (context, aggregate) => format!("{}.{}:read", part(context), part(aggregate)),
        }
    }

    /// The subjects to read. The tenant is the caller's, never the request's.
    pub(super) fn filter(&self, app: &App, tenant: &TenantId) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".into());
        let start = self.family.filter(&app.cell, Some(tenant));
        match (&self.context, &self.aggregate, &self.id) {
            (None, None, None) => start,
            (context, aggregate, id) => {
                start.trim_end_matches('>').to_owned() + &[part(context), part(aggregate), part(id)].join(".")
            }
        }
    }

    pub(super) fn wants(&self, event: &StoredEvent) -> bool {
        let at = event.envelope.at;
        let after = |point: Option<AsOf>| !matches!(point, Some(AsOf::Time(time)) if at < time);
        let before = |point: Option<AsOf>| !matches!(point, Some(AsOf::Time(time)) if at > time);
        let kind = self.kinds.is_empty() || self.kinds.contains(&event.envelope.kind);
        kind && after(self.since.or(self.from)) && before(self.to)
    }

    /// How positions of this feed are written.
    pub(super) fn cell(&self, app: &App) -> String {
        projectors::lane::mark_cell(self.family, &app.cell)
    }

    pub(super) async fn range(&self, app: &App, tenant: &TenantId) -> Result<Range, Problem> {
        let filter = self.filter(app, tenant);
        let from = match (self.since, self.from) {
            (Some(AsOf::Position(position)), _) => position + 1,
            (None, Some(AsOf::Position(position))) => position.max(1),
            (Some(AsOf::Time(time)), _) | (None, Some(AsOf::Time(time))) => {
                // What happened at a time was stored then or later; clocks may differ a little.
                app.bus.first_stored(self.family, &filter, time.plus_seconds(-CLOCKS)).await?
            }
            (None, None) => 1,
        };
        // History may be brought in at any time later, so a time ends nothing by itself: the log does.
        let to = match self.to {
            Some(AsOf::Position(position)) => Some(position),
            Some(AsOf::Time(_)) if self.follow => None,
            Some(AsOf::Time(_)) => {
                Some(app.bus.last_seq(self.family).await.map_err(|error| Problem::unavailable(&error, 2))?)
            }
            None => None,
        };
        Ok(Range { from, to })
    }
}

/// A name of the catalogue. One that nothing has would find nothing, and a slip of the pen would look like an empty log.
fn known(
    parameter: &str,
    value: String,
    names: impl Fn(&AggregateSpec) -> Vec<&'static str>,
) -> Result<String, FieldError> {
    let all: BTreeSet<&str> = AGGREGATES.iter().flat_map(names).collect();
    if all.contains(value.as_str()) {
        return Ok(value);
    }
    let message = format!("there is no {parameter} of this name");
    Err(FieldError::new(parameter, field::INVALID_PARAMETER, message).allowing(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_nothing_has_is_no_empty_feed() {
        let parse = |raw| FeedQuery::parse(raw, &HeaderMap::new());
        for good in
            ["", "context=crm&aggregate=contact&kind=contact.created,contact.erased", "kind=order.paid", "kind="]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["context=crn", "context=crm&aggregate=contacts", "kind=order.payed", "kind=order.paid,nope"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
