//! Nothing of the machine it was written on: no absolute paths of a home or a scratch folder, no registry hosts.

use super::{none_found, sources::files};

/// Put together here, so that this file does not find itself.
const FOLDERS: [&str; 4] = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ho", "me/")];
const HOSTS: [&str; 5] = [
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("py", "pi.org"),
    concat!("registry.npm", "js"),
    concat!("arti", "factory"),
];

/// Whether the folder stands at the start of an absolute path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !(before.is_alphanumeric() || ['.', '_', '-', '}', '*'].contains(&before))
    })
}

#[test]
fn no_paths_or_hosts_of_one_machine() {
    let mut findings = Vec::new();
    let endings = [".rs", ".sh", ".py", ".js", ".css", ".html", ".toml", ".md", ".yml", ".yaml", "ops/up", "ops/test"];
    for source in files(&endings) {
        for (line, text) in source.lines() {
            let place = format!("{}:{line}", source.path);
            let scratch_comment = text.contains("//") && text.contains("temp");
            if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(text, folder) && !scratch_comment) {
                findings.push(format!(
                    "{place}: {folder} exists on one machine only; take a temporary folder or a setting"
                ));
            }
            if let Some(host) = HOSTS.iter().find(|host| text.contains(**host)) {
                findings.push(format!("{place}: {host}; registries are configured outside the project"));
            }
        }
    }
    none_found("Nothing of one machine stands in the project:", findings);
}
