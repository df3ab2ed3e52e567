//! A collection's reads out of one declaration: list, one record, its history, its state as of a time or position.

use crate::{
    app::App,
    caller::Caller,
    describe, history,
    http::{
        etag::{self, IfNoneMatch},
        extract::{Path, Query},
        list::ListSpec,
        problem::Problem,
        token::Consistency,
    },
    listing,
};
use axum::{
    Json,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use bus_schema::{Keyring, TenantId, catalog::Catalogued};
use projectors::{Record, RecordView};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

/// A collection of the API.
pub trait Resource: Send + Sync + 'static {
    type View: RecordView;
    /// What a caller sees of a record.
    type Json: Serialize + ToSchema + Send;
    /// The collection in addresses; the view's name unless that is no good address (`api-keys`).
    const PATH: &'static str = <Self::View as RecordView>::NAME;
    /// One of them, for messages: `contact`.
    const NOUN: &'static str;
    const LIST: ListSpec;
    /// Members (dotted) that one record may have much of: lists leave them out unless `fields=` names them.
    const LARGE: &'static [&'static str] = &[];
    /// Fields of [`Self::LIST`] that are made of other aggregates too, which a replay of this one does not have.
    const LIVE_ONLY: &'static [&'static str] = &[];

    fn present(id: Uuid, record: &Record<<Self::View as RecordView>::Row>, keys: &Keyring) -> Self::Json;

    /// The same for what needs its tenant's name, such as an address.
    fn present_in(
        _tenant: &TenantId,
        id: Uuid,
        record: &Record<<Self::View as RecordView>::Row>,
        keys: &Keyring,
    ) -> Self::Json {
        Self::present(id, record, keys)
    }
}

/// A resource's name in views and search, `contacts`.
pub fn collection<R: Resource>() -> &'static str {
    R::View::NAME
}

/// The scope that reads a resource.
pub fn read_scope<R: Resource>() -> String {
    type Event<R> = <<R as Resource>::View as RecordView>::Event;
    format!("{}.{}:read", Event::<R>::CONTEXT, Event::<R>::AGGREGATE)
}

/// The read endpoints of a resource, with their descriptions.
pub fn routes<R: Resource>() -> OpenApiRouter<App> {
    let [list_path, one_path, history_path] = describe::resource::<R>();
    OpenApiRouter::new()
        .routes(list_path.answered_by(get(list::<R>)))
        .routes(one_path.answered_by(get(one::<R>)))
        .routes(history_path.answered_by(get(history_of::<R>)))
}

impl App {
    /// Waits until the views a read needs have reached its token.
    pub async fn settle(&self, view: &str, consistency: &Consistency) -> Result<(), Problem> {
        if let Some(seq) = consistency.token.position(self.cell.as_str()) {
            self.views.wait(view, seq, consistency.wait).await?;
        }
        Ok(())
    }

    pub async fn settle_search(&self, consistency: &Consistency, at_most: Option<Duration>) -> Result<(), Problem> {
        if let Some(seq) = consistency.token.position(self.cell.as_str()) {
            self.search.wait(seq, at_most.unwrap_or(consistency.wait)).await?;
        }
        Ok(())
    }

    /// Records as their callers see them.
    pub async fn present<R: Resource>(
        &self,
        tenant: &TenantId,
        records: &[(Uuid, Record<<R::View as RecordView>::Row>)],
    ) -> Result<Vec<serde_json::Value>, Problem> {
        let needed: Vec<_> = records.iter().flat_map(|(_, record)| R::View::keys(&record.row)).collect();
        let keys = self.keys.load(tenant, &needed).await?;
        let present = |(id, record): &(Uuid, Record<_>)| {
            serde_json::to_value(R::present_in(tenant, *id, record, &keys)).map_err(|error| Problem::fault(&error))
        };
        records.iter().map(present).collect()
    }
}

async fn list<R: Resource>(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    caller.allow(&read_scope::<R>())?;
    listing::list::<R>(&app, &caller, &consistency, query.as_deref()).await
}

// A misspelt `as_of` must not show the present.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneQuery {
    as_of: Option<String>,
    #[serde(rename = "wait_ms")]
    _wait_ms: Option<u64>,
}

async fn one<R: Resource>(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(query): Query<OneQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.allow(&read_scope::<R>())?;
    let if_none_match = IfNoneMatch::from_headers(&headers);
    let record = match &query.as_of {
        Some(as_of) => history::as_of::<R::View>(&app, &caller.tenant, id, as_of).await?,
        None => {
            app.settle(R::View::NAME, &consistency).await?;
            app.views.record::<R::View>(&caller.tenant, id).await?
        }
    };
    let record = record.ok_or_else(|| Problem::not_found(R::NOUN))?;
    let revision = record.revision;
    let body = app.present::<R>(&caller.tenant, &[(id, record)]).await?.pop().unwrap_or_default();
    Ok(etag::respond(&if_none_match, revision, Json(body)))
}

async fn history_of<R: Resource>(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(page): Query<history::HistoryQuery>,
) -> Result<Response, Problem> {
    caller.allow(&read_scope::<R>())?;
    app.settle(R::View::NAME, &consistency).await?;
    Ok(history::page::<R::View>(&app, &caller.tenant, id, R::NOUN, &page).await?.into_response())
}

/// The fields a list may filter, sort or count by of which search knows nothing, for a record that has them all.
#[cfg(test)]
pub(crate) fn missing_from_search<R: Resource>(
    record: &Record<<R::View as RecordView>::Row>,
    keys: &Keyring,
) -> Vec<&'static str> {
    let tenant = TenantId::try_new("acme").expect("a valid name");
    let doc = R::View::document(&tenant, Uuid::from_u128(1), record, keys).expect("the record can be found");
    let spec = R::LIST;
    let named = spec.filterable.iter().map(|(name, _)| *name).chain(spec.sortable.iter().copied());
    let named = named.chain(spec.facetable.iter().copied());
    let named = named.filter(|name| !R::LIVE_ONLY.contains(name));
    named.filter(|name| doc.fields.iter().all(|(known, _)| known != name)).collect()
}
