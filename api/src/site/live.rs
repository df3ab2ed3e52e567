//! From a page of the log to its HTML. Visitors, previews and the past go through the same function, so the page as of
//! an earlier time is what was served then, byte for byte.

use super::{
    error::RenderError,
    render::{Limits, PageContext, PageFields, Renderer, SiteFields},
};
use bus_schema::{Micros, TenantId, cms::page::PageContent};
use projectors::cms::routes::SiteOwner;

/// A content with where and when it stands.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub site: &'a str,
    pub slug: &'a str,
    pub revision: u64,
    /// `None`: a draft.
    pub published_at: Option<Micros>,
    pub content: &'a PageContent,
}

impl Shown<'_> {
    /// Renders, away from the threads that answer requests.
    pub async fn render(&self, tenant: &TenantId, owner: &SiteOwner) -> Result<String, RenderError> {
        let (context, source) = (self.context(tenant, owner), self.content.body.clone());
        let work = move || Renderer.render(&source, &context, &Limits::default());
        let rendered = tokio::task::spawn_blocking(work).await.map_err(|_| RenderError::Unavailable)?;
        Ok(rendered?.html)
    }

    /// Nothing of the request is in it: a page says the same under every host that leads to it.
    fn context(&self, tenant: &TenantId, owner: &SiteOwner) -> PageContext {
        PageContext {
            page: PageFields {
                title: self.content.title.clone(),
                description: self.content.description.clone(),
                slug: self.slug.to_owned(),
                path: format!("/{}", self.slug),
                site: self.site.to_owned(),
                language: owner.locale.clone(),
                published_at: self.published_at.map(|at| at.to_string()),
                revision: self.revision,
            },
            site: SiteFields {
                name: owner.name.clone(),
                tenant: tenant.to_string(),
                host: owner.hosts.first().cloned().unwrap_or_default(),
            },
            data: serde_json::Value::Null,
        }
    }
}

/// Whether a source can be saved; parses on a thread of its own.
pub async fn check(source: &str) -> Result<(), RenderError> {
    let source = source.to_owned();
    let work = move || Renderer.check(&source, &Limits::default());
    tokio::task::spawn_blocking(work).await.map_err(|_| RenderError::Unavailable)?
}
