//! The same file name in every layer: an aggregate's events and its decider are found blind.

use super::{none_found, sources::root};
use bus_schema::catalog::AGGREGATES;

#[test]
fn every_aggregate_has_its_file_in_each_layer() {
    let mut findings = Vec::new();
    for spec in AGGREGATES.iter().filter(|spec| spec.context != "claim") {
        let (context, aggregate) = (spec.context.replace('-', "_"), spec.aggregate.replace('-', "_"));
        let file = |layer: &str| root().join(format!("{layer}/src/{context}/{aggregate}.rs"));
        let folder = |layer: &str| root().join(format!("{layer}/src/{context}/{aggregate}"));
        let events = std::fs::read_to_string(file("bus-schema")).unwrap_or_default();
        if events.is_empty() {
            findings.push(format!("bus-schema/src/{context}/{aggregate}.rs:1: put the events of the aggregate here"));
        }
        // Facts are decided by nobody.
        let facts = events.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Facts"));
        if !facts && !file("writers").exists() && !folder("writers").is_dir() {
            findings.push(format!(
                "writers/src/{context}/{aggregate}.rs:1: put the decider here (or say \"Facts\" in the module text of \
                 its events, if nobody decides them)"
            ));
        }
    }
    none_found("Every aggregate of the catalogue has its files:", findings);
}

#[test]
fn kinds_are_unique_and_belong_to_their_aggregate() {
    let kinds = || AGGREGATES.iter().flat_map(|spec| spec.kinds.iter().map(move |kind| (spec, kind)));
    let mut seen = std::collections::BTreeMap::new();
    let mut findings = Vec::new();
    for (spec, kind) in kinds() {
        let place = format!("bus-schema/src/{}/{}.rs:1", spec.context, spec.aggregate);
        if let Some(other) = seen.insert(kind.kind, place.clone()) {
            findings.push(format!("{place}: {} is a kind of {other} already", kind.kind));
        }
        if kind.older.contains(&kind.schema) {
            findings.push(format!("{place}: {} lists {} as old and as present", kind.kind, kind.schema));
        }
    }
    none_found("Kinds are unique:", findings);
}
