//! The description is complete and well formed: what OpenAPI 3.1 demands and what generators of clients need.

use super::common::operations;
use crate::router::{all_routes, openapi};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

fn every<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| every(item, visit)),
        Value::Object(members) => members.values().for_each(|member| every(member, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves() {
    let document = document();
    let mut broken = BTreeSet::new();
    every(&document, &mut |value| {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').unwrap_or("outside");
            if document.pointer(pointer).is_none() {
                broken.insert(target.to_owned());
            }
        }
    });
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn operations_are_named_once_and_described() {
    let mut openapi = openapi();
    let mut seen = BTreeMap::new();
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations(item) {
            let place = format!("{method} {path}");
            let id = operation.operation_id.clone().unwrap_or_default();
            assert!(!id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{place}: {id:?}");
            if let Some(other) = seen.insert(id.clone(), place.clone()) {
                panic!("{place} and {other} are both {id}: name one of the handlers otherwise");
            }
            assert!(operation.summary.as_deref().is_some_and(|text| text.len() > 5), "{place} says nothing");
            assert_eq!(operation.tags.as_ref().map(Vec::len), Some(1), "{place} has one tag");
            assert!(operation.responses.responses.keys().any(|status| status.starts_with(['2', '3'])), "{place}");
        }
    }
    assert!(seen.len() > 20, "only {} operations", seen.len());
}

/// Every `{name}` of an address is a required parameter, and there is no other.
#[test]
fn path_parameters_are_those_of_the_address() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let named: BTreeSet<&str> =
            path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default()).collect();
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let mut keys = BTreeSet::new();
            let mut declared = BTreeSet::new();
            for parameter in &parameters {
                let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
                assert!(keys.insert((name, place)), "{method} {path}: {name} stands twice");
                assert!(["query", "path", "header"].contains(&place), "{method} {path}: {name} in {place}");
                assert!(parameter["schema"].is_object(), "{method} {path}: {name} has no schema");
                if place == "path" {
                    assert_eq!(parameter["required"], true, "{method} {path}: {name}");
                    declared.insert(name);
                }
            }
            assert_eq!(declared, named, "{method} {path}");
        }
    }
}

#[test]
fn the_document_has_the_shape_of_3_1() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let number = status.parse::<u16>().is_ok_and(|number| (100..600).contains(&number));
                assert!(number || status == "default", "{method} {path}: {status}");
                assert!(response["description"].is_string(), "{method} {path}: {status}");
            }
            if let Some(body) = operation.get("requestBody") {
                assert!(!body["content"].as_object().unwrap().is_empty(), "{method} {path}");
                assert_ne!(method, "get", "{path} has a body");
            }
            for requirement in operation["security"].as_array().into_iter().flatten() {
                for scheme in requirement.as_object().unwrap().keys() {
                    assert!(document["components"]["securitySchemes"][scheme].is_object(), "{method} {path}: {scheme}");
                }
            }
        }
    }
    // What 3.0 had and 3.1 has not.
    every(&document, &mut |value| assert!(value.get("nullable").is_none(), "nullable is of 3.0: {value}"));
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{name}");
    }
}

/// Whoever merges two descriptions keeps one of two schemas of the same name: then a client reads the wrong one.
#[test]
fn one_name_means_one_schema() {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    for part in all_routes() {
        let (_, openapi) = part.split_for_parts();
        for (name, schema) in openapi.components.map(|components| components.schemas).unwrap_or_default() {
            let schema = serde_json::to_value(schema).unwrap();
            let known = seen.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*known, schema, "two schemas are called {name}: rename one");
        }
    }
}

/// Routes come only with their description. What is left are the pages of the reference itself and the sites.
#[test]
fn no_route_is_made_without_a_description() {
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
    for file in files {
        let name = file.strip_prefix(src).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let undescribed = [".route(", ".route_service(", ".nest("].iter().any(|call| code.contains(call));
        let allowed = name == "docs/pages.rs"
            || name.starts_with("http/")
            || name.starts_with("site/")
            || name.ends_with("tests.rs");
        assert!(allowed || !undescribed, "{name}: use OpenApiRouter::routes(routes!(..)), so that it is described");
    }
}

#[test]
fn what_needs_no_login_says_so() {
    let document = document();
    let open = |path: &str, method: &str| document["paths"][path][method]["security"] == serde_json::json!([{}]);
    assert!(open("/v1/sessions", "post") && open("/readyz", "get"));
    assert!(!open("/v1/contacts", "post") && !open("/v1/events", "get") && !open("/v1/views", "get"));
}
