//! Files of a site: `/sites/<tenant>/files/<id>/<name>` under every host, `/files/<id>/<name>` under the tenant's own.
//!
//! The id is what counts; another name leads to the present one. A name has a dot and a page's address has none, so the two
//! never meet.

use super::target::{Form, Target};
use crate::{
    app::App,
    cms::files::{public_path, respond},
    http::problem::Problem,
};
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse, Response},
};
use bus_schema::TenantId;
use percent_encoding::percent_decode_str;
use projectors::cms::files::Files;
use uuid::Uuid;

/// The content under an id never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Names change, and what is missing may be reinstated.
const A_MINUTE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// A file as a visitor asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAddress {
    tenant: TenantId,
    id: Uuid,
    /// As it came, still encoded.
    name: String,
}

impl FileAddress {
    /// `None`: this is no address of a file, so it may be one of a page.
    pub fn of(target: &Target<'_>) -> Option<Self> {
        let (tenant, below) = match target.slug.strip_prefix("sites/").filter(|_| target.form == Form::Host) {
            Some(rest) => rest.split_once('/')?,
            None => (&*target.tenant, target.slug),
        };
        let (id, name) = below.strip_prefix("files/")?.split_once('/')?;
        let id = Uuid::try_parse(id).ok().filter(|_| id.len() == 36)?;
        let is_file = name.contains('.') && !name.contains('/');
        is_file.then_some(Self { tenant: TenantId::try_new(tenant).ok()?, id, name: name.to_owned() })
    }

    pub async fn answer(&self, app: &App, method: &Method, request: &HeaderMap) -> Response {
        let found = match app.views.record::<Files>(&self.tenant, self.id).await {
            Ok(found) => found.map(|record| record.row).filter(|row| !row.is_deleted()),
            Err(error) => return Problem::from(error).into_response(),
        };
        let Some(row) = found else { return missing() };
        let named = percent_decode_str(&self.name).decode_utf8().is_ok_and(|name| *name == *row.name);
        if !named {
            return moved(&public_path(&self.tenant, self.id, &row.name));
        }
        let answered = match app.files.open(&self.tenant, &row.blob).await {
            Ok(file) => respond(file, &row, method, request, FOR_EVER),
            Err(problem) => return problem.into_response(),
        };
        match answered {
            Ok(mut response) => {
                // Fonts and films are used from other hosts of the tenant; nothing here depends on who asks.
                response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                response
            }
            Err(error) => Problem::unavailable(&error, 5).into_response(),
        }
    }
}

fn missing() -> Response {
    let headers = [(CACHE_CONTROL, A_MINUTE), (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
    (StatusCode::NOT_FOUND, headers, "There is no such file.\n").into_response()
}

fn moved(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(CACHE_CONTROL, A_MINUTE);
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn address(host: &str, path: &str) -> Option<(String, String)> {
        let request = Request::get(path).header("host", host).body(()).unwrap();
        let found = FileAddress::of(&Target::of(&request)?)?;
        Some((found.tenant.to_string(), found.name))
    }

    #[test]
    fn files_are_told_from_pages() {
        let id = "0190c7f4-6f5e-7b8a-9c0d-1e2f3a4b5c6d";
        let file = |tenant: &str, name: &str| Some((tenant.to_owned(), name.to_owned()));
        for (host, path, expected) in [
            ("localhost", format!("/sites/demo/files/{id}/a%20b.png"), file("demo", "a%20b.png")),
            ("demo.localhost", format!("/files/{id}/a.png"), file("demo", "a.png")),
            ("demo.localhost", format!("/sites/demo/files/{id}/a.png"), file("demo", "a.png")),
            ("other.localhost", format!("/sites/demo/files/{id}/a.png"), file("demo", "a.png")),
            ("localhost", format!("/sites/demo/files/{id}/page"), None),
            ("localhost", format!("/sites/demo/files/{id}/a/b.png"), None),
            ("localhost", format!("/sites/demo/files/{}/a.png", id.replace('-', "")), None),
            ("localhost", "/sites/demo/files/none/a.png".to_owned(), None),
            ("localhost", "/sites/demo/files".to_owned(), None),
            ("localhost", format!("/files/{id}/a.png"), None),
        ] {
            assert_eq!(address(host, &path), expected, "{host} {path}");
        }
    }
}
