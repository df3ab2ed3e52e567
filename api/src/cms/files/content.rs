//! The bytes of a file as an answer: whole or a range of them (RFC 9110, 14), with a tag, and under headers that let
//! nothing in it run.

use crate::http::etag::IfNoneMatch;
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use bus_schema::cms::media;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use projectors::cms::files::FileRow;
use std::io::{Seek, SeekFrom};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Whatever a file holds runs nothing, loads nothing from elsewhere and has an origin of its own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; frame-ancestors 'self'",
);
/// Characters that stand for themselves in an address and in `filename*` (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Bytes read from disk at once.
const PIECE: usize = 64 * 1024;

/// A segment of an address.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

/// Answers GET and HEAD. `file` is open at its beginning and belongs to `row`.
pub fn respond(
    file: std::fs::File,
    row: &FileRow,
    method: &Method,
    request: &HeaderMap,
    cache: HeaderValue,
) -> std::io::Result<Response> {
    let mut answer = Response::new(Body::empty());
    if *method != Method::GET && *method != Method::HEAD {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(answer);
    }
    let tag = format!("\"{}\"", row.blob);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    put(headers, ETAG, &tag);
    if IfNoneMatch::from_headers(request).holds(&row.blob) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    let media = media::find(&row.media_type);
    let charset = if media.is_some_and(media::MediaType::is_text) { "; charset=utf-8" } else { "" };
    put(headers, CONTENT_TYPE, &format!("{}{charset}", row.media_type));
    put(headers, CONTENT_DISPOSITION, &disposition(media.is_some_and(|media| media.in_place), &row.name));
    let size = file.metadata()?.len();
    // A range of an earlier content would be a range of something else.
    let is_same = request.get(IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    let asked = request.get(RANGE).filter(|_| is_same && *method == Method::GET);
    let (start, length) = match asked.map_or(Wanted::Whole, |range| Wanted::parse(range.as_bytes(), size)) {
        Wanted::Whole => (0, size),
        Wanted::Part { start, length } => {
            put(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", start + length - 1));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            (start, length)
        }
        Wanted::Nothing => {
            put(headers, CONTENT_RANGE, &format!("bytes */{size}"));
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(answer);
        }
    };
    put(answer.headers_mut(), CONTENT_LENGTH, &length.to_string());
    if *method == Method::GET {
        let mut file = file;
        file.seek(SeekFrom::Start(start))?;
        let bytes = tokio::fs::File::from_std(file).take(length);
        *answer.body_mut() = Body::from_stream(ReaderStream::with_capacity(bytes, PIECE));
    }
    Ok(answer)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// RFC 6266: a plain name for old programs and the true one.
fn disposition(in_place: bool, name: &str) -> String {
    let kind = if in_place { "inline" } else { "attachment" };
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%;".contains(c) || c == ' ' { c } else { '_' }).collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", segment(name))
}

/// What a Range header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part {
        start: u64,
        length: u64,
    },
    /// Nothing of the file lies in it: 416.
    Nothing,
}

impl Wanted {
    /// One range of bytes. Several at once, other units and what cannot be read get the whole file, as the RFC allows.
    fn parse(header: &[u8], size: u64) -> Self {
        let range = std::str::from_utf8(header).ok().and_then(|text| text.trim().strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Self::Whole };
        let number = |digits: &str| -> Option<u64> {
            let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            valid.then(|| digits.parse().unwrap_or(u64::MAX))
        };
        match (first.trim(), number(first.trim()), last.trim(), number(last.trim())) {
            ("", _, _, Some(count)) => match count.min(size) {
                0 => Self::Nothing,
                length => Self::Part { start: size - length, length },
            },
            (_, Some(start), "", _) if start < size => Self::Part { start, length: size - start },
            (_, Some(start), _, Some(end)) if start <= end && start < size => {
                Self::Part { start, length: end.min(size - 1) - start + 1 }
            }
            (_, Some(_), "", _) => Self::Nothing,
            (_, Some(start), _, Some(end)) if start <= end => Self::Nothing,
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use bus_schema::Actor;
    use std::io::Write;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |start, length| Wanted::Part { start, length };
        for (header, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-4", part(2, 3)),
            ("bytes=2-", part(2, 8)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=8-99999999999999999999999", part(8, 2)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(Wanted::parse(header.as_bytes(), 10), wanted, "{header}");
        }
        assert_eq!(Wanted::parse(b"bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(disposition(true, "a b.png"), "inline; filename=\"a b.png\"; filename*=UTF-8''a%20b.png");
        let tricky = disposition(false, "Käse\";x=\r\n%41.pdf");
        assert_eq!(
            tricky,
            "attachment; filename=\"K_se__x=___41.pdf\"; filename*=UTF-8''K%C3%A4se%22%3Bx%3D%0D%0A%2541.pdf"
        );
        assert!(HeaderValue::try_from(tricky).is_ok());
    }

    fn answered(media_type: &str, method: Method, headers: &[(HeaderName, &str)]) -> Response {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.rewind().unwrap();
        let row = FileRow {
            blob: "ab".repeat(32),
            size: 10,
            media_type: media_type.into(),
            name: "a.txt".into(),
            alt: String::new(),
            pixels: None,
            until: None,
            uploaded_by: Actor::Visitor,
        };
        let request = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        respond(file, &row, &method, &request, HeaderValue::from_static("no-cache")).unwrap()
    }

    #[tokio::test]
    async fn answers_carry_what_was_asked_for() {
        let whole = answered("text/plain", Method::GET, &[]);
        assert_eq!((whole.status(), &whole.headers()[CONTENT_LENGTH]), (StatusCode::OK, &HeaderValue::from(10)));
        assert_eq!(whole.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(whole.headers()[CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
        assert!(whole.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox"));
        assert_eq!(&to_bytes(whole.into_body(), 99).await.unwrap()[..], b"0123456789");
        let part = answered("image/png", Method::GET, &[(RANGE, "bytes=3-5")]);
        assert_eq!(
            (part.status(), &part.headers()[CONTENT_RANGE]),
            (StatusCode::PARTIAL_CONTENT, &HeaderValue::from_static("bytes 3-5/10"))
        );
        assert!(part.headers()[CONTENT_DISPOSITION].to_str().unwrap().starts_with("inline"));
        assert_eq!(&to_bytes(part.into_body(), 99).await.unwrap()[..], b"345");
        let other = answered("image/png", Method::GET, &[(RANGE, "bytes=3-5"), (IF_RANGE, "\"other\"")]);
        assert_eq!(other.status(), StatusCode::OK);
        let beyond = answered("image/png", Method::GET, &[(RANGE, "bytes=10-")]);
        assert_eq!(
            (beyond.status(), &beyond.headers()[CONTENT_RANGE]),
            (StatusCode::RANGE_NOT_SATISFIABLE, &HeaderValue::from_static("bytes */10"))
        );
        let head = answered("image/png", Method::HEAD, &[]);
        assert_eq!(head.headers()[CONTENT_LENGTH], "10");
        assert!(to_bytes(head.into_body(), 99).await.unwrap().is_empty());
        let tag = format!("\"{}\"", "ab".repeat(32));
        let held = answered("image/png", Method::GET, &[(axum::http::header::IF_NONE_MATCH, &tag)]);
        assert_eq!(held.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answered("image/png", Method::POST, &[]).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
