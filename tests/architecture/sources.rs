//! The files of the workspace and their text.

use std::path::PathBuf;

/// A source file with its path from the root of the workspace.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// Line numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The text without comments, line by line: what a rule about code looks at.
    pub(super) fn code(&self) -> String {
        self.lines().map(|(_, line)| without_comment(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Cuts a `//` comment that is not inside a string.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut before) = (false, ' ');
    for (at, character) in line.char_indices() {
        match character {
            '"' if before != '\\' && before != '\'' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
        before = character;
    }
    line
}

/// The workspace. Cargo runs tests in the folder of their crate; a path kept at build time would be wrong in a cache of builds
/// that another clone filled.
pub(super) fn root() -> PathBuf {
    PathBuf::from("..")
}

/// Every readable text file of one of these endings, or all with an empty list. Hidden folders other than `.ci` and
/// build folders are passed over.
pub(super) fn files(endings: &[&str]) -> Vec<Source> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if path.is_dir() {
                let build = path.join("CACHEDIR.TAG").exists() || ["target", "node_modules"].contains(&name.as_str());
                if !build && (!name.starts_with('.') || name == ".ci") {
                    folders.push(path);
                }
            } else if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                if let Ok(text) = std::fs::read_to_string(&path) {
                    found.push(Source { path: relative, text });
                }
            }
        }
    }
    found.sort_by(|one, two| one.path.cmp(&two.path));
    assert!(!found.is_empty(), "no files with {endings:?} below {}", root.display());
    found
}

#[test]
fn comments_are_cut_and_strings_are_kept() {
    assert_eq!(without_comment("let a = 1; // why"), "let a = 1; ");
    assert_eq!(without_comment(r#"let a = "nats://x"; // why"#), r#"let a = "nats://x"; "#);
}
