//! The routes of the reference. All answers are made once, when the process starts, and carry an ETag.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;

use super::catalog::ProblemCatalog;
use crate::http::etag::IfNoneMatch;

/// The page runs its own script and style and nothing else; it may only ask its own host.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

/// One answer that never changes while the process lives.
#[derive(Debug)]
struct Asset {
    media_type: &'static str,
    body: Bytes,
    /// Opaque tag without quotes.
    tag: String,
}

impl Asset {
    fn new(media_type: &'static str, body: impl Into<Bytes>) -> Arc<Self> {
        let body = body.into();
        let tag = Sha256::digest(&body)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Arc::new(Self { media_type, body, tag })
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let held = IfNoneMatch::from_headers(request).holds(&self.tag);
        let mut response = Response::new(if held { Body::empty() } else { Body::from(self.body.clone()) });
        if held {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", self.tag)) {
            headers.insert(ETAG, tag);
        }
        response
    }
}

fn serve(asset: Arc<Asset>) -> MethodRouter {
    get(move |headers: HeaderMap| {
        let answer = asset.answer(&headers);
        async move { answer }
    })
}

/// `/openapi.json`, `/docs`, `/docs/problems`, `/docs/problems.json` and the parts of the page.
pub fn router(openapi: &OpenApi, catalog: &ProblemCatalog) -> Router {
    const HTML: &str = "text/html; charset=utf-8";
    let description = serde_json::to_vec(openapi).unwrap_or_default();
    Router::new()
        .route("/openapi.json", serve(Asset::new("application/json", description)))
        .route("/docs", serve(Asset::new(HTML, include_str!("index.html"))))
        .route("/docs/app.js", serve(Asset::new("text/javascript; charset=utf-8", include_str!("app.js"))))
        .route("/docs/schema.js", serve(Asset::new("text/javascript; charset=utf-8", include_str!("schema.js"))))
        .route("/docs/app.css", serve(Asset::new("text/css; charset=utf-8", include_str!("app.css"))))
        .route("/docs/problems", serve(Asset::new(HTML, catalog.page())))
        .route("/docs/problems.json", serve(Asset::new("application/json", catalog.json())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::http::Request;
    use axum::http::header::IF_NONE_MATCH;
    use tower::ServiceExt;
    use utoipa::OpenApi as _;

    #[derive(utoipa::OpenApi)]
    #[openapi(info(title = "Test", version = "1"))]
    struct Description;

    async fn get(path: &str, held: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(tag) = held {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        router(&Description::openapi(), &ProblemCatalog::new()).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_part_is_served_with_a_tag_and_a_strict_policy() {
        for path in ["/openapi.json", "/docs", "/docs/app.js", "/docs/schema.js", "/docs/app.css", "/docs/problems"] {
            let response = get(path, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self'"));
            let again = get(path, Some(&response.headers()[ETAG])).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert!(to_bytes(again.into_body(), 10).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn the_description_is_openapi_3_1() {
        let body = to_bytes(get("/openapi.json", None).await.into_body(), 65_536).await.unwrap();
        let description: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    }

    #[test]
    fn the_pages_need_no_other_host_and_no_inline_code() {
        for text in [
            include_str!("index.html"),
            include_str!("problems.html"),
            include_str!("app.js"),
            include_str!("schema.js"),
            include_str!("app.css"),
        ] {
            assert!(!text.contains("https://") && !text.contains("//cdn"), "no outside address");
            for inline in ["style=\"", " onclick", "innerHTML", "eval(", "<style"] {
                assert!(!text.contains(inline), "{inline}");
            }
        }
    }
}
