//! Inside a layer one context does not name another: contexts meet through events and ids. `workers` is the exception,
//! crossing is its job. What a lower layer offers (an event, a service) may be used by any context above it: a request
//! that concerns two contexts is put together in the API.

use super::{none_found, paths::paths, sources::files};

const CONTEXTS: [&str; 8] = ["identity", "cms", "crm", "shop", "learning", "mail", "analytics", "platform"];
const LAYERS: [&str; 4] = ["bus-schema", "writers", "projectors", "api"];

/// The context another path leads into, if it leads into one of the four layers.
fn context_named(layer: &str, path: &str) -> Option<String> {
    let mut segments = path.split("::");
    let first = segments.next()?;
    let own = ["crate", "super"].contains(&first);
    if !own {
        return None;
    }
    let next = segments.find(|segment| *segment != "super")?;
    // `super::shop` from a context's own file is that context's own part; only the layer's root holds contexts.
    let from_root = first != "super" || path.starts_with("super::super::");
    (CONTEXTS.contains(&next) && from_root && !layer.is_empty()).then(|| next.to_owned())
}

#[test]
fn a_context_does_not_name_another() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]) {
        let mut segments = source.path.split('/');
        let (Some(layer), Some("src"), Some(place)) = (segments.next(), segments.next(), segments.next()) else {
            continue;
        };
        let home = place.trim_end_matches(".rs");
        if !LAYERS.contains(&layer) || !CONTEXTS.contains(&home) {
            continue;
        }
        for (line, path) in paths(&source) {
            if let Some(other) = context_named(layer, &path).filter(|other| other != home) {
                let file = &source.path;
                findings.push(format!(
                    "{file}:{line}: {home} names {other} ({path}); take its id or its event instead, or move the \
                     crossing to workers"
                ));
            }
        }
    }
    none_found("Inside a layer one context does not name another:", findings);
}

#[test]
fn the_rule_sees_foreign_contexts() {
    assert_eq!(context_named("writers", "crate::crm::contact::Contact").as_deref(), Some("crm"));
    assert_eq!(context_named("writers", "bus_schema::shop::order"), None);
    assert_eq!(context_named("writers", "super::super::mail::campaign").as_deref(), Some("mail"));
    assert_eq!(context_named("writers", "crate::writer::Writer"), None);
    assert_eq!(context_named("writers", "super::mail"), None);
}
