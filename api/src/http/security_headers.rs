//! Headers that make browsers strict. A handler's own value always wins: a rendered site has its own policy.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Answers of the API are data: nothing in them may run, load or be framed.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
/// Two years, for the host and all below it.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");

/// What the policy depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecurityHeaders {
    /// Set where every request comes over TLS, directly or through a proxy.
    pub https_only: bool,
}

impl SecurityHeaders {
    /// Whether an address belongs to the API, whose answers no cache may keep.
    pub fn is_api(path: &str) -> bool {
        path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Completes the headers of an answer.
    pub fn write(self, headers: &mut HeaderMap, is_api: bool) {
        let mut default = |name: HeaderName, value: HeaderValue| {
            headers.entry(name).or_insert(value);
        };
        default(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        default(REFERRER_POLICY, REFERRER);
        default(CONTENT_SECURITY_POLICY, if is_api { API_POLICY } else { PAGE_POLICY });
        if is_api {
            default(CACHE_CONTROL, NO_STORE);
        }
        if self.https_only {
            default(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        // Old browsers only know this one; it must not contradict a site that allows framing in its own policy.
        if headers.get(CONTENT_SECURITY_POLICY).is_some_and(|policy| policy == API_POLICY || policy == PAGE_POLICY) {
            headers.entry(X_FRAME_OPTIONS).or_insert(DENY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_answers_are_never_stored_or_framed() {
        let mut headers = HeaderMap::new();
        SecurityHeaders { https_only: true }.write(&mut headers, true);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers[CONTENT_SECURITY_POLICY], API_POLICY);
        assert_eq!((&headers[X_CONTENT_TYPE_OPTIONS], &headers[X_FRAME_OPTIONS]), (&NOSNIFF, &DENY));
        assert!(headers.contains_key(STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn the_handler_has_the_last_word() {
        let own = HeaderValue::from_static("frame-ancestors https://partner.example");
        let mut headers = HeaderMap::from_iter([(CONTENT_SECURITY_POLICY, own.clone())]);
        SecurityHeaders::default().write(&mut headers, false);
        assert_eq!(headers[CONTENT_SECURITY_POLICY], own);
        assert!(!headers.contains_key(X_FRAME_OPTIONS) && !headers.contains_key(CACHE_CONTROL));
        assert!(!headers.contains_key(STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn only_whole_segments_count_as_the_api() {
        assert!(SecurityHeaders::is_api("/v1") && SecurityHeaders::is_api("/v1/orders"));
        assert!(!SecurityHeaders::is_api("/v10/orders") && !SecurityHeaders::is_api("/docs"));
    }
}
