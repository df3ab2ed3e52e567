//! `/v1/pages/{id}/render`: a page as visitors see it, saw it, or would see its draft.

use super::pages::{PageResource, wrong_template};
use crate::{
    app::App,
    caller::Caller,
    history::{self, AsOf},
    http::{
        extract::{Path, Query},
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    resource::{Resource, read_scope},
    site::live::Shown,
};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use bus_schema::{
    Address, Subject, TenantId, catalog::Catalogued, cms::page::PageEvent, identity::tenant::TenantEvent,
};
use projectors::cms::{
    pages::Pages,
    routes::{LivePage, ROUTES, SiteOwner, fold_owner, fold_page},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::identity::tenant::tenant_aggregate;

/// An author's page must not act with the rights of whoever looks at it here: no scripts, no forms, an origin of its own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline' https:; img-src data: https:; font-src data: https:; \
     media-src https:",
);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(render))
}

/// What to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RenderQuery {
    /// As of a position (eu1:48213) or a time (RFC 3339).
    as_of: Option<String>,
    /// The draft instead of what visitors see.
    #[serde(default)]
    draft: bool,
    #[serde(rename = "wait_ms")]
    #[param(ignore)]
    _wait_ms: Option<u64>,
}

/// The HTML of a page: what visitors see now or saw at a time, byte for byte, or the draft. Needs `cms.page:read`.
#[utoipa::path(get, path = "/v1/pages/{id}/render", tag = "pages", params(("id" = Uuid, Path), RenderQuery), responses(
    (status = 200, content_type = "text/html", body = String),
    (status = 404, description = "No such page, or visitors did not see it", body = ProblemDocument),
    (status = 422, description = "The draft cannot be rendered", body = ProblemDocument)))]
async fn render(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(query): Query<RenderQuery>,
) -> Result<Response, Problem> {
    caller.allow(&read_scope::<PageResource>())?;
    let tenant = &caller.tenant;
    let as_of = query.as_of.as_deref().map(AsOf::parse).transpose()?;
    let missing = || Problem::not_found(PageResource::NOUN);
    let owner = match as_of {
        Some(as_of) => owner_as_of(&app, tenant, as_of).await?,
        None => {
            app.settle(ROUTES, &consistency).await?;
            app.views.site_owner(tenant).await?
        }
    };
    let owner = owner.ok_or_else(missing)?;
    let html = if query.draft {
        let record = match &query.as_of {
            Some(as_of) => history::as_of::<Pages>(&app, tenant, id, as_of).await?,
            None => {
                app.settle(<Pages as projectors::RecordView>::NAME, &consistency).await?;
                app.views.record::<Pages>(tenant, id).await?
            }
        };
        let row = record.ok_or_else(missing)?.row;
        let (site, slug, revision) = (row.site.as_str(), row.slug.as_str(), row.draft_revision);
        Shown { site, slug, revision, published_at: None, content: &row.draft }.render(tenant, &owner).await
    } else {
        let page = match as_of {
            Some(as_of) => page_as_of(&app, tenant, id, as_of).await?,
            None => app.views.live_page(tenant, id).await?,
        };
        let page = page.ok_or_else(missing)?;
        let live = page.live.as_ref().ok_or_else(missing)?;
        let (site, slug, revision) = (page.site.as_str(), page.slug.as_str(), live.revision);
        let published_at = Some(live.published_at);
        Shown { site, slug, revision, published_at, content: &live.content }.render(tenant, &owner).await
    };
    let html = html.map_err(|error| wrong_template(&error))?;
    Ok(([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response())
}

/// Folds the events of one aggregate up to a point.
async fn folded<E: Catalogued, T>(
    app: &App,
    tenant: &TenantId,
    id: Uuid,
    as_of: AsOf,
    fold: impl Fn(Option<T>, &E, u64, bus_schema::Micros) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let subject = Subject::event(&app.cell, tenant, Address::new(E::CONTEXT, E::AGGREGATE, id));
    let mut state = None;
    for stored in app.bus.read_subject(subject.family, &subject.to_string(), 0).await? {
        if !as_of.includes(&stored) {
            break;
        }
        let decoded = stored.decode().map_err(|error| Problem::fault(&error))?;
        if let Some(event) = decoded.as_ref().and_then(E::from_any) {
            state = fold(state, event, stored.seq, stored.envelope.at);
        }
    }
    Ok(state)
}

async fn page_as_of(app: &App, tenant: &TenantId, id: Uuid, as_of: AsOf) -> Result<Option<LivePage>, Problem> {
    folded::<PageEvent, _>(app, tenant, id, as_of, fold_page).await
}

/// A page says the name of its tenant, so the past of the page is also that of the tenant.
async fn owner_as_of(app: &App, tenant: &TenantId, as_of: AsOf) -> Result<Option<SiteOwner>, Problem> {
    let id = tenant_aggregate(&app.writer, tenant).await?;
    folded::<TenantEvent, _>(app, tenant, id, as_of, |owner, event, _, at| fold_owner(owner, event, at)).await
}
