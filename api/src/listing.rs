//! Lists. The natural order comes from wide rows; every other combination of filter, sort, search and count is answered
//! by the search index, which gives ids in order, and the records are fetched.

use crate::{
    app::App,
    caller::Caller,
    errors::unknown_cursor,
    http::{
        list::{ListQuery, SortKey},
        problem::Problem,
        projection::Projection,
        token::Consistency,
    },
    resource::{Resource, collection},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use projectors::{
    RecordView,
    search::{Cursor, Filter, Query, Sort, literal::Variables},
};
use serde::Serialize;
use serde_json::Value as JsonValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListPage<T = JsonValue> {
    pub items: Vec<T>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// All matching records, when `total=true` was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Counts by value of the facets asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Vec<Facet>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Facet {
    pub value: String,
    pub count: u64,
}

pub async fn list<R: Resource>(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    query: Option<&str>,
) -> Result<Response, Problem> {
    let principal = caller.principal();
    let variables = Variables { now: app.clock.now().0, current_user: Some(principal) };
    let list = ListQuery::try_parse(query, &R::LIST, &variables)?;
    let page = page::<R>(app, caller, consistency, list).await?;
    Ok(Json(page).into_response())
}

/// One page of a checked list request.
pub async fn page<R: Resource>(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    list: ListQuery,
) -> Result<ListPage, Problem> {
    let newest_first = matches!(&list.sort[..], [SortKey { field, descending: true }] if field == "created_at");
    let natural = list.filter == Filter::All
        && list.search.is_none()
        && list.facets.is_empty()
        && !list.total
        && (newest_first || list.sort.is_empty());
    let (records, next, total, facets) = if natural {
        app.settle(R::View::NAME, consistency).await?;
        let page = app.views.newest::<R::View>(&caller.tenant, list.after.as_deref(), list.limit).await?;
        (page.records, page.next, None, BTreeMap::new())
    } else {
        app.settle_search(consistency, list.wait).await?;
        let query = search_query(caller, &list, vec![collection::<R>().to_owned()])?;
        let hits = app.search.index().search(query).await?;
        let ids: Vec<Uuid> = hits.ids.iter().filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
        let found = app.views.records::<R::View>(&caller.tenant, &ids).await?;
        let records = ids.into_iter().zip(found).filter_map(|(id, record)| Some((id, record?))).collect();
        (records, hits.next.map(|next| next.to_string()), hits.total, hits.facets)
    };
    let mut items = app.present::<R>(&caller.tenant, &records).await?;
    for item in &mut items {
        if list.fields == Projection::default() {
            R::LARGE.iter().for_each(|member| leave_out(item, member));
        }
        list.fields.apply(item);
    }
    let facet = |(value, count)| Facet { value, count };
    let facets = facets.into_iter().map(|(name, counts)| (name, counts.into_iter().map(facet).collect())).collect();
    Ok(ListPage { items, next, total, facets })
}

/// Removes a member named by a dotted path.
pub fn leave_out(item: &mut JsonValue, member: &str) {
    let (inside, name) = member.rsplit_once('.').unwrap_or(("", member));
    let inside = if inside.is_empty() { String::new() } else { format!("/{}", inside.replace('.', "/")) };
    if let Some(JsonValue::Object(members)) = item.pointer_mut(&inside) {
        members.shift_remove(name);
    }
}

/// A list request as a question to the index.
pub fn search_query(caller: &Caller, list: &ListQuery, collections: Vec<String>) -> Result<Query, Problem> {
    let mut query = Query::new(caller.tenant.as_str());
    query.collections = collections;
    query.filter = list.filter.clone();
    query.text = list.search.clone();
    query.prefix = true;
    let sort = |key: &SortKey| {
        if key.descending { Sort::descending(&key.field) } else { Sort::ascending(&key.field) }
    };
    // With words and no order asked for, relevance orders.
    query.sort = list.sort.iter().map(sort).collect();
    query.after = list.after.as_ref().map(|text| text.parse::<Cursor>().map_err(|_| unknown_cursor())).transpose()?;
    query.limit = list.limit;
    query.total = list.total;
    query.facets = list.facets.clone();
    Ok(query)
}
