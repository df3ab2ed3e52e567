//! Read your own writes: a command answers with `Consistency-Token: eu1:48213`, and a read that sends the token back
//! waits, for a bounded time, until the view has reached that position.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::codes::field;
use super::problem::{FieldError, Problem};

pub const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");

/// A token names at most this many streams.
const MAX_POSITIONS: usize = 16;
const MAX_STREAM_NAME: usize = 48;

/// How long a read waits when `wait_ms` is absent, and at most.
pub const DEFAULT_WAIT: Duration = Duration::from_millis(2_000);
pub const MAX_WAIT: Duration = Duration::from_millis(10_000);

/// Positions in the logs of one or several cells (`eu1`) and their fact streams (`fx.eu1`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsistencyToken {
    positions: Vec<(String, u64)>,
}

/// A token that is not of the form `eu1:48213, fx.eu1:99`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a consistency token must be up to {MAX_POSITIONS} pairs like eu1:48213, separated by commas")]
pub struct MalformedToken;

impl ConsistencyToken {
    pub fn new() -> Self {
        Self::default()
    }

    /// The token of one position.
    pub fn at(stream: impl Into<String>, sequence: u64) -> Self {
        Self { positions: vec![(stream.into(), sequence)] }
    }

    /// Raises the position of a stream; a lower one changes nothing.
    pub fn raise(&mut self, stream: &str, sequence: u64) {
        match self.positions.iter_mut().find(|(name, _)| name == stream) {
            Some((_, position)) => *position = sequence.max(*position),
            None => self.positions.push((stream.to_owned(), sequence)),
        }
    }

    /// The position that a view of this stream has to reach.
    pub fn position(&self, stream: &str) -> Option<u64> {
        self.positions.iter().find(|(name, _)| name == stream).map(|(_, position)| *position)
    }

    pub fn positions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.positions.iter().map(|(name, position)| (name.as_str(), *position))
    }

    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Puts the token into the headers of an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let (false, Ok(value)) = (self.is_empty(), HeaderValue::try_from(self.to_string())) {
            headers.insert(CONSISTENCY_TOKEN, value);
        }
    }
}

impl fmt::Display for ConsistencyToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (stream, sequence)) in self.positions.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{stream}:{sequence}")?;
        }
        Ok(())
    }
}

impl FromStr for ConsistencyToken {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, MalformedToken> {
        let mut token = ConsistencyToken::new();
        for pair in text.split(',') {
            let (stream, sequence) = pair.trim().split_once(':').ok_or(MalformedToken)?;
            let name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
            let named = (1..=MAX_STREAM_NAME).contains(&stream.len()) && stream.bytes().all(name);
            let numbered = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
            if !named || !numbered {
                return Err(MalformedToken);
            }
            token.raise(stream, sequence.parse().map_err(|_| MalformedToken)?);
            if token.positions.len() > MAX_POSITIONS {
                return Err(MalformedToken);
            }
        }
        Ok(token)
    }
}

/// What a read asks for, as an extractor: the token of the header and the time to wait (`?wait_ms=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    pub token: ConsistencyToken,
    pub wait: Duration,
}

impl<S: Send + Sync> FromRequestParts<S> for Consistency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut token = ConsistencyToken::new();
        for value in parts.headers.get_all(CONSISTENCY_TOKEN) {
            let part: ConsistencyToken = value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Problem::header("Consistency-Token", "pairs like eu1:48213, separated by commas"))?;
            part.positions().for_each(|(stream, sequence)| token.raise(stream, sequence));
        }
        Ok(Self { token, wait: wait(parts.uri.query().unwrap_or_default())? })
    }
}

/// `wait_ms` of a query string, 0 to [`MAX_WAIT`].
fn wait(query: &str) -> Result<Duration, Problem> {
    let Some(value) = query.split('&').find_map(|pair| pair.strip_prefix("wait_ms=")) else { return Ok(DEFAULT_WAIT) };
    let text = percent_decode_str(value).decode_utf8_lossy();
    match text.parse::<u64>().map(Duration::from_millis) {
        Ok(wait) if wait <= MAX_WAIT => Ok(wait),
        _ => Err(Problem::parameters(vec![FieldError::new(
            "wait_ms",
            field::OUT_OF_RANGE,
            format!("must be a number of milliseconds from 0 to {}", MAX_WAIT.as_millis()),
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[test]
    fn tokens_survive_a_round_trip() {
        for text in ["eu1:48213", "eu1:48213, fx.eu1:99", "us-2:0"] {
            assert_eq!(text.parse::<ConsistencyToken>().unwrap().to_string(), text);
        }
        let token: ConsistencyToken = " eu1:5,eu1:9 , eu1:7".parse().unwrap();
        assert_eq!((token.position("eu1"), token.position("us1"), token.positions().count()), (Some(9), None, 1));
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let many = (0..=MAX_POSITIONS).map(|n| format!("c{n}:1")).collect::<Vec<_>>().join(",");
        for text in ["", "eu1", "eu1:", ":5", "eu1:-5", "eu1:+5", "EU1:5", "eu1:5,", "eu1:99999999999999999999", &many]
        {
            assert_eq!(text.parse::<ConsistencyToken>(), Err(MalformedToken), "{text}");
        }
    }

    async fn extract(uri: &str, token: &str) -> Result<Consistency, Problem> {
        let request = Request::get(uri).header(CONSISTENCY_TOKEN, token).body(()).unwrap();
        Consistency::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn the_wait_is_bounded() {
        let read = extract("/v1/orders?a=1&wait_ms=500", "eu1:7").await.unwrap();
        assert_eq!((read.wait, read.token.position("eu1")), (Duration::from_millis(500), Some(7)));
        assert_eq!(extract("/v1/orders", "eu1:7").await.unwrap().wait, DEFAULT_WAIT);
        assert_eq!(extract("/?wait_ms=10001", "eu1:7").await.unwrap_err().errors()[0].pointer, "wait_ms");
        assert!(extract("/?wait_ms=x", "eu1:7").await.is_err());
        assert!(extract("/", "7").await.is_err());
    }

    #[test]
    fn an_answer_carries_the_token() {
        let mut headers = HeaderMap::new();
        ConsistencyToken::new().write(&mut headers);
        assert!(headers.is_empty());
        ConsistencyToken::at("eu1", 3).write(&mut headers);
        assert_eq!(headers[CONSISTENCY_TOKEN], "eu1:3");
    }
}
