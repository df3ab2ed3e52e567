//! The identity of a request over all its parts: the W3C `traceparent` of the caller or a fresh one. Its trace id is
//! the correlation id of every event the request causes, and the `X-Request-Id` of the answer.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Trace id, the caller's span (zero when we began the trace), our own span, and whether the trace is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correlation {
    pub trace_id: u128,
    pub parent_span: u64,
    pub span: u64,
    pub sampled: bool,
}

impl Correlation {
    /// A new trace. Ids are unique and unguessable enough for tracing, and cost no system call; they are no secrets.
    pub fn fresh() -> Self {
        let (high, low) = (scattered(), scattered());
        Self {
            trace_id: (u128::from(high) << 64 | u128::from(low)).max(1),
            parent_span: 0,
            span: new_span(),
            sampled: false,
        }
    }

    /// Continues the trace of the caller; an invalid header is ignored, as the W3C recommendation demands.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => parse(value.as_bytes()).unwrap_or_else(Self::fresh),
            _ => Self::fresh(),
        }
    }

    /// The `traceparent` to send on: our span is the parent there.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span, u8::from(self.sampled))
    }

    /// The trace id in the form of event headers.
    pub fn id(&self) -> Uuid {
        Uuid::from_u128(self.trace_id)
    }

    /// The value of `X-Request-Id`: the trace id as 32 hexadecimal digits.
    pub fn header(&self) -> HeaderValue {
        let mut digits = [0u8; 32];
        for (index, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.trace_id >> (124 - 4 * index)) as usize & 15;
            *digit = b"0123456789abcdef"[nibble];
        }
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.trace_id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Correlation {
    type Rejection = Infallible;

    /// The one the outer layer made; outside of it, one from the headers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(match parts.extensions.get::<Correlation>() {
            Some(correlation) => *correlation,
            None => Self::from_headers(&parts.headers),
        })
    }
}

/// `version-traceid-parentid-flags`, all lower-case hexadecimal. Later versions may append more after a dash.
fn parse(text: &[u8]) -> Option<Correlation> {
    let dashes = text.len() >= 55 && text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let version = dashes.then(|| hex(&text[..2])).flatten()?;
    let complete = match version {
        0 => text.len() == 55,
        255 => false,
        _ => text.len() == 55 || text[55] == b'-',
    };
    let (trace_id, parent, flags) = (hex(&text[3..35])?, hex(&text[36..52])?, hex(&text[53..55])?);
    (complete && trace_id != 0 && parent != 0).then(|| Correlation {
        trace_id,
        parent_span: parent as u64,
        span: new_span(),
        sampled: flags & 1 == 1,
    })
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(nibble))
    })
}

fn new_span() -> u64 {
    scattered().max(1)
}

/// A counter through a hash that is keyed at random when the process starts.
fn scattered() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn of(value: &str) -> Correlation {
        Correlation::from_headers(&HeaderMap::from_iter([(TRACEPARENT, HeaderValue::try_from(value).unwrap())]))
    }

    #[test]
    fn a_valid_trace_is_continued() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let correlation = of(text);
        assert_eq!(correlation.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((correlation.parent_span, correlation.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(correlation.header(), correlation.to_string());
        let sent = correlation.traceparent();
        assert!(sent.starts_with(&text[..36]) && sent.ends_with("-01") && sent != text);
        assert_eq!(of(&format!("01{}-more", &text[2..])).trace_id, correlation.trace_id);
    }

    #[test]
    fn invalid_headers_begin_a_new_trace() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(bad).parent_span, 0, "{bad}");
        }
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: HashSet<u128> = (0..1000).map(|_| Correlation::fresh().trace_id).collect();
        assert_eq!(ids.len(), 1000);
    }
}
