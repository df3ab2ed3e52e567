//! Reading the feed in pieces, so that no answer is ever whole in memory.

use super::query::{FeedQuery, Range};
use crate::{
    app::App,
    caller::Caller,
    history::{event_json, keys_of},
    http::problem::Problem,
};
use axum::{
    body::Body,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bus_schema::{
    StoredEvent, TenantId,
    bus::{Follow, Piece},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::{convert::Infallible, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// Events read from the log at once.
const PIECE: usize = 500;

/// One page: its events, the position to go on from, and whether there is more.
pub(super) async fn page(
    app: &App,
    tenant: &TenantId,
    query: &FeedQuery,
    range: Range,
) -> Result<(Vec<StoredEvent>, u64, bool), Problem> {
    let limit = query.limit.unwrap_or(PIECE);
    let mut events = Vec::new();
    let mut next = range.from;
    loop {
        let piece = piece(app, tenant, query, next, range.to).await?;
        for event in piece.events {
            if events.len() == limit {
                return Ok((events, next - 1, true));
            }
            next = event.seq + 1;
            if query.wants(&event) {
                events.push(event);
            }
        }
        next = piece.next;
        if !piece.more {
            return Ok((events, next - 1, false));
        }
    }
}

async fn piece(app: &App, tenant: &TenantId, query: &FeedQuery, from: u64, to: Option<u64>) -> Result<Piece, Problem> {
    let filter = query.filter(app, tenant);
    let mut piece = app.bus.read_filtered(query.family, &filter, from, PIECE).await?;
    if let Some(to) = to.filter(|to| piece.next > *to) {
        piece.events.retain(|event| event.seq <= to);
        (piece.next, piece.more) = (from.max(to + 1), false);
    }
    Ok(piece)
}

/// Where a stream of pieces stands.
struct Reader {
    app: App,
    caller: Caller,
    query: FeedQuery,
    range: Range,
    sent: usize,
    /// Everything stored has been sent; from here on the log is followed.
    live: Option<Follow>,
    done: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    async fn open(app: App, caller: Caller, query: FeedQuery, range: Range) -> Result<Self, Problem> {
        let place = if query.follow {
            let place = app.followers().try_acquire_owned();
            Some(place.map_err(|_| Problem::overloaded("too many feeds follow the log; try again later", 5))?)
        } else {
            None
        };
        Ok(Self { app, caller, query, range, sent: 0, live: None, done: false, _place: place })
    }

    /// The next events, empty at a pause of a following feed; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, Problem> {
        if self.done {
            return Ok(None);
        }
        let events = if self.live.is_some() {
            // Rights may have been taken away while the feed was open.
            self.caller.still_valid(&self.app).await?;
            let events = self.follow().await?;
            self.range.from = events.last().map_or(self.range.from, |event| event.seq + 1);
            events
        } else {
            let piece = piece(&self.app, &self.caller.tenant, &self.query, self.range.from, self.range.to).await?;
            self.range.from = piece.next;
            if !piece.more {
                if self.query.follow {
                    let filter = vec![self.query.filter(&self.app, &self.caller.tenant)];
                    self.live = Some(self.app.bus.follow(self.query.family, piece.next, filter).await?);
                } else {
                    self.done = true;
                }
            }
            piece.events
        };
        let mut wanted: Vec<StoredEvent> = events.into_iter().filter(|event| self.query.wants(event)).collect();
        if let Some(limit) = self.query.limit {
            wanted.truncate(limit - self.sent);
            self.sent += wanted.len();
            self.done |= self.sent == limit;
        }
        if self.range.to.is_some_and(|to| self.range.from > to) {
            self.done = true;
        }
        Ok(Some(wanted))
    }

    async fn follow(&mut self) -> Result<Vec<StoredEvent>, Problem> {
        let Some(live) = &mut self.live else { return Ok(Vec::new()) };
        let batch = live.next_batch(PIECE, Duration::from_secs(10)).await?;
        let to = self.range.to.unwrap_or(u64::MAX);
        Ok(batch.into_iter().filter_map(Result::ok).filter(|event| event.seq <= to).collect())
    }

    async fn lines(&mut self) -> Result<Option<Vec<(String, String)>>, Problem> {
        let Some(events) = self.next().await? else { return Ok(None) };
        let keys = keys_of(&self.app, &self.caller.tenant, &events).await?;
        let line = |event: &StoredEvent| {
            let json = event_json(event, &keys);
            let text = serde_json::to_string(&json).unwrap_or_default();
            (json.position, text)
        };
        Ok(Some(events.iter().map(line).collect()))
    }
}

/// One event a line. A fault after the beginning ends the answer in the middle: the client goes on from what it has.
pub(super) async fn ndjson(app: App, caller: Caller, query: FeedQuery, range: Range) -> Result<Body, Problem> {
    let reader = Reader::open(app, caller, query, range).await?;
    let pieces = stream::try_unfold(reader, |mut reader| async move {
        let lines = reader.lines().await.map_err(|problem| std::io::Error::other(problem.detail().to_owned()))?;
        Ok::<_, std::io::Error>(lines.map(|lines| {
            let text: String = lines.into_iter().flat_map(|(_, line)| [line, "\n".to_owned()]).collect();
            (Bytes::from(text), reader)
        }))
    });
    Ok(Body::from_stream(pieces.try_filter(|piece| std::future::ready(!piece.is_empty()))))
}

/// Server-sent events: the id is the position, the event's name its kind.
pub(super) async fn sse(app: App, caller: Caller, query: FeedQuery, range: Range) -> Result<Response, Problem> {
    let reader = Reader::open(app, caller, query, range).await?;
    Ok(Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    let pieces = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.lines().await {
            Ok(Some(lines)) => {
                let events: Vec<_> =
                    lines.into_iter().map(|(position, line)| Ok(Event::default().id(position).data(line))).collect();
                Some((events, Some(reader)))
            }
            Ok(None) => None,
            Err(problem) => {
                let event = Event::default().event("error").data(problem.detail());
                Some((vec![Ok(event)], None))
            }
        }
    });
    pieces.flat_map(stream::iter)
}
