//! Optimistic concurrency over HTTP: the strong `ETag` of a resource is its revision, and `If-Match` and
//! `If-None-Match` (RFC 9110, 13.1) are read against it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// At most this many tags stand in one header; more are refused.
const MAX_TAGS: usize = 32;
const MAX_HEADER: usize = 4096;

/// The entity tag of a revision: `"r48213"`.
pub fn of_revision(revision: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"r{revision}\"")).unwrap_or(HeaderValue::from_static("\"r0\""))
}

/// What a header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`: any current representation.
    Any,
    /// Opaque tags without quotes; `true` marks a weak one.
    List(Vec<(bool, String)>),
}

impl Tags {
    fn parse(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
        let refused = || Problem::header(name.as_str(), "* or a list of quoted entity tags such as \"r48213\"");
        let mut list = Vec::new();
        let mut seen = 0;
        for value in headers.get_all(name) {
            seen += 1;
            let mut rest = value.to_str().map_err(|_| refused())?.trim();
            if rest.len() > MAX_HEADER {
                return Err(refused());
            }
            if rest == "*" {
                return if seen == 1 && list.is_empty() { Ok(Some(Tags::Any)) } else { Err(refused()) };
            }
            while !rest.is_empty() {
                let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |tail| (true, tail));
                let (tag, tail) = quoted.strip_prefix('"').and_then(|q| q.split_once('"')).ok_or_else(refused)?;
                list.push((weak, tag.to_owned()));
                rest = match tail.trim_start() {
                    "" => "",
                    more => more.strip_prefix(',').ok_or_else(refused)?.trim_start(),
                };
                if list.len() > MAX_TAGS {
                    return Err(refused());
                }
            }
        }
        match (seen, list.is_empty()) {
            (0, _) => Ok(None),
            (_, true) => Err(refused()),
            _ => Ok(Some(Tags::List(list))),
        }
    }
}

fn revision_of(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('r').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The `If-Match` header of a write, as an extractor. Tags compare strongly: a weak one never matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfMatch(Option<Tags>);

impl IfMatch {
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        Tags::parse(headers, &IF_MATCH).map(Self)
    }

    /// 428 when the header is missing: for writes where a lost update would hurt.
    pub fn required(self) -> Result<Self, Problem> {
        if self.0.is_none() { Err(Problem::precondition_required()) } else { Ok(self) }
    }

    /// `If-Match: *`: any revision, as long as there is one.
    pub fn is_any(&self) -> bool {
        matches!(self.0, Some(Tags::Any))
    }

    /// The revision the writer has to expect, when exactly one is named.
    pub fn expected(&self) -> Option<u64> {
        match &self.0 {
            Some(Tags::List(list)) => match list.as_slice() {
                [(false, tag)] => revision_of(tag),
                _ => None,
            },
            _ => None,
        }
    }

    /// 412 unless the current revision (`None`: the resource does not exist) is acceptable.
    pub fn check(&self, current: Option<u64>) -> Result<(), Problem> {
        let accepted = match (&self.0, current) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Tags::Any), Some(_)) => true,
            (Some(Tags::List(list)), Some(revision)) => {
                list.iter().any(|(weak, tag)| !weak && revision_of(tag) == Some(revision))
            }
        };
        if accepted { Ok(()) } else { Err(Problem::precondition_failed(current)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::from_headers(&parts.headers)
    }
}

/// The `If-None-Match` header, as an extractor. Tags compare weakly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfNoneMatch(Option<Tags>);

impl IfNoneMatch {
    /// An unreadable value is ignored: the worst outcome is a full answer.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self(Tags::parse(headers, &IF_NONE_MATCH).unwrap_or_default())
    }

    /// Whether a reader already holds this opaque tag (without quotes).
    pub fn holds(&self, current: &str) -> bool {
        match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::List(list)) => list.iter().any(|(_, tag)| tag == current),
        }
    }

    /// Whether a reader already holds this revision.
    pub fn holds_revision(&self, revision: u64) -> bool {
        match &self.0 {
            Some(Tags::List(list)) => list.iter().any(|(_, tag)| revision_of(tag) == Some(revision)),
            other => other.is_some(),
        }
    }

    /// 412 when a write asks for `*` ("only if it does not exist") and the resource exists.
    pub fn check_absent(&self, current: Option<u64>) -> Result<(), Problem> {
        match current {
            Some(revision) if self.holds_revision(revision) => Err(Problem::precondition_failed(current)),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

/// The answer of a read with its tag, or 304 when the reader holds that revision.
pub fn respond(if_none_match: &IfNoneMatch, revision: u64, answer: impl IntoResponse) -> Response {
    let mut response = if if_none_match.holds_revision(revision) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer.into_response()
    };
    response.headers_mut().insert(ETAG, of_revision(revision));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    fn if_match(value: &str) -> IfMatch {
        IfMatch::from_headers(&headers(IF_MATCH, value)).unwrap()
    }

    #[test]
    fn if_match_compares_strongly() {
        for (value, current, accepted) in [
            ("\"r7\"", Some(7), true),
            ("\"r7\"", Some(8), false),
            ("\"r1\", \"r7\"", Some(7), true),
            ("W/\"r7\"", Some(7), false),
            ("*", Some(1), true),
            ("*", None, false),
            ("\"r7\"", None, false),
            ("\"abc\"", Some(7), false),
            ("\"r+7\"", Some(7), false),
        ] {
            assert_eq!(if_match(value).check(current).is_ok(), accepted, "{value} {current:?}");
        }
        assert_eq!(if_match("\"r7\"").expected(), Some(7));
        assert_eq!(if_match("\"r7\",\"r8\"").expected(), None);
    }

    #[test]
    fn a_missing_header_is_refused_only_where_required() {
        let none = IfMatch::from_headers(&HeaderMap::new()).unwrap();
        none.check(None).unwrap();
        assert_eq!(none.required().unwrap_err().code(), ProblemCode::PreconditionRequired);
        if_match("*").required().unwrap();
    }

    #[test]
    fn unreadable_values_are_refused() {
        for value in ["r7", "\"r7", "\"r7\" \"r8\"", "", ",", "\"a\",*"] {
            let problem = IfMatch::from_headers(&headers(IF_MATCH, value)).unwrap_err();
            assert_eq!(problem.code(), ProblemCode::InvalidHeader, "{value}");
        }
        let many = vec!["\"r1\""; MAX_TAGS + 1].join(",");
        assert!(IfMatch::from_headers(&headers(IF_MATCH, &many)).is_err());
    }

    #[test]
    fn readers_who_hold_the_revision_get_304() {
        let holds = IfNoneMatch::from_headers(&headers(IF_NONE_MATCH, "W/\"r9\", \"r3\""));
        let response = respond(&holds, 9, "body");
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"r9\"");
        assert_eq!(respond(&holds, 10, "body").status(), StatusCode::OK);
        assert_eq!(respond(&IfNoneMatch::from_headers(&HeaderMap::new()), 9, "").status(), StatusCode::OK);
        let absent = IfNoneMatch::from_headers(&headers(IF_NONE_MATCH, "*"));
        absent.check_absent(None).unwrap();
        assert_eq!(absent.check_absent(Some(1)).unwrap_err().code(), ProblemCode::PreconditionFailed);
    }
}
