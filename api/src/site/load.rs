//! Pages that are not in the cache: read, rendered and kept, each by one request while the others for it wait.

use super::{
    cache::{PageCache, PageKey},
    error::RenderError,
    live::Shown,
    page::{CachedPage, PageHead},
    system_pages,
    target::Form,
    visits::Served,
};
use crate::app::App;
use axum::http::StatusCode;
use bus_schema::TenantId;
use jiff::Timestamp;
use projectors::{
    ViewError,
    cms::routes::{LiveContent, LivePage, ROUTES, SiteOwner},
};
use quick_cache::sync::Cache;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};
use tokio::sync::{Mutex, Semaphore};
use uuid::Uuid;
use writers::cms::page::{DEFAULT_SITE, valid_slug};

/// Names asked for that no tenant has, remembered at most.
const STRANGERS: usize = 4_096;
/// Requests for different pages seldom wait for each other.
const SHARDS: usize = 64;
/// Pages rendered at once at most: rendering takes a whole processor.
const RENDERING: usize = 4;

/// A page of a tenant, by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub tenant: TenantId,
    pub form: Form,
    /// The path below the site as it came, without the first slash.
    pub slug: String,
}

pub struct Loader {
    app: App,
    cache: Arc<PageCache>,
    /// Names without a tenant, so that hosts which are none (`www`, `api`) cost no read.
    strangers: Cache<Box<str>, ()>,
    shards: [Mutex<()>; SHARDS],
    rendering: Semaphore,
    hasher: RandomState,
}

impl Loader {
    pub fn new(app: App, cache: Arc<PageCache>) -> Self {
        Self {
            app,
            cache,
            strangers: Cache::new(STRANGERS),
            shards: std::array::from_fn(|_| Mutex::new(())),
            rendering: Semaphore::new(RENDERING),
            hasher: RandomState::new(),
        }
    }

    /// The version of what a tenant's visitors see; grows with every change of it.
    pub fn version(&self, tenant: &str) -> Option<u64> {
        self.app.views.serving(ROUTES).ok().map(|slot| slot.tenant_position(tenant))
    }

    /// The answer for an address; `None`: there is no such tenant.
    pub async fn page(&self, asked: &Asked) -> Option<Arc<CachedPage>> {
        let key = PageKey { tenant: asked.tenant.as_str(), site: asked.form.cache_site(), path: &asked.slug };
        // A tenant that was founded since has a position, so what was remembered of its name no longer counts.
        let is_known = self.version(key.tenant).is_some_and(|version| version > 0);
        if !is_known && self.strangers.get(key.tenant).is_some() {
            return None;
        }
        let shard = usize::try_from(self.hasher.hash_one((key.tenant, key.path))).unwrap_or_default() % SHARDS;
        let _alone = self.shards[shard].lock().await;
        // Before the content is read: a change that comes between makes the entry stale, never wrong.
        let version = self.version(key.tenant);
        if let Some(page) = version.and_then(|version| self.cache.get(key, version)) {
            return Some(page);
        }
        match self.make(asked).await {
            Ok(Some(page)) => {
                let page = Arc::new(page);
                if let Some(version) = version {
                    self.cache.put(key, version, page.clone());
                }
                Some(page)
            }
            Ok(None) => {
                self.strangers.insert(key.tenant.into(), ());
                None
            }
            Err(error) => {
                tracing::warn!(tenant = key.tenant, slug = key.path, %error, "a page could not be read");
                Some(Arc::new(CachedPage::failed(StatusCode::SERVICE_UNAVAILABLE, "en", "")))
            }
        }
    }

    async fn make(&self, asked: &Asked) -> Result<Option<CachedPage>, ViewError> {
        let (tenant, form) = (&asked.tenant, asked.form);
        // What no page can have leads nowhere; a slash too many leads to the page without it.
        let slug = asked.slug.strip_suffix('/').unwrap_or(&asked.slug);
        if valid_slug(slug).is_err() {
            return Ok(self.app.views.site_owner(tenant).await?.map(|owner| missing(&owner)));
        }
        let (owner, found) = self.app.views.route(tenant, DEFAULT_SITE, slug).await?;
        let Some(owner) = owner else { return Ok(None) };
        let Some((id, page, live)) = found.and_then(|(id, page)| visible(id, page)) else {
            return Ok(Some(missing(&owner)));
        };
        if page.slug != asked.slug {
            let location = form.location(tenant.as_str(), &page.slug);
            let moved = CachedPage::redirect(&location, &owner.locale, &owner.name);
            return Ok(Some(moved.unwrap_or_else(|_| missing(&owner))));
        }
        Ok(Some(self.render(tenant, &owner, id, &page, &live).await))
    }

    async fn render(
        &self,
        tenant: &TenantId,
        owner: &SiteOwner,
        id: Uuid,
        page: &LivePage,
        live: &LiveContent,
    ) -> CachedPage {
        let failed = |status| CachedPage::failed(status, &owner.locale, &owner.name);
        let Ok(_place) = self.rendering.acquire().await else { return failed(StatusCode::SERVICE_UNAVAILABLE) };
        let shown = Shown {
            site: &page.site,
            slug: &page.slug,
            revision: live.revision,
            published_at: Some(live.published_at),
            content: &live.content,
        };
        match shown.render(tenant, owner).await {
            Ok(html) => {
                let (language, changed) = (owner.locale.clone(), page.changed_at.max(owner.changed_at));
                let path = format!("/{}", page.slug);
                let served = Served { tenant: tenant.clone(), site: page.site.clone(), page: id, path };
                let packed = tokio::task::spawn_blocking(move || {
                    let last_modified = Timestamp::from_microsecond(changed.0).ok();
                    let head = PageHead { language: &language, last_modified, policy: None };
                    CachedPage::page(html, &head).serving(served)
                });
                packed.await.unwrap_or_else(|_| failed(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Err(RenderError::Unavailable) => failed(StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => {
                tracing::warn!(%tenant, page = %id, %error, "a published page cannot be rendered");
                failed(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// The page with its live content, when visitors may see it.
fn visible(id: Uuid, page: LivePage) -> Option<(Uuid, LivePage, LiveContent)> {
    let live = page.live.clone()?;
    Some((id, page, live))
}

fn missing(owner: &SiteOwner) -> CachedPage {
    let head = PageHead { language: &owner.locale, ..PageHead::default() };
    CachedPage::not_found(system_pages::not_found(&owner.locale, &owner.name), &head)
}
