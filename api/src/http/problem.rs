//! RFC 9457 problem documents: the only shape in which the API refuses a request.
//!
//! A problem never carries inner details of a fault; those go to the log under the incident id that the client sees.

use std::borrow::Cow;
use std::error::Error;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::codes::{ProblemCode, field};

/// The media type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One refused field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body, or the name of a query parameter such as `filter[status][_eq]`.
    pub pointer: String,
    /// Stable code, e.g. `required`, `wrong_type`, `already_paid`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
    /// What would have been accepted, where that is a short list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub allowed: Vec<String>,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), message: message.into(), allowed: Vec::new() }
    }

    /// Adds the list of accepted values.
    pub fn allowing<S: Into<String>>(mut self, allowed: impl IntoIterator<Item = S>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }
}

/// A refusal, ready to be sent. Boxed parts keep `Result<T, Problem>` small on the good path.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    code: ProblemCode,
    detail: String,
    instance: Option<String>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

/// The document on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// Relative address of the explanation of the code.
    #[serde(rename = "type")]
    pub type_uri: &'a str,
    /// The same short sentence for every occurrence of the code.
    pub title: &'a str,
    /// The HTTP status, repeated for clients that only see the body.
    pub status: u16,
    /// What happened this time.
    pub detail: &'a str,
    /// Names this occurrence: `urn:uuid:` of an incident, or the trace id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<&'a str>,
    /// Stable code to switch on.
    pub code: &'a str,
    /// Refused fields or parameters.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    pub errors: &'a [FieldError],
}

impl Problem {
    /// A problem with the given code. `detail` reaches the caller: say what to do, never show inner state.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            instance: None,
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }

    pub fn code(&self) -> ProblemCode {
        self.0.code
    }

    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    pub fn with_error(mut self, error: FieldError) -> Self {
        self.0.errors.push(error);
        self
    }

    pub fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds headers, e.g. those of the rate limit.
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// Names the occurrence unless it has a name already (an incident id is worth more than a trace id).
    pub fn or_instance(mut self, instance: impl FnOnce() -> String) -> Self {
        self.0.instance.get_or_insert_with(instance);
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// 422: fields of the body are not acceptable.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", if only.pointer.is_empty() { "body" } else { &only.pointer }, only.message),
            many => format!("{} fields are not acceptable; see errors", many.len()),
        };
        Self::new(ProblemCode::ValidationFailed, detail).with_errors(errors)
    }

    /// 422: one field that does not exist.
    pub fn unknown_field(pointer: impl Into<String>) -> Self {
        Self::validation(vec![FieldError::new(pointer, field::UNKNOWN_FIELD, "this field does not exist here")])
    }

    /// 400: query parameters are not acceptable.
    pub fn parameters(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.message),
            many => format!("{} parameters are not acceptable; see errors", many.len()),
        };
        Self::new(ProblemCode::InvalidParameter, detail).with_errors(errors)
    }

    /// 400: a header has an unreadable value.
    pub fn header(name: &str, expected: &str) -> Self {
        Self::new(ProblemCode::InvalidHeader, format!("the header {name} must be {expected}"))
    }

    /// 404: `what` is a noun such as "contact".
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("there is no such {what}"))
    }

    /// 401, with the challenge RFC 9110 demands.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Unauthenticated, detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"millrace\""))
    }

    /// 403, naming the scope that would have been enough.
    pub fn forbidden(scope: &str) -> Self {
        let problem = Self::new(ProblemCode::Forbidden, format!("this needs the scope {scope}"));
        match HeaderValue::try_from(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")) {
            Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
            Err(_) => problem,
        }
    }

    /// 409: all attempts lost against other writers.
    pub fn conflict(retry_after_seconds: u64) -> Self {
        Self::new(ProblemCode::Conflict, "others kept changing the resource; nothing was stored")
            .retry_after(retry_after_seconds)
    }

    /// 409: a unique value is taken.
    pub fn already_exists(error: FieldError) -> Self {
        Self::new(ProblemCode::AlreadyExists, error.message.clone()).with_error(error)
    }

    /// 409: a business rule said no. `rule` is the stable code of the rejection.
    pub fn rejected(rule: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(ProblemCode::Rejected, message.clone()).with_error(FieldError::new("", rule, message))
    }

    /// 412: `current` is the revision now, when the caller may know it.
    pub fn precondition_failed(current: Option<u64>) -> Self {
        let detail = match current {
            Some(revision) => format!("the resource is at revision {revision}"),
            None => "the resource does not exist in that revision".to_owned(),
        };
        Self::new(ProblemCode::PreconditionFailed, detail)
    }

    /// 428: If-Match is missing.
    pub fn precondition_required() -> Self {
        Self::new(ProblemCode::PreconditionRequired, "send If-Match with the ETag of the resource")
    }

    /// 413: `limit` in bytes.
    pub fn payload_too_large(limit: usize) -> Self {
        Self::new(ProblemCode::PayloadTooLarge, format!("the body may have at most {limit} bytes"))
    }

    /// 415.
    pub fn unsupported_media_type(expected: &str) -> Self {
        Self::new(ProblemCode::UnsupportedMediaType, format!("send the body as {expected}"))
    }

    /// 429.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self::new(ProblemCode::TooManyRequests, "the quota of this caller is used up").retry_after(retry_after_seconds)
    }

    /// 422: same Idempotency-Key, other body.
    pub fn idempotency_key_reused() -> Self {
        Self::new(ProblemCode::IdempotencyKeyReused, "this Idempotency-Key was used with a different body")
    }

    /// 409: same Idempotency-Key, still running.
    pub fn request_in_progress() -> Self {
        Self::new(ProblemCode::RequestInProgress, "the request with this Idempotency-Key is still running")
            .retry_after(1)
    }

    /// 500: logs the fault with its sources under a new incident id and tells the caller only that id.
    pub fn fault(fault: &(dyn Error + 'static)) -> Self {
        Self::incident(ProblemCode::InternalError, "the failure was recorded", &chain(fault))
    }

    /// 503: like [`Problem::fault`], for a part that will come back.
    pub fn unavailable(fault: &(dyn Error + 'static), retry_after_seconds: u64) -> Self {
        Self::incident(ProblemCode::Unavailable, "a part this request needs does not answer", &chain(fault))
            .retry_after(retry_after_seconds)
    }

    /// 503 for load, drain and start, which are no incidents.
    pub fn overloaded(detail: &str, retry_after_seconds: u64) -> Self {
        Self::new(ProblemCode::Unavailable, detail).retry_after(retry_after_seconds)
    }

    /// 503: a view did not reach the position of the consistency token in time.
    pub fn view_behind(retry_after_seconds: u64) -> Self {
        Self::new(ProblemCode::ViewBehind, "the view has not reached the position of the token yet")
            .retry_after(retry_after_seconds)
    }

    /// 500 for a caught panic; `what` goes to the log only.
    pub fn panicked(what: &str) -> Self {
        Self::incident(ProblemCode::InternalError, "the failure was recorded", what)
    }

    fn incident(code: ProblemCode, detail: &str, what: &str) -> Self {
        let incident = bus_schema::ids::random_uuid();
        tracing::error!(%incident, code = code.code(), fault = what, "request failed");
        Self::new(code, detail).or_instance(|| format!("urn:uuid:{incident}"))
    }

    /// The wire document of this problem.
    pub fn document(&self) -> ProblemDocument<'_> {
        let Parts { code, detail, instance, errors, .. } = &*self.0;
        ProblemDocument {
            type_uri: code.type_uri(),
            title: code.title(),
            status: code.status_number(),
            detail,
            instance: instance.as_deref(),
            code: code.code(),
            errors,
        }
    }
}

/// An error with all its sources in one line, for the log.
fn chain(fault: &(dyn Error + 'static)) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

impl std::fmt::Display for Problem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}: {}", self.0.code.status_number(), self.0.code.code(), self.0.detail)
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    /// Leaves a copy in the response's extensions, so that the correlation layer can add `instance`.
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.code.status();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PathRejection> for Problem {
    /// An id in the path that cannot be an id names nothing: 404, as for an id that is unknown.
    fn from(_: PathRejection) -> Self {
        Problem::not_found("resource")
    }
}

/// Router fallback: no route has this address.
pub async fn no_such_route(uri: Uri) -> Problem {
    let hint = if uri.path() == "/" { "; the API reference is at /docs, sites are at /sites/<tenant>/" } else { "" };
    Problem::new(ProblemCode::NotFound, format!("there is nothing at {}{hint}", uri.path()))
}

/// Router fallback for a known address with another method. The router itself adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(ProblemCode::MethodNotAllowed, format!("{method} is not offered here; see the {ALLOW} header"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    async fn parts(problem: Problem) -> (u16, HeaderMap, Value) {
        let response = problem.into_response();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body(), 65_536).await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_document_has_the_members_of_the_rfc() {
        let (status, headers, body) = parts(Problem::validation(vec![FieldError::new(
            "/lines/0/quantity",
            field::OUT_OF_RANGE,
            "must be at least 1",
        )]))
        .await;
        assert_eq!((status, headers[CONTENT_TYPE].as_bytes()), (422, PROBLEM_JSON.as_bytes()));
        assert_eq!(
            body,
            json!({
                "type": "/docs/problems#validation_failed",
                "title": "The body has fields that are not acceptable",
                "status": 422,
                "detail": "/lines/0/quantity: must be at least 1",
                "code": "validation_failed",
                "errors": [{"pointer": "/lines/0/quantity", "code": "out_of_range", "message": "must be at least 1"}],
            })
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the table")]
    struct Outer(#[source] std::io::Error);

    #[tokio::test]
    async fn a_fault_shows_an_incident_and_nothing_inside() {
        let fault = Outer(std::io::Error::other("password=hunter2"));
        assert_eq!(chain(&fault), "cannot read the table: password=hunter2");
        let (status, _, body) = parts(Problem::fault(&fault)).await;
        assert_eq!(status, 500);
        assert!(body["instance"].as_str().unwrap().starts_with("urn:uuid:"));
        assert!(!body.to_string().contains("hunter2"));
        let (status, headers, _) = parts(Problem::unavailable(&fault, 0)).await;
        assert_eq!((status, headers[RETRY_AFTER].as_bytes()), (503, &b"1"[..]));
    }

    #[tokio::test]
    async fn challenges_and_retries_are_in_the_headers() {
        let (status, headers, _) = parts(Problem::unauthenticated("the key has expired")).await;
        assert_eq!(status, 401);
        assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
        let (status, headers, body) = parts(Problem::forbidden("crm.contact:write")).await;
        assert_eq!((status, body["detail"].as_str().unwrap()), (403, "this needs the scope crm.contact:write"));
        assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().contains("crm.contact:write"));
        let (status, headers, _) = parts(Problem::conflict(3)).await;
        assert_eq!((status, headers[RETRY_AFTER].as_bytes()), (409, &b"3"[..]));
        assert_eq!(
            parts(Problem::rejected("already_paid", "the order is paid")).await.2["errors"][0]["code"],
            "already_paid"
        );
    }
}
