//! Path and query parameters whose refusals are problems like all others. Use these instead of axum's.

use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::codes::field;
use super::problem::{FieldError, Problem};

/// Parameters of the path. What cannot be an id names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let AxumPath(value) = AxumPath::<T>::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// Parameters of the query: 400 when they are not acceptable.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |text: String| {
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned();
            Problem::parameters(vec![FieldError::new("", field::MALFORMED, text)])
        };
        let query = AxumQuery::<T>::from_request_parts(parts, state).await;
        query.map(|AxumQuery(value)| Self(value)).map_err(|rejection| refused(rejection.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, http::Request, routing::get};
    use tower::ServiceExt;
    use uuid::Uuid;

    #[tokio::test]
    async fn refusals_are_problems() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            limit: usize,
        }
        let handler = |Path(_): Path<Uuid>, Query(asked): Query<Asked>| async move { asked.limit.to_string() };
        let router = Router::new().route("/v1/things/{id}", get(handler));
        let id = Uuid::nil();
        let table = [
            (format!("/v1/things/{id}?limit=3"), 200, ""),
            ("/v1/things/none?limit=3".to_owned(), 404, "application/problem+json"),
            (format!("/v1/things/{id}?limit=x"), 400, "application/problem+json"),
            (format!("/v1/things/{id}?limit=3&y=1"), 400, "application/problem+json"),
        ];
        for (uri, status, media_type) in table {
            let response = router.clone().oneshot(Request::get(&uri).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{uri}");
            if status != 200 {
                assert_eq!(response.headers()["content-type"], media_type, "{uri}");
            }
        }
    }

    /// A handler that takes axum's own extractors would answer refusals as plain text.
    #[test]
    fn no_endpoint_uses_the_bare_extractors() {
        fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    sources(&path, found);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    found.push(path);
                }
            }
        }
        let src = std::path::Path::new("src");
        let mut files = Vec::new();
        sources(src, &mut files);
        files.retain(|file| !file.ends_with("http/extract.rs"));
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for used in text.split("use axum::").skip(1).filter_map(|used| used.split(';').next()) {
                let Some(extractors) = used.split("extract::").nth(1) else { continue };
                let extractors = extractors.split('}').next().unwrap_or_default();
                let names = extractors.split(|c: char| !c.is_alphanumeric());
                let bare: Vec<&str> = names.filter(|name| matches!(*name, "Path" | "Query" | "Json")).collect();
                assert!(bare.is_empty(), "{}: take {bare:?} from crate::http::extract or body", file.display());
            }
        }
    }
}
