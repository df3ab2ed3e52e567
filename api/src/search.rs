//! `GET /v1/search`: one question over every collection the caller may read.

use crate::{
    app::App,
    caller::Caller,
    http::{
        list::{ListQuery, ListSpec},
        literal::Variables,
        problem::Problem,
        token::Consistency,
    },
    listing::{ListPage, leave_out, search_query},
    resource::{Resource, read_scope},
};
use axum::{
    Json, Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const SPEC: ListSpec = ListSpec { searchable: true, extra: &["in"], ..ListSpec::NOTHING };

/// A collection that can be found: how to read and show some of its records.
pub struct Findable {
    pub collection: &'static str,
    scope: String,
    fetch: for<'a> fn(&'a App, &'a Caller, &'a [Uuid]) -> Fetched<'a>,
}

/// Records as callers see them, by id.
type Fetched<'a> = BoxFuture<'a, Result<HashMap<Uuid, Value>, Problem>>;

impl Findable {
    pub fn of<R: Resource>() -> Self {
        Self { collection: crate::resource::collection::<R>(), scope: read_scope::<R>(), fetch: fetch::<R> }
    }
}

fn fetch<'a, R: Resource>(app: &'a App, caller: &'a Caller, ids: &'a [Uuid]) -> Fetched<'a> {
    Box::pin(async move {
        let records = app.views.records::<R::View>(&caller.tenant, ids).await?;
        let found: Vec<_> = ids.iter().copied().zip(records).filter_map(|(id, r)| Some((id, r?))).collect();
        let mut shown = app.present::<R>(&caller.tenant, &found).await?;
        shown.iter_mut().for_each(|record| R::LARGE.iter().for_each(|member| leave_out(record, member)));
        Ok(found.into_iter().map(|(id, _)| id).zip(shown).collect())
    })
}

pub fn routes(findable: Vec<Findable>) -> Router<App> {
    let findable = std::sync::Arc::new(findable);
    let handler = move |State(app): State<App>, caller: Caller, consistency: Consistency, RawQuery(query): RawQuery| {
        let findable = findable.clone();
        async move { search(&app, &caller, &consistency, query.as_deref(), &findable).await }
    };
    Router::new().route("/v1/search", get(handler))
}

async fn search(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    query: Option<&str>,
    findable: &[Findable],
) -> Result<Response, Problem> {
    let variables = Variables { now: app.clock.now().0, current_user: Some(caller.principal()) };
    let list = ListQuery::try_parse(query, &SPEC, &variables)?;
    let wanted = list.extra.iter().find(|(name, _)| name == "in").map(|(_, value)| value.clone());
    let asked = |findable: &&Findable| {
        wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|name| name == findable.collection))
    };
    let allowed: Vec<&Findable> =
        findable.iter().filter(asked).filter(|findable| caller.allow(&findable.scope).is_ok()).collect();
    if allowed.is_empty() {
        return Err(Problem::forbidden("*.*:read"));
    }
    app.settle_search(consistency, list.wait).await?;
    let question = search_query(caller, &list, allowed.iter().map(|f| f.collection.to_owned()).collect())?;
    let hits = app.search.index().search(question).await?;
    let mut shown: HashMap<(&str, Uuid), Value> = HashMap::new();
    for findable in allowed {
        let mine = hits.ids.iter().filter(|hit| hit.collection == findable.collection);
        let ids: Vec<Uuid> = mine.filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
        if !ids.is_empty() {
            let records = (findable.fetch)(app, caller, &ids).await?;
            shown.extend(records.into_iter().map(|(id, value)| ((findable.collection, id), value)));
        }
    }
    let item = |hit: &projectors::search::Hit| {
        let id = Uuid::parse_str(&hit.id).ok()?;
        let record = shown.get(&(hit.collection.as_str(), id))?;
        Some(serde_json::json!({ "collection": hit.collection, "score": hit.score, "record": record }))
    };
    let items = hits.ids.iter().filter_map(item).collect();
    let next = hits.next.map(|next| next.to_string());
    Ok(Json(ListPage { items, next, total: hits.total, facets: BTreeMap::new() }).into_response())
}
