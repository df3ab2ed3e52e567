//! A file on its way in, as a form (RFC 7578) or as the body itself.

use super::desk::Told;
use crate::{
    app::App,
    http::{
        codes::{ProblemCode, field},
        problem::{FieldError, Problem},
        timed_body::TooSlow,
    },
};
use axum::{body::Body, http::HeaderMap, http::header};
use bus_schema::TenantId;
use futures::StreamExt;
use multer::{Constraints, Field, Multipart, SizeLimit};
use std::error::Error;
use writers::cms::file::Content;

/// Bytes of a form around the file: its other fields and the borders.
const AROUND: u64 = 64 * 1024;
/// Bytes of one field that is no file.
const FIELD: usize = 8 * 1024;

/// A file whose bytes are durable, with what its sender says of it.
pub(super) struct Received {
    pub(super) content: Content,
    pub(super) name: String,
    pub(super) alt: String,
}

impl Received {
    /// What tells one request from another under the same key.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        [self.content.blob.as_bytes(), self.content.media_type.as_bytes(), self.name.as_bytes(), self.alt.as_bytes()]
            .join(&b"\n"[..])
    }
}

/// Takes the body: a form with a field `file` and perhaps `name` and `alt`, or the file itself.
pub(super) async fn receive(
    app: &App,
    tenant: &TenantId,
    headers: &HeaderMap,
    name: Option<String>,
    alt: Option<String>,
    body: Body,
) -> Result<Received, Problem> {
    let limit = app.files.limit();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit + AROUND) {
        return Err(too_large(limit));
    }
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if declared.trim_start().get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data")) {
        return form(app, tenant, declared, (name, alt), body).await;
    }
    let name = name.ok_or_else(|| missing("name", "say what the file is called: ?name=photo.png"))?;
    let bytes = body.into_data_stream().map(|piece| piece.map_err(|error| broken(&error))).boxed();
    let told = Told { media_type: Some(declared), name: &name };
    let content = app.files.receive(tenant, bytes, told).await?;
    Ok(Received { content, name, alt: alt.unwrap_or_default() })
}

async fn form(
    app: &App,
    tenant: &TenantId,
    declared: &str,
    (mut name, mut alt): (Option<String>, Option<String>),
    body: Body,
) -> Result<Received, Problem> {
    let limit = app.files.limit();
    let boundary = multer::parse_boundary(declared).map_err(|error| malformed(&error, limit))?;
    let sizes = SizeLimit::new().whole_stream(limit + AROUND);
    let constraints = Constraints::new().size_limit(sizes);
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut taken: Option<(Content, String)> = None;
    while let Some(part) = form.next_field().await.map_err(|error| malformed(&error, limit))? {
        match part.name() {
            Some("file") if taken.is_some() => {
                return Err(wrong("file", "duplicate_field", "one request uploads one file"));
            }
            Some("file") => {
                let sent = part.file_name().unwrap_or_default().to_owned();
                let media_type = part.content_type().map(ToString::to_string);
                let called = name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| sent.clone());
                let bytes = part.map(move |piece| piece.map_err(|error| malformed(&error, limit))).boxed();
                let told = Told { media_type: media_type.as_deref(), name: &called };
                taken = Some((app.files.receive(tenant, bytes, told).await?, sent));
            }
            Some("name") => name = Some(text("name", part, limit).await?),
            Some("alt") => alt = Some(text("alt", part, limit).await?),
            other => {
                let other = other.unwrap_or_default().chars().take(40).collect::<String>();
                return Err(wrong(&other, field::UNKNOWN_FIELD, "the form has the fields file, name and alt"));
            }
        }
    }
    let (content, sent) = taken.ok_or_else(|| missing("file", "the form has no field `file` with the file"))?;
    let name = name.filter(|name| !name.is_empty()).unwrap_or(sent);
    Ok(Received { content, name, alt: alt.unwrap_or_default() })
}

async fn text(what: &str, mut part: Field<'_>, limit: u64) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(|error| malformed(&error, limit))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > FIELD {
            return Err(wrong(what, "too_long", "at most 8 KiB"));
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong(what, "invalid_text", "the text is not UTF-8"))
}

fn wrong(what: &str, code: &'static str, message: &str) -> Problem {
    Problem::validation(vec![FieldError::new(format!("/{what}"), code, message)])
}

fn missing(what: &str, message: &str) -> Problem {
    wrong(what, field::REQUIRED, message)
}

fn too_large(limit: u64) -> Problem {
    Problem::payload_too_large(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A form that cannot be read, or whose connection ended.
fn malformed(error: &multer::Error, limit: u64) -> Problem {
    match error {
        multer::Error::StreamReadFailed(source) => broken(&**source),
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => too_large(limit),
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => cut_off(),
        error => Problem::new(ProblemCode::ValidationFailed, format!("the form cannot be read: {error}")),
    }
}

fn cut_off() -> Problem {
    Problem::new(ProblemCode::RequestTimeout, "the connection ended before the file did; send it again")
}

fn broken(error: &(dyn Error + 'static)) -> Problem {
    let mut source = Some(error);
    while let Some(inner) = source {
        if let Some(slow) = inner.downcast_ref::<TooSlow>() {
            return Problem::new(ProblemCode::RequestTimeout, slow.to_string());
        }
        source = inner.source();
    }
    cut_off()
}
