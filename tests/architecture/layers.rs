//! `bus-schema <- writers, projectors <- workers, api <- ops <- tests`: who may depend on whom.

use super::{none_found, sources::root};
use serde_json::Value;

/// Each crate with those of the workspace it may name.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("bus-schema", &[]),
    ("writers", &["bus-schema"]),
    ("projectors", &["bus-schema"]),
    ("workers", &["bus-schema", "writers", "projectors"]),
    ("api", &["bus-schema", "writers", "projectors"]),
    ("ops", &["bus-schema", "writers", "projectors", "workers", "api"]),
    ("tests", &["bus-schema", "writers", "projectors", "workers", "api", "ops"]),
];

/// The packages of the workspace with their direct normal dependencies.
pub(super) fn dependencies() -> Vec<(String, Vec<String>)> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = dependencies();
    let mut findings = Vec::new();
    for (package, named) in &packages {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| name == package) else {
            findings
                .push(format!("{package}/Cargo.toml: a new crate; give it a place in tests/architecture/layers.rs"));
            continue;
        };
        let members = named.iter().filter(|name| MAY_NAME.iter().any(|(member, _)| member == name));
        for wrong in members.filter(|name| !allowed.contains(&name.as_str())) {
            findings
                .push(format!("{package}/Cargo.toml: {package} must not depend on {wrong}; move what both need down"));
        }
    }
    none_found("The layers are bus-schema <- writers, projectors <- workers, api <- ops <- tests:", findings);
    assert_eq!(packages.len(), MAY_NAME.len(), "every layer is a crate");
}
