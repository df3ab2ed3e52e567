//! What surrounds every request, in one layer and without an allocation: correlation, load shedding, panic safety,
//! metrics and security headers.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::correlation::{Correlation, REQUEST_ID};
use super::metrics::{Counter, Gauge, Registry};
use super::problem::{Problem, method_not_allowed, no_such_route};
use super::record::{HttpMetrics, RouteMetrics};
use super::security_headers::SecurityHeaders;

/// The layer. Put it around a finished router with [`Stack::wrap`].
#[derive(Debug, Clone)]
pub struct Stack {
    metrics: HttpMetrics,
    shed: Counter,
    panics: Counter,
    max_running: i64,
    headers: SecurityHeaders,
}

impl Stack {
    /// `max_concurrent_requests` as in [`super::limits::ServerLimits`].
    pub fn new(registry: &Registry, max_concurrent_requests: usize, headers: SecurityHeaders) -> Self {
        Self {
            metrics: HttpMetrics::new(registry),
            shed: registry.counter("http_requests_shed_total", "Requests refused because too many were running.", &[]),
            panics: registry.counter("http_panics_total", "Handlers that panicked.", &[]),
            max_running: i64::try_from(max_concurrent_requests).unwrap_or(i64::MAX),
            headers,
        }
    }

    /// Adds the fallbacks and this layer to a router that is otherwise complete.
    pub fn wrap(&self, router: Router) -> Router {
        self.wrap_with(router, tower::layer::util::Identity::new())
    }

    /// The same with a layer between this one and the router that sees every request, also those no route has: it may
    /// answer them itself.
    pub fn wrap_with<L>(&self, router: Router, inner: L) -> Router
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<Body>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed).layer((self.clone(), inner))
    }
}

impl<S> Layer<S> for Stack {
    type Service = StackService<S>;

    fn layer(&self, inner: S) -> StackService<S> {
        StackService { inner, stack: self.clone() }
    }
}

/// See [`Stack`].
#[derive(Debug, Clone)]
pub struct StackService<S> {
    inner: S,
    stack: Stack,
}

impl<S, B> Service<Request<B>> for StackService<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = StackFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let correlation = Correlation::from_headers(request.headers());
        let template = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let route = self.stack.metrics.route(template);
        let running = Running::enter(&self.stack.metrics.running);
        let is_api = SecurityHeaders::is_api(request.uri().path());
        let method = request.method().clone();
        request.extensions_mut().insert(correlation);
        let inner = if running.now <= self.stack.max_running {
            Some(self.inner.call(request))
        } else {
            self.stack.shed.increment();
            None
        };
        StackFuture {
            inner,
            finish: Finish {
                route,
                method,
                correlation,
                is_api,
                headers: self.stack.headers,
                panics: self.stack.panics.clone(),
                start: Instant::now(),
                _running: running,
            },
        }
    }
}

/// Counts a running request until dropped, also when the client goes away.
#[derive(Debug)]
struct Running {
    gauge: Gauge,
    now: i64,
}

impl Running {
    fn enter(gauge: &Gauge) -> Self {
        Self { gauge: gauge.clone(), now: gauge.add(1) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.add(-1);
    }
}

/// What is needed when the answer is there.
struct Finish {
    route: Arc<RouteMetrics>,
    method: Method,
    correlation: Correlation,
    is_api: bool,
    headers: SecurityHeaders,
    panics: Counter,
    start: Instant,
    _running: Running,
}

impl Finish {
    fn complete(&self, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response = self.named(problem, response);
        }
        let status = response.status();
        self.route.record(&self.method, status, self.start.elapsed());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.correlation.header());
        self.headers.write(headers, self.is_api);
        response
    }

    /// A problem answer with `instance`, keeping what inner layers added to its headers.
    fn named(&self, problem: Problem, answered: Response) -> Response {
        let problem = problem.or_instance(|| format!("urn:trace:{}", self.correlation));
        if answered.status().is_server_error() {
            let instance = problem.document().instance.unwrap_or_default().to_owned();
            tracing::warn!(trace_id = %self.correlation, instance, %problem, "answered with a server error");
        }
        let body = problem.into_response().into_body();
        let (parts, _) = answered.into_parts();
        let mut response = Response::from_parts(parts, body);
        // The length of the first rendering no longer holds.
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        response
    }

    fn panicked(&self, payload: &(dyn Any + Send)) -> Response {
        self.panics.increment();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Problem::panicked(text.unwrap_or("panic without a message")).into_response()
    }
}

pin_project! {
    /// See [`Stack`].
    pub struct StackFuture<F> {
        // None: refused, too many requests run.
        #[pin]
        inner: Option<F>,
        finish: Finish,
    }
}

impl<F, R, E> Future for StackFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.inner.as_mut().as_pin_mut() {
            None => Ok(Problem::overloaded("too many requests are running", 1).into_response()),
            // After a panic the future is dropped, never polled again, so no broken state is seen.
            Some(inner) => match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(outcome)) => outcome.map(IntoResponse::into_response),
                Err(payload) => {
                    this.inner.set(None);
                    Ok(this.finish.panicked(&*payload))
                }
            },
        };
        Poll::Ready(answer.map(|response| this.finish.complete(response)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    async fn send(router: &Router, path: &str) -> (Response, Value) {
        let request = Request::get(path)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .body(Body::empty())
            .unwrap();
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, 65_536).await.unwrap();
        (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn router(max: usize, registry: &Registry) -> Router {
        let panics = || async {
            if true {
                panic!("secret inner state");
            }
        };
        let routes = Router::new()
            .route("/v1/orders/{id}", get(|correlation: Correlation| async move { correlation.to_string() }))
            .route("/v1/panic", get(panics))
            .route("/v1/missing", get(|| async { Problem::not_found("order") }));
        Stack::new(registry, max, SecurityHeaders::default()).wrap(routes)
    }

    #[tokio::test]
    async fn answers_carry_the_trace_and_strict_headers() {
        let registry = Registry::new();
        let router = router(10, &registry);
        let (response, _) = send(&router, "/v1/orders/7").await;
        assert_eq!(response.headers()["x-request-id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let (response, body) = send(&router, "/v1/missing").await;
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(body["instance"], "urn:trace:4bf92f3577b34da6a3ce929d0e0e4736");
        let text = registry.render();
        assert!(text.contains("route=\"/v1/orders/{id}\",method=\"GET\",status=\"2xx\"} 1"), "{text}");
        assert!(text.contains("http_requests_running 0"));
    }

    #[tokio::test]
    async fn unknown_addresses_and_methods_are_problems() {
        let router = router(10, &Registry::new());
        let (response, body) = send(&router, "/v1/nothing").await;
        assert_eq!((response.status(), body["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
        let request = Request::delete("/v1/missing").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(response.headers()["allow"].to_str().unwrap().contains("GET"));
    }

    #[tokio::test]
    async fn a_panic_becomes_an_incident() {
        let registry = Registry::new();
        let (response, body) = send(&router(10, &registry), "/v1/panic").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body["instance"].as_str().unwrap().starts_with("urn:uuid:") && !body.to_string().contains("secret"));
        assert!(registry.render().contains("http_panics_total 1"));
    }

    #[tokio::test]
    async fn too_many_requests_are_shed() {
        let registry = Registry::new();
        let (response, body) = send(&router(0, &registry), "/v1/orders/7").await;
        assert_eq!((response.status(), body["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable")));
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(registry.render().contains("http_requests_shed_total 1"));
    }
}
