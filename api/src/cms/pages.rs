//! `/v1/pages`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        patch::Patch,
        problem::{FieldError, Problem, ProblemDocument},
    },
    resource::Resource,
    site::{
        error::RenderError,
        live::{self, Shown},
    },
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{Keyring, TenantId, cms::page::PageContent};
use projectors::{
    Record,
    cms::pages::{PageRow, Pages},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    Meta, WriteError,
    cms::page::{self, DEFAULT_SITE, Page, PageCommand},
};

const WRITE: &str = "cms.page:write";
/// How often a change made from the present page is tried anew when others change the page at the same moment.
const ATTEMPTS: usize = 5;

pub struct PageResource;

/// A page with its draft.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub struct PageJson {
    pub id: Uuid,
    pub revision: u64,
    pub site: String,
    /// The address below the site; empty for the home page.
    #[schema(example = "about/team")]
    pub slug: String,
    /// draft, published, changed (visitors see an earlier content) or removed.
    pub status: &'static str,
    /// Title, description and body are those of the draft.
    pub title: String,
    pub description: String,
    pub body: String,
    /// Contents of a page are counted 1, 2, 3…: the number to restore by.
    pub draft_revision: u64,
    /// What visitors see; absent when they see nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveJson>,
    /// Old addresses that lead to the page.
    pub redirects: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// What visitors see of a page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LivePage)]
pub struct LiveJson {
    pub revision: u64,
    pub title: String,
    pub published_at: String,
}

impl Resource for PageResource {
    type View = Pages;
    type Json = PageJson;
    const NOUN: &'static str = "page";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("title", FieldType::Text),
            ("site", FieldType::Keyword),
            ("slug", FieldType::Keyword),
            ("status", FieldType::Keyword),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
            ("published_at", FieldType::Time),
        ],
        sortable: &["title", "slug", "status", "created_at", "updated_at", "published_at"],
        default_sort: "-created_at",
        facetable: &["status", "site"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<PageRow>, _keys: &Keyring) -> PageJson {
        let row = &record.row;
        let live = row.live.as_ref().map(|live| LiveJson {
            revision: live.revision,
            title: live.title.clone(),
            published_at: live.published_at.to_string(),
        });
        PageJson {
            id,
            revision: record.revision,
            site: row.site.clone(),
            slug: row.slug.clone(),
            status: row.status().text(),
            title: row.draft.title.clone(),
            description: row.draft.description.clone(),
            body: row.draft.body.clone(),
            draft_revision: row.draft_revision,
            live,
            redirects: row.redirects.iter().cloned().collect(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(edit, remove))
        .routes(routes!(publish))
        .routes(routes!(unpublish))
        .routes(routes!(rename))
        .routes(routes!(restore))
        .routes(routes!(discard_draft))
        .routes(routes!(reinstate))
        .routes(routes!(drop_redirect))
        .merge(super::render::routes())
}

/// A new page.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"slug": "about", "title": "About us", "body": "<h1>{{ page.title }}</h1>"}))]
pub struct NewPage {
    /// `main` when absent, which is the site visitors reach.
    pub site: Option<String>,
    /// Segments of a-z, 0-9, `-` and `_` joined by `/`; empty for the home page.
    pub slug: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// A template; a whole document, or the content the default layout is put around.
    pub body: String,
}

/// Makes a page, as a draft that only editors see. An address belongs to one page of a site.
#[utoipa::path(post, path = "/v1/pages", tag = "pages", request_body = NewPage, responses(
    (status = 201, body = CommandReceipt), (status = 409, description = "slug_taken", body = ProblemDocument),
    (status = 422, description = "A field or the template is wrong", body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewPage>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let Command { caller, body: new, meta, .. } = &command;
    check(&new.body).await?;
    let content =
        PageContent { title: new.title.clone(), description: new.description.clone(), body: new.body.clone() };
    let site = new.site.as_deref().unwrap_or(DEFAULT_SITE);
    let (id, receipt) = page::create(&app.writer, &caller.tenant, meta, site, &new.slug, content).await?;
    Ok(app.created("pages", id, &receipt))
}

/// Changes of a draft: a field that is absent stays (JSON Merge Patch, RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct PageChanges {
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub description: Patch<String>,
    pub body: Option<String>,
}

/// Changes the draft. Visitors see nothing of it before it is published. `If-Match` is required: two editors of one page
/// would lose each other's words.
#[utoipa::path(patch, path = "/v1/pages/{id}", tag = "pages", request_body = PageChanges, params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 412, body = ProblemDocument),
    (status = 428, description = "If-Match is missing", body = ProblemDocument)))]
async fn edit(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<PageChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    command.require_if_match()?;
    if let Some(body) = &command.body.body {
        check(body).await?;
    }
    from_present(&app, id, &command, Change::Edit(&command.body)).await
}

/// Makes the draft what visitors see. It is rendered first: a page that cannot be shown is not published.
#[utoipa::path(post, path = "/v1/pages/{id}/publish", tag = "pages", params(("id" = Uuid, Path)), responses(
    (status = 200, body = CommandReceipt), (status = 422, description = "The draft cannot be rendered", body = ProblemDocument)))]
async fn publish(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    from_present(&app, id, &command, Change::Publish).await
}

/// Takes the page away from visitors; the draft stays.
#[utoipa::path(post, path = "/v1/pages/{id}/unpublish", tag = "pages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt)))]
async fn unpublish(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, PageCommand::Unpublish).await
}

/// Where a page goes.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Rename {
    pub slug: String,
}

/// Gives the page another address. One that visitors may know leads to the new one from then on.
#[utoipa::path(post, path = "/v1/pages/{id}/rename", tag = "pages", request_body = Rename,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 409, description = "slug_taken", body = ProblemDocument)))]
async fn rename(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Rename>) -> Result<Response, Problem> {
    let slug = command.body.slug.clone();
    run(&app, id, &command, PageCommand::RenameSlug { slug }).await
}

/// Which content to bring back.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Restore {
    /// A `draft_revision` the page had.
    pub revision: u64,
}

/// Makes an earlier content the draft again.
#[utoipa::path(post, path = "/v1/pages/{id}/restore", tag = "pages", request_body = Restore,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn restore(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Restore>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let Command { caller, body, meta, .. } = &command;
    let receipt = page::restore(&app.writer, &caller.tenant, id, meta, body.revision).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Makes what visitors see the draft again.
#[utoipa::path(post, path = "/v1/pages/{id}/discard-draft", tag = "pages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt)))]
async fn discard_draft(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, PageCommand::DiscardDraft).await
}

/// Where a removed page comes back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Reinstate {
    /// Its last address when absent.
    pub slug: Option<String>,
}

/// Brings a removed page back as a draft.
#[utoipa::path(post, path = "/v1/pages/{id}/reinstate", tag = "pages", request_body = Reinstate,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 409, description = "slug_taken", body = ProblemDocument)))]
async fn reinstate(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<Reinstate>,
) -> Result<Response, Problem> {
    let slug = command.body.slug.clone();
    run(&app, id, &command, PageCommand::Reinstate { slug }).await
}

/// Removes the page and gives its addresses back. Its history stays, and it can be reinstated.
#[utoipa::path(delete, path = "/v1/pages/{id}", tag = "pages", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn remove(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, PageCommand::Remove).await
}

/// Gives an old address back. A slash in it is written `%2F`.
#[utoipa::path(delete, path = "/v1/pages/{id}/redirects/{slug}", tag = "pages",
    params(("id" = Uuid, Path), ("slug" = String, Path)), responses((status = 200, body = CommandReceipt)))]
async fn drop_redirect(
    State(app): State<App>,
    Path((id, slug)): Path<(Uuid, String)>,
    command: Command,
) -> Result<Response, Problem> {
    run(&app, id, &command, PageCommand::DropRedirect { slug }).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: PageCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Page>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// A command that is made from the page as it is.
enum Change<'a> {
    Edit(&'a PageChanges),
    Publish,
}

impl Change<'_> {
    async fn prepare(&self, app: &App, tenant: &TenantId, page: &Page) -> Result<PageCommand, Problem> {
        match self {
            Self::Edit(changes) => {
                let present = page.draft();
                let description = changes.description.clone().into_change();
                let content = PageContent {
                    title: changes.title.clone().unwrap_or_else(|| present.title.clone()),
                    description: description.map_or_else(|| present.description.clone(), |new| new.unwrap_or_default()),
                    body: changes.body.clone().unwrap_or_else(|| present.body.clone()),
                };
                Ok(PageCommand::Edit { content })
            }
            Self::Publish => {
                if page.revision() > 0 && !page.is_removed() {
                    let shown = Shown {
                        site: page.site(),
                        slug: page.slug(),
                        revision: page.revision(),
                        published_at: Some(app.clock.now()),
                        content: page.draft(),
                    };
                    if let Some(owner) = app.views.site_owner(tenant).await? {
                        let html = shown.render(tenant, &owner).await.map_err(|error| wrong_template(&error))?;
                        super::files::uses::check(app, tenant, &html).await?;
                    }
                }
                Ok(PageCommand::Publish)
            }
        }
    }
}

/// Carries out a command that was made from the page as it is, anew when somebody changed the page meanwhile and the
/// caller did not say which revision it saw.
async fn from_present<T>(app: &App, id: Uuid, command: &Command<T>, change: Change<'_>) -> Result<Response, Problem> {
    let tenant = &command.caller.tenant;
    let mut attempt = 1;
    loop {
        let loaded = app.writer.load::<Page>(tenant, id).await?;
        let what = change.prepare(app, tenant, &loaded.state).await?;
        let meta = Meta { if_match: command.meta.if_match.or(Some(loaded.revision)), ..command.meta.clone() };
        match app.writer.execute::<Page>(tenant, id, &meta, &what).await {
            Err(WriteError::Stale { .. }) if command.meta.if_match.is_none() && attempt < ATTEMPTS => attempt += 1,
            outcome => return Ok(app.answer(StatusCode::OK, id, &outcome?)),
        }
    }
}

async fn check(source: &str) -> Result<(), Problem> {
    live::check(source).await.map_err(|error| wrong_template(&error))
}

/// What is wrong with a template, for the editor who wrote it.
pub(super) fn wrong_template(error: &RenderError) -> Problem {
    match error {
        RenderError::Unavailable => Problem::unavailable(error, 1),
        error => Problem::validation(vec![FieldError::new("/body", "invalid_template", error.to_string())]),
    }
}
