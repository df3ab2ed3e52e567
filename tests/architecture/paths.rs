//! The paths a Rust file names: its `use` trees flattened, and the paths in its code.

use super::sources::Source;

/// Every path with the line it stands on: `crate::crm::contact::Contact`.
pub(super) fn paths(source: &Source) -> Vec<(usize, String)> {
    let code = source.code();
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(offset) = next_use(&code[rest..]) {
        let start = rest + offset;
        let line = line_of(&code, start);
        let Some(length) = code[start..].find(';') else { break };
        plain(&code[rest..start], line_of(&code, rest), &mut found);
        let tree: String = code[start + "use ".len()..start + length].split_whitespace().collect::<Vec<_>>().join(" ");
        flatten("", &tree, line, &mut found);
        rest = start + length;
    }
    plain(&code[rest..], line_of(&code, rest), &mut found);
    found
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Where the next `use` item starts.
fn next_use(code: &str) -> Option<usize> {
    code.match_indices("use ").map(|(at, _)| at).find(|at| {
        let line = code[..*at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with("pub") || line.starts_with("#[cfg")
    })
}

/// Expands `a::{b, c::{d}}` into `a::b` and `a::c::d`.
fn flatten(prefix: &str, tree: &str, line: usize, found: &mut Vec<(usize, String)>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        found.push((line, format!("{prefix}{path}")));
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    // The cut above may take too many braces; what is missing closes at the end anyway.
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                flatten(&prefix, &inner[start..at], line, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        flatten(&prefix, &inner[start..], line, found);
    }
}

/// Paths outside of `use` items.
fn plain(code: &str, first_line: usize, found: &mut Vec<(usize, String)>) {
    for (index, line) in code.lines().enumerate() {
        for word in line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if word.contains("::") {
                found.push((first_line + index, word.trim_end_matches(':').to_owned()));
            }
        }
    }
}

#[test]
fn trees_are_flattened() {
    let text = "use crate::{\n    a::{b, c as d},\n    e,\n};\nfn f() { x::y::z() }\n";
    let source = Source { path: "x.rs".into(), text: text.into() };
    let found: Vec<_> = paths(&source).into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    assert_eq!(found, ["1 crate::a::b", "1 crate::a::c", "1 crate::e", "5 x::y::z"]);
}
