//! What all endpoints have in common: title, authentication, the headers of reads and commands, refusals, names.

use super::{parameter, problem, text};
use crate::http::{codes::ProblemCode, problem::ProblemDocument};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        InfoBuilder, OpenApi, PathItem, RefOr,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::Type,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// Completes the description that the routes made.
pub fn complete(openapi: &mut OpenApi) {
    openapi.info = InfoBuilder::new()
        .title("Millrace")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Commands are durable when they are answered; `Consistency-Token` lets a read wait for them. Lists take \
             `filter[field][_op]=`, `sort=-a,b`, `fields=`, `limit`, `after`. Errors are RFC 9457 problems; every code is \
             explained under /docs/problems.",
        ))
        .build();
    let components = openapi.components.get_or_insert_with(Default::default);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("bearer".into(), RefOr::T(bearer));
    components.schemas.insert(ProblemDocument::name().into_owned(), ProblemDocument::schema());
    let mut schemas = Vec::new();
    ProblemDocument::schemas(&mut schemas);
    components.schemas.extend(schemas);
    openapi.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations(item) {
            name(operation);
            explain(operation);
            if path.starts_with("/v1/") {
                refusals(operation);
                match method {
                    "get" => read(operation),
                    _ => command(method, operation),
                }
            }
        }
    }
}

/// The operations of an address, by method.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `contacts_create`: handlers of several collections have the same name.
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().map(|tag| tag.replace('-', "_")).unwrap_or_default();
    if let Some(id) = operation.operation_id.take().filter(|_| !tag.is_empty()) {
        operation.operation_id = Some(format!("{tag}_{id}"));
    }
}

/// Every response has a description: 3.1 demands it.
fn explain(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            let code = ProblemCode::ALL.iter().find(|code| status.parse() == Ok(code.status_number()));
            let usual = if status.starts_with('2') { "Done" } else { "Refused; `code` says why" };
            response.description = code.map_or(usual, |code| code.title()).to_owned();
        }
    }
}

fn add(operation: &mut Operation, parameter: ParameterBuilder) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
}

/// Every refusal is the same document.
fn refusals(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(problem("Refused; `code` says why").build()));
}

fn read(operation: &mut Operation) {
    add(operation, text("Consistency-Token", ParameterIn::Header, "Wait until this position shows (`eu1:48213`)"));
    add(operation, parameter("wait_ms", ParameterIn::Query, "How long to wait for it: up to 10000", Type::Integer));
}

fn command(method: &str, operation: &mut Operation) {
    let key = "Makes the command safe to send again: the same key and body give the same answer";
    add(operation, text("Idempotency-Key", ParameterIn::Header, key));
    if method != "post" {
        let revision = "The `ETag` the caller saw; 412 if the record has changed since";
        add(operation, text("If-Match", ParameterIn::Header, revision));
    }
}
