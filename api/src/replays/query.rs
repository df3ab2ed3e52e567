//! Asking a replay: the live list's filter and sort, evaluated over the scratch records.

use super::find;
use crate::{
    app::App,
    caller::Caller,
    http::{
        list::ListQuery,
        problem::{FieldError, Problem},
    },
    listing::ListPage,
    resource::{Resource, collection, read_scope},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use bus_schema::KeyId;
use futures::future::BoxFuture;
use projectors::{
    RecordView,
    replay::Replay,
    search::{FieldValue, Filter, literal::Variables},
};
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap};
use uuid::Uuid;

/// Records looked at by one question at most.
const MOST: usize = 200_000;
const PIECE: usize = 500;

/// A collection that can be replayed.
pub struct Replayable {
    collection: &'static str,
    scope: String,
    spec: &'static crate::http::list::ListSpec,
    live_only: &'static [&'static str],
    ask: for<'a> fn(&'a App, &'a Replay, &'a ListQuery) -> Asked<'a>,
}

/// The matching items and how many match in all.
type Asked<'a> = BoxFuture<'a, Result<(Vec<Value>, u64), Problem>>;

impl Replayable {
    pub fn of<R: Resource>() -> Self {
        let (collection, scope) = (collection::<R>(), read_scope::<R>());
        Self { collection, scope, spec: &R::LIST, live_only: R::LIVE_ONLY, ask: ask::<R> }
    }
}

pub(super) async fn records(
    app: &App,
    caller: &Caller,
    id: Uuid,
    query: Option<&str>,
    replayable: &[Replayable],
) -> Result<Response, Problem> {
    let running = find(app, caller, id)?;
    let found = replayable.iter().find(|replayable| replayable.collection == running.view);
    let replayable = found.ok_or_else(|| Problem::not_found("collection of this replay"))?;
    caller.allow(&replayable.scope)?;
    if !running.is_done() {
        return Err(Problem::overloaded("the replay is not done yet; ask its status", 1));
    }
    let variables = Variables { now: app.clock.now().0, current_user: Some(caller.principal()) };
    let list = ListQuery::try_parse(query, replayable.spec, &variables)?;
    if list.after.is_some() || list.search.is_some() || !list.facets.is_empty() {
        let message = "a replay takes filter, sort, fields and limit; ask the live list for the rest";
        return Err(Problem::parameters(vec![FieldError::new("", "not_for_replays", message)]));
    }
    let sorted = || list.sort.iter().find_map(|key| replayable.live_only.iter().find(|name| **name == key.field));
    if let Some(field) = list.filter.first_of(replayable.live_only).or_else(|| sorted().copied()) {
        let message = format!("{field} is made of other records too; only the live list knows it");
        return Err(Problem::parameters(vec![FieldError::new(field, "not_for_replays", message)]));
    }
    let (mut items, total) = (replayable.ask)(app, &running.replay, &list).await?;
    items.iter_mut().for_each(|item| list.fields.apply(item));
    Ok(Json(ListPage { items, next: None, total: Some(total), facets: BTreeMap::new() }).into_response())
}

type Ranked = (Vec<Option<FieldValue>>, Uuid, Value);

fn ask<'a, R: Resource>(app: &'a App, replay: &'a Replay, list: &'a ListQuery) -> Asked<'a> {
    Box::pin(async move {
        let filter = &list.filter;
        let (mut kept, mut total, mut looked): (Vec<Ranked>, u64, usize) = (Vec::new(), 0, 0);
        let mut after: Option<String> = None;
        loop {
            let page = replay.reader().newest::<R::View>(replay.tenant(), after.as_deref(), PIECE).await?;
            looked += page.records.len();
            let needed: Vec<KeyId> = page.records.iter().flat_map(|(_, record)| R::View::keys(&record.row)).collect();
            let keys = app.keys.load(replay.tenant(), &needed).await?;
            for (id, record) in &page.records {
                let document = R::View::document(replay.tenant(), *id, record, &keys);
                let fields = document.map(|document| document.fields).unwrap_or_default();
                if *filter != Filter::All && !filter.matches(&fields) {
                    continue;
                }
                total += 1;
                let rank = |key: &crate::http::list::SortKey| {
                    fields.iter().find(|(name, _)| *name == key.field).map(|(_, value)| value.clone())
                };
                let shown = serde_json::to_value(R::present_in(replay.tenant(), *id, record, &keys));
                let shown = shown.map_err(|error| Problem::fault(&error))?;
                kept.push((list.sort.iter().map(rank).collect(), *id, shown));
            }
            if kept.len() > 4 * list.limit.max(PIECE) {
                order(&mut kept, list);
            }
            after = page.next;
            if after.is_none() || looked >= MOST {
                break;
            }
        }
        order(&mut kept, list);
        Ok((kept.into_iter().map(|(_, _, shown)| shown).collect(), total))
    })
}

/// Sorts and keeps the page. Missing values come last in either direction, like in the live list.
fn order(kept: &mut Vec<Ranked>, list: &ListQuery) {
    kept.sort_by(|one, other| {
        for (key, (a, b)) in list.sort.iter().zip(one.0.iter().zip(&other.0)) {
            let ordering = match (a, b) {
                (Some(a), Some(b)) if key.descending => compare(b, a),
                (Some(a), Some(b)) => compare(a, b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        one.1.cmp(&other.1)
    });
    kept.truncate(list.limit);
}

fn compare(a: &FieldValue, b: &FieldValue) -> Ordering {
    use FieldValue::{Bool, I64, Str, Time};
    match (a, b) {
        (Str(a), Str(b)) => a.to_lowercase().cmp(&b.to_lowercase()).then_with(|| a.cmp(b)),
        (I64(a) | Time(a), I64(b) | Time(b)) => a.cmp(b),
        (Bool(a), Bool(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
