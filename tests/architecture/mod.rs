//! The rules of the design, read from the sources. Every failure says where and what to do.

mod client_crates;
mod contexts;
mod deploy;
mod file_sizes;
mod layers;
mod machine_paths;
mod names;
mod paths;
mod same_names;
mod sources;

/// The workspace, for tests elsewhere that look at sources.
pub(crate) fn workspace() -> std::path::PathBuf {
    sources::root()
}

/// Fails with one line per finding.
fn none_found(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}\n{}", findings.join("\n"));
}
