//! `GET /v1/search`: one question over every collection the caller may read.

use crate::{
    app::App,
    caller::Caller,
    describe,
    http::{
        list::{ListQuery, ListSpec},
        problem::Problem,
        token::Consistency,
    },
    listing::{ListPage, leave_out, search_query},
    resource::{Resource, collection, read_scope},
};
use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use projectors::search::literal::Variables;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

const SPEC: ListSpec = ListSpec { searchable: true, extra: &["in"], ..ListSpec::NOTHING };

/// A collection that can be found: how to read and show some of its records.
pub struct Findable {
    /// Its name in addresses and answers.
    pub collection: &'static str,
    /// Its name in the index.
    indexed: &'static str,
    scope: String,
    fetch: for<'a> fn(&'a App, &'a Caller, &'a [Uuid]) -> Fetched<'a>,
}

/// Records as callers see them, by id.
type Fetched<'a> = BoxFuture<'a, Result<HashMap<Uuid, Value>, Problem>>;

impl Findable {
    pub fn of<R: Resource>() -> Self {
        Self { collection: R::PATH, indexed: collection::<R>(), scope: read_scope::<R>(), fetch: fetch::<R> }
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

/// What was found: which collection, how well, the record as its own list shows it.
#[derive(Serialize, ToSchema)]
pub struct Found {
    #[schema(example = "contacts")]
    pub collection: String,
    /// How well; absent when another order was asked for.
    pub score: Option<f32>,
    #[schema(value_type = Object)]
    pub record: Value,
}

pub fn routes(findable: Vec<Findable>) -> OpenApiRouter<App> {
    let names: Vec<&str> = findable.iter().map(|findable| findable.collection).collect();
    let described = describe::search(&names.join(", "));
    let findable = std::sync::Arc::new(findable);
    let handler = move |State(app): State<App>, caller: Caller, consistency: Consistency, RawQuery(query): RawQuery| {
        let findable = findable.clone();
        async move { search(&app, &caller, &consistency, query.as_deref(), &findable).await }
    };
    OpenApiRouter::new().routes(described.answered_by(get(handler)))
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
    let question = search_query(caller, &list, allowed.iter().map(|f| f.indexed.to_owned()).collect())?;
    let hits = app.search.index().search(question).await?;
    let mut shown: HashMap<(String, Uuid), (&'static str, Value)> = HashMap::new();
    for findable in allowed {
        let mine = hits.ids.iter().filter(|hit| hit.collection == findable.indexed);
        let ids: Vec<Uuid> = mine.filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
        if !ids.is_empty() {
            let records = (findable.fetch)(app, caller, &ids).await?;
            let record = |(id, value)| ((findable.indexed.to_owned(), id), (findable.collection, value));
            shown.extend(records.into_iter().map(record));
        }
    }
    let found = |hit: &projectors::search::Hit| {
        let id = Uuid::parse_str(&hit.id).ok()?;
        let (collection, record) = shown.remove(&(hit.collection.clone(), id))?;
        Some(Found { collection: collection.to_owned(), score: hit.score, record })
    };
    let items = hits.ids.iter().filter_map(found).collect();
    let next = hits.next.map(|next| next.to_string());
    Ok(Json(ListPage { items, next, total: hits.total, facets: BTreeMap::new() }).into_response())
}
