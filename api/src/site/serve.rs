//! Serving sites, in front of the API: every request is looked at once; one for a site that is in the cache is answered
//! on the spot, without a lock held, a future made or a read.

use super::{
    cache::{CacheLimits, PageCache, PageKey},
    file::FileAddress,
    load::{Asked, Loader},
    page::CachedPage,
    respond::respond,
    target::Target,
    visits::Visits,
};
use crate::{
    app::App,
    http::{
        metrics::Counter,
        problem::Problem,
        token::{CONSISTENCY_TOKEN, Consistency},
    },
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, Request, StatusCode},
    response::{IntoResponse, Response},
};
use bus_schema::TenantId;
use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use projectors::cms::routes::ROUTES;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// The sites of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Sites(Arc<Inner>);

struct Inner {
    app: App,
    cache: Arc<PageCache>,
    loader: Loader,
    visits: Visits,
    answers: Answers,
}

/// Answers of sites by what they were.
struct Answers {
    pages: Counter,
    files: Counter,
    redirects: Counter,
    missing: Counter,
    failed: Counter,
    /// Of all of them, those that were not in the cache.
    made: Counter,
}

impl Sites {
    /// Starts the recording of visits too.
    pub fn new(app: App) -> Self {
        let registry = &app.registry;
        let counter =
            |kind| registry.counter("site_answers_total", "Answers of sites, by what they were.", &[("kind", kind)]);
        let made = "Answers of sites that were not in the cache.";
        let answers = Answers {
            pages: counter("page"),
            files: counter("file"),
            redirects: counter("redirect"),
            missing: counter("missing"),
            failed: counter("failed"),
            made: registry.counter("site_answers_made_total", made, &[]),
        };
        let visits = Visits::start(app.facts.clone(), app.clock.clone(), registry);
        let cache = Arc::new(PageCache::new(&CacheLimits::default()));
        let loader = Loader::new(app.clone(), cache.clone());
        Self(Arc::new(Inner { app, cache, loader, visits, answers }))
    }

    /// The answer out of the cache. What is in it belongs to a tenant that exists.
    fn cached(&self, target: &Target<'_>, request: &HeaderMap, method: &Method) -> Option<Response> {
        if request.contains_key(&CONSISTENCY_TOKEN) {
            return None;
        }
        let version = self.0.loader.version(&target.tenant)?;
        let key = PageKey { tenant: &target.tenant, site: target.form.cache_site(), path: target.slug };
        let page = self.0.cache.get(key, version)?;
        Some(self.answer(&page, request, method))
    }

    fn answer(&self, page: &CachedPage, request: &HeaderMap, method: &Method) -> Response {
        let response = respond(request, method, page);
        let answers = &self.0.answers;
        match page.status() {
            StatusCode::OK => answers.pages.increment(),
            StatusCode::MOVED_PERMANENTLY => answers.redirects.increment(),
            StatusCode::NOT_FOUND => answers.missing.increment(),
            _ => answers.failed.increment(),
        }
        if let Some(served) = page.served() {
            self.0.visits.seen(served, method, request, response.status());
        }
        response
    }

    /// The answer made anew; `None`: there is no such tenant, so the request is not for a site.
    async fn made<B>(&self, request: Request<B>) -> Result<Response, Request<B>> {
        let Some(target) = Target::of(&request) else { return Err(request) };
        let Ok(tenant) = TenantId::try_new(&target.tenant) else { return Err(request) };
        let asked = Asked { tenant, form: target.form, slug: target.slug.to_owned() };
        let (mut parts, body) = request.into_parts();
        if parts.headers.contains_key(&CONSISTENCY_TOKEN)
            && let Err(problem) = self.settle(&mut parts).await
        {
            return Ok(problem.into_response());
        }
        match self.0.loader.page(&asked).await {
            Some(page) => {
                self.0.answers.made.increment();
                Ok(self.answer(&page, &parts.headers, &parts.method))
            }
            None => Err(Request::from_parts(parts, body)),
        }
    }

    async fn file(&self, wanted: &FileAddress, method: &Method, request: &HeaderMap) -> Response {
        self.0.answers.files.increment();
        wanted.answer(&self.0.app, method, request).await
    }

    /// Waits for what the visitor has just written, such as the editor who published and looks.
    async fn settle(&self, parts: &mut axum::http::request::Parts) -> Result<(), Problem> {
        let consistency = Consistency::from_request_parts(parts, &self.0.app).await?;
        self.0.app.settle(ROUTES, &consistency).await
    }
}

/// Puts the sites in front of a service, usually the router of the API.
#[derive(Clone)]
pub struct SiteLayer(Sites);

/// The layer for a platform. Call it inside the runtime: it starts the recording of visits.
pub fn layer(app: &App) -> SiteLayer {
    SiteLayer(Sites::new(app.clone()))
}

impl<S> Layer<S> for SiteLayer {
    type Service = SiteService<S>;

    fn layer(&self, inner: S) -> SiteService<S> {
        SiteService { inner, sites: self.0.clone() }
    }
}

/// See [`SiteLayer`].
#[derive(Clone)]
pub struct SiteService<S> {
    inner: S,
    sites: Sites,
}

impl<S, B> Service<Request<B>> for SiteService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = SiteFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(target) = Target::of(&request) else {
            return SiteFuture::Passed { inner: self.inner.call(request) };
        };
        if let Some(wanted) = FileAddress::of(&target) {
            let (sites, method, headers) = (self.sites.clone(), request.method().clone(), request.headers().clone());
            let made = Box::pin(async move { Ok(sites.file(&wanted, &method, &headers).await) });
            return SiteFuture::Made { made };
        }
        if let Some(response) = self.sites.cached(&target, request.headers(), request.method()) {
            return SiteFuture::Cached { response: Some(response) };
        }
        // The one that is ready goes along, its copy stays for the next request.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let sites = self.sites.clone();
        let made = Box::pin(async move {
            match sites.made(request).await {
                Ok(response) => Ok(response),
                Err(request) => Ok(inner.call(request).await?.into_response()),
            }
        });
        SiteFuture::Made { made }
    }
}

pin_project! {
    /// See [`SiteLayer`].
    #[project = SiteFutureProjection]
    pub enum SiteFuture<F, E> {
        // Not for a site.
        Passed {
            #[pin]
            inner: F,
        },
        Cached { response: Option<Response> },
        Made { made: BoxFuture<'static, Result<Response, E>> },
    }
}

impl<F, R, E> Future for SiteFuture<F, E>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SiteFutureProjection::Passed { inner } => {
                inner.poll(cx).map(|answer| answer.map(IntoResponse::into_response))
            }
            SiteFutureProjection::Cached { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            SiteFutureProjection::Made { made } => made.as_mut().poll(cx),
        }
    }
}
