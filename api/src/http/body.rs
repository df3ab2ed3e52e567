//! The JSON body of a request, taken strictly: media type, size, nesting, duplicate and unknown fields are checked,
//! and what is wrong is named by JSON Pointer.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment, Track};
use sha2::{Digest, Sha256};

use super::codes::{ProblemCode, field};
use super::problem::{FieldError, Problem};
use super::strict_json::{self, MAX_DEPTH, Refusal, push_segment};
use super::timed_body::TooSlow;

/// How many bytes a body may have. A route with larger bodies sets another one with `axum::Extension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(256 * 1024)
    }
}

/// At most this many errors are listed for one body.
const MAX_ERRORS: usize = 20;

/// A body that has been read, checked and decoded.
#[derive(Debug, Clone)]
pub struct JsonBody<T> {
    pub value: T,
    /// SHA-256 of the bytes as they came: the fingerprint that tells a repeated request from a changed one.
    pub digest: [u8; 32],
}

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request).await?;
        Ok(JsonBody { value: decode(&bytes)?, digest: Sha256::digest(&bytes).into() })
    }
}

/// Accepts `application/json` and `application/<anything>+json`, in UTF-8.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Problem::unsupported_media_type("application/json");
    let value = headers.get(CONTENT_TYPE).ok_or_else(refused)?.to_str().map_err(|_| refused())?;
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let (kind, subtype) = essence.trim().split_once('/').ok_or_else(refused)?;
    let is_json = subtype.eq_ignore_ascii_case("json")
        || subtype.len() > 5 && subtype.as_bytes()[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
    let is_utf8 = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if kind.eq_ignore_ascii_case("application") && is_json && is_utf8 { Ok(()) } else { Err(refused()) }
}

/// Reads a whole body within the [`BodyLimit`] of the route: 413 when larger, 408 when it comes too slowly.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let BodyLimit(limit) = request.extensions().get::<BodyLimit>().copied().unwrap_or_default();
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::payload_too_large(limit));
    }
    collect(request.into_body(), limit).await
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| unreadable(&error))?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Problem::payload_too_large(limit));
        }
        // Nearly every body is one frame: it is passed on without a copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

fn unreadable(error: &axum::Error) -> Problem {
    let mut source = Some(error as &(dyn std::error::Error + 'static));
    while let Some(inner) = source {
        if let Some(slow) = inner.downcast_ref::<TooSlow>() {
            return Problem::new(ProblemCode::RequestTimeout, slow.to_string());
        }
        source = inner.source();
    }
    Problem::new(ProblemCode::MalformedJson, "the connection ended before the body did")
}

/// Decodes a JSON object into `T`, refusing unknown fields even where `T` would ignore them.
pub fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let malformed = |detail: String| Problem::new(ProblemCode::MalformedJson, detail);
    if text.is_empty() {
        return Err(malformed("the body is empty".to_owned()));
    }
    if let Err(error) = std::str::from_utf8(text) {
        return Err(malformed(format!("the body is not UTF-8 from byte {}", error.valid_up_to())));
    }
    strict_json::check(text, MAX_DEPTH).map_err(|refusal| match refusal {
        Refusal::Syntax(message) => malformed(message),
        Refusal::Structure(errors) => Problem::validation(errors),
    })?;
    // An array would be taken for the fields of an object in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::validation(vec![FieldError::new("", field::WRONG_TYPE, "an object is expected")]));
    }

    let mut unknown = Vec::new();
    let mut track = Track::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < MAX_ERRORS {
            unknown.push(FieldError::new(
                ignored_pointer(&path),
                field::UNKNOWN_FIELD,
                "this field does not exist here",
            ));
        }
    };
    let outcome = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    match outcome {
        Ok(value) if unknown.is_empty() => Ok(value),
        Ok(_) => Err(Problem::validation(unknown)),
        Err(error) => {
            unknown.insert(0, explain(&error.to_string(), &track.path()));
            Err(Problem::validation(unknown))
        }
    }
}

fn ignored_pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => {
            let mut pointer = ignored_pointer(parent);
            push_segment(&mut pointer, &index.to_string());
            pointer
        }
        Path::Map { parent, key } => {
            let mut pointer = ignored_pointer(parent);
            push_segment(&mut pointer, key);
            pointer
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            ignored_pointer(parent)
        }
    }
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => push_segment(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_segment(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Turns serde's message into a pointer, a code and a sentence without line numbers.
fn explain(message: &str, path: &Path) -> FieldError {
    let message = message.rfind(" at line ").map_or(message, |end| &message[..end]);
    let mut at = pointer(path);
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let mut child = |name: &str| {
        if !at.ends_with(&format!("/{name}")) {
            push_segment(&mut at, name);
        }
    };
    let code = match message.split_once(' ').map_or(("", ""), |(a, b)| (a, b.split_whitespace().next().unwrap_or(""))) {
        ("missing", "field") => {
            // A missing field inside an equally named parent is still a child: never fold the two.
            push_segment(&mut at, quoted);
            field::REQUIRED
        }
        ("unknown", "field") => {
            child(quoted);
            field::UNKNOWN_FIELD
        }
        ("duplicate", "field") => {
            child(quoted);
            field::DUPLICATE_FIELD
        }
        ("unknown", "variant") => field::UNKNOWN_VARIANT,
        ("invalid", "type:") => field::WRONG_TYPE,
        _ => field::INVALID_VALUE,
    };
    let sentence = match code {
        field::REQUIRED => "this field must be present".to_owned(),
        field::UNKNOWN_FIELD => "this field does not exist here".to_owned(),
        // The crate's words are about digits and groups, which nobody types.
        _ if message.starts_with("UUID parsing failed") => {
            "an id such as 9e4cc5e5-c169-84b1-a14d-4b12d1194b64 is expected".to_owned()
        }
        _ => message.to_owned(),
    };
    let error = FieldError::new(at, code, sentence);
    match (code, message.split_once("expected")) {
        (field::UNKNOWN_FIELD | field::UNKNOWN_VARIANT, Some((_, expected))) => {
            error.allowing(expected.split('`').skip(1).step_by(2))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request as HttpRequest;
    use futures::stream;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Person,
        Company,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        quantity: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        kind: Kind,
        lines: Vec<Line>,
        #[serde(default)]
        note: Option<String>,
    }

    fn refusal(text: &str) -> Vec<(String, String)> {
        let problem = decode::<Order>(text.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), ProblemCode::ValidationFailed, "{problem}");
        problem.errors().iter().map(|e| (e.pointer.clone(), e.code.to_string())).collect()
    }

    fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), code.to_owned())]
    }

    #[test]
    fn an_id_that_is_none_is_told_in_words_of_the_api() {
        #[derive(Debug, Deserialize)]
        struct Message {
            #[serde(rename = "to")]
            _to: uuid::Uuid,
        }
        let problem = decode::<Message>(br#"{"to":"ada@example.org"}"#).unwrap_err();
        let error = &problem.errors()[0];
        assert_eq!((error.pointer.as_str(), error.code.to_string().as_str()), ("/to", "invalid_value"));
        assert!(error.message.starts_with("an id such as"), "{}", error.message);
    }

    #[test]
    fn errors_point_at_the_field() {
        assert_eq!(refusal(r#"{"kind":"person","lines":[{"quantity":"2"}]}"#), one("/lines/0/quantity", "wrong_type"));
        assert_eq!(
            refusal(r#"{"kind":"person","lines":[{"quantity":-2}]}"#),
            one("/lines/0/quantity", "invalid_value")
        );
        assert_eq!(refusal(r#"{"kind":"person","lines":[{}]}"#), one("/lines/0/quantity", "required"));
        assert_eq!(refusal(r#"{"lines":[]}"#), one("/kind", "required"));
        assert_eq!(refusal(r#"{"kind":"alien","lines":[]}"#), one("/kind", "unknown_variant"));
        assert_eq!(refusal(r#"{"kind":"person","lines":[],"lines":[]}"#), one("/lines", "duplicate_field"));
        assert_eq!(
            refusal(r#"{"kind":"person","lines":[{"quantity":1,"a/b":2}],"x":1}"#),
            [one("/lines/0/a~1b", "unknown_field"), one("/x", "unknown_field")].concat()
        );
        let problem = decode::<Order>(br#"{"kind":"alien","lines":[]}"#).unwrap_err();
        assert_eq!(problem.errors()[0].allowed, ["person", "company"]);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Closed {
        #[serde(rename = "a")]
        _a: u8,
    }

    #[test]
    fn types_that_deny_unknown_fields_give_the_same_answer() {
        let problem = decode::<Closed>(br#"{"a":1,"b":2}"#).unwrap_err();
        assert_eq!((&*problem.errors()[0].pointer, &*problem.errors()[0].code), ("/b", "unknown_field"));
    }

    #[test]
    fn broken_text_is_malformed() {
        for text in [&b""[..], b"{", b"\xff{}", b"{} x"] {
            assert_eq!(decode::<Order>(text).unwrap_err().code(), ProblemCode::MalformedJson);
        }
    }

    fn post(content_type: Option<&str>, body: Body) -> Request {
        let mut builder = HttpRequest::post("/");
        if let Some(value) = content_type {
            builder = builder.header(CONTENT_TYPE, value);
        }
        builder.body(body).unwrap()
    }

    #[tokio::test]
    async fn the_extractor_checks_media_type_and_size() {
        let text = r#"{"kind":"company","lines":[],"note":null}"#;
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"] {
            let body = JsonBody::<Order>::from_request(post(Some(good), Body::from(text)), &()).await.unwrap();
            assert_eq!(body.digest, <[u8; 32]>::from(Sha256::digest(text)));
            assert_eq!(body.value.kind, Kind::Company);
        }
        for bad in [
            None,
            Some("text/plain"),
            Some("application/json; charset=latin1"),
            Some("json"),
            Some("application/+json"),
        ] {
            let problem = JsonBody::<Order>::from_request(post(bad, Body::from(text)), &()).await.unwrap_err();
            assert_eq!(problem.code(), ProblemCode::UnsupportedMediaType, "{bad:?}");
        }
        let mut large = post(Some("application/json"), Body::from(text));
        large.extensions_mut().insert(BodyLimit(10));
        assert_eq!(JsonBody::<Order>::from_request(large, &()).await.unwrap_err().code(), ProblemCode::PayloadTooLarge);
    }

    #[tokio::test]
    async fn chunks_are_joined_and_counted() {
        let chunks = || Body::from_stream(stream::iter(["[1", ",2", ",3]"].map(Ok::<_, std::io::Error>)));
        assert_eq!(&collect(chunks(), 7).await.unwrap()[..], b"[1,2,3]");
        assert_eq!(collect(chunks(), 6).await.unwrap_err().code(), ProblemCode::PayloadTooLarge);
    }
}
