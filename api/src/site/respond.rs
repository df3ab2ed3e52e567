//! From a finished page to an answer. Every visit takes this path: it clones shared bytes and one finished header map.

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::negotiate::{accepted, names_tag};
use super::page::{CachedPage, Variant};

/// Answers `GET` and `HEAD`; pages allow no other method.
pub fn respond(request: &HeaderMap, method: &Method, page: &CachedPage) -> Response<Body> {
    if *method != Method::GET && *method != Method::HEAD {
        return refused();
    }
    let variant = page.variant(accepted(request.get(ACCEPT_ENCODING).map(HeaderValue::as_bytes)));
    let mut response = if page.status == StatusCode::OK && is_held(request, page, variant) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = variant.unchanged.clone();
        return response;
    } else if *method == Method::HEAD {
        Response::new(Body::empty())
    } else {
        Response::new(Body::from(variant.body.clone()))
    };
    *response.status_mut() = page.status;
    *response.headers_mut() = variant.headers.clone();
    response
}

/// Whether the client holds this very variant (RFC 9110, 13.2.2: the tag decides, the date only without one).
fn is_held(request: &HeaderMap, page: &CachedPage, variant: &Variant) -> bool {
    let mut tags = request.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        return tags.any(|header| names_tag(header.as_bytes(), variant.etag.as_bytes()));
    }
    // Clients send back the date they were given; any other date gets the page.
    page.last_modified.is_some() && request.get(IF_MODIFIED_SINCE) == page.last_modified.as_ref()
}

fn refused() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::page::PageHead;
    use axum::http::header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, ETAG,
        LAST_MODIFIED, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
    };
    use http_body_util::BodyExt;

    fn page() -> CachedPage {
        let head = PageHead { language: "de", last_modified: "2026-03-05T14:00:00Z".parse().ok(), policy: None };
        CachedPage::page("<p>Guten Tag</p>\n".repeat(200), &head)
    }

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect()
    }

    fn get(page: &CachedPage, pairs: &[(axum::http::HeaderName, &str)]) -> Response<Body> {
        respond(&headers(pairs), &Method::GET, page)
    }

    async fn body(response: Response<Body>) -> bytes::Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_page_comes_in_the_coding_asked_for() {
        let page = page();
        let plain = get(&page, &[]);
        assert_eq!(plain.status(), StatusCode::OK);
        for (name, value) in [
            (CACHE_CONTROL, "public, max-age=0, must-revalidate"),
            (CONTENT_LANGUAGE, "de"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (VARY, "accept-encoding"),
            (LAST_MODIFIED, "Thu, 05 Mar 2026 14:00:00 GMT"),
            (CONTENT_LENGTH, "3400"),
        ] {
            assert_eq!(plain.headers()[&name], value);
        }
        assert!(plain.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self';"));
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let mut tags = vec![plain.headers()[ETAG].clone()];
        assert_eq!(body(plain).await.len(), 3400);
        for (asked, coding) in [("gzip", "gzip"), ("gzip, br", "br")] {
            let response = get(&page, &[(ACCEPT_ENCODING, asked)]);
            assert_eq!(response.headers()[CONTENT_ENCODING], coding);
            let length: usize = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
            assert!(!tags.contains(&response.headers()[ETAG]));
            tags.push(response.headers()[ETAG].clone());
            assert_eq!(body(response).await.len(), length);
        }
    }

    #[tokio::test]
    async fn who_holds_the_variant_gets_304() {
        let page = page();
        let tag = get(&page, &[(ACCEPT_ENCODING, "br")]).headers()[ETAG].to_str().unwrap().to_owned();
        let same = get(&page, &[(ACCEPT_ENCODING, "br"), (IF_NONE_MATCH, &format!("W/{tag}"))]);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(same.headers()[ETAG], tag);
        assert!(!same.headers().contains_key(CONTENT_LENGTH) && same.headers().contains_key(VARY));
        assert!(body(same).await.is_empty());
        // The tag of another coding is another tag.
        assert_eq!(get(&page, &[(ACCEPT_ENCODING, "gzip"), (IF_NONE_MATCH, &tag)]).status(), StatusCode::OK);
        let date = "Thu, 05 Mar 2026 14:00:00 GMT";
        assert_eq!(get(&page, &[(IF_MODIFIED_SINCE, date)]).status(), StatusCode::NOT_MODIFIED);
        let both = get(&page, &[(IF_MODIFIED_SINCE, date), (IF_NONE_MATCH, "\"other\"")]);
        assert_eq!(both.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn head_has_the_headers_and_no_body() {
        let page = page();
        let response = respond(&headers(&[(ACCEPT_ENCODING, "gzip")]), &Method::HEAD, &page);
        assert_eq!(response.headers(), get(&page, &[(ACCEPT_ENCODING, "gzip")]).headers());
        assert!(body(response).await.is_empty());
        let post = respond(&HeaderMap::new(), &Method::POST, &page);
        assert_eq!(
            (post.status(), &post.headers()[ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
        );
    }

    #[tokio::test]
    async fn misses_redirects_and_errors() {
        let gone = CachedPage::not_found(crate::site::system_pages::not_found("en", "A&B"), &PageHead::default());
        let response = get(&gone, &[(IF_NONE_MATCH, "*")]);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(String::from_utf8_lossy(&body(response).await).contains("A&amp;B"));
        let moved = get(&CachedPage::redirect("/new", "en", "Acme").unwrap(), &[]);
        assert_eq!(
            (moved.status(), &moved.headers()[LOCATION]),
            (StatusCode::MOVED_PERMANENTLY, &HeaderValue::from_static("/new"))
        );
        let failed = get(&CachedPage::failed(StatusCode::INTERNAL_SERVER_ERROR, "en", "Acme"), &[]);
        assert_eq!(failed.headers()[CACHE_CONTROL], "no-store");
    }
}
