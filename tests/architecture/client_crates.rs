//! Client crates of servers and engines stand behind the ports: the bus module and `backend/`.

use super::{layers::dependencies, none_found, paths::paths, sources::files};

/// The start of a crate's name in paths, where it may be named, and in which packages it may be a dependency.
const CLIENTS: &[(&str, &str, &[&str])] = &[
    ("async_nats", "bus-schema/src/bus/", &["bus-schema"]),
    ("fjall", "projectors/src/backend/", &["projectors"]),
    ("tantivy", "projectors/src/backend/", &["projectors"]),
    // The benchmark compares the platform with the driver itself.
    ("scylla", "projectors/src/backend/", &["projectors", "tests"]),
    ("aws_sdk_s3", "workers/src/archive/backend/", &["workers"]),
    ("aws_smithy", "/backend/", &["workers"]),
    ("aws_sdk_ses", "/src/backend/", &["workers"]),
    ("aws_sdk_kms", "/src/backend/", &["bus-schema"]),
    ("lettre", "/src/backend/", &["workers"]),
];

#[test]
fn client_crates_are_named_behind_the_ports_only() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]).iter().filter(|source| source.path.contains("/src/")) {
        for (line, path) in paths(source) {
            let first = path.trim_start_matches("::").split("::").next().unwrap_or_default();
            let foreign =
                CLIENTS.iter().find(|(name, place, _)| first.starts_with(name) && !source.path.contains(place));
            if let Some((name, place, _)) = foreign {
                findings.push(format!("{}:{line}: {name} is named outside {place}; go through the port", source.path));
            }
        }
    }
    none_found("Client crates are named behind their ports only:", findings);
}

#[test]
fn client_crates_are_dependencies_of_their_layer_only() {
    let mut findings = Vec::new();
    for (package, named) in dependencies() {
        for dependency in named {
            let name = dependency.replace('-', "_");
            let foreign = CLIENTS
                .iter()
                .find(|(client, _, owners)| name.starts_with(client) && !owners.contains(&package.as_str()));
            if let Some((_, place, _)) = foreign {
                findings.push(format!("{package}/Cargo.toml: {dependency} belongs to {place}; use the port"));
            }
        }
    }
    none_found("Client crates are dependencies of their layer only:", findings);
}
