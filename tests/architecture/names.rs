//! Names that say nothing, and marks of unfinished work.

use super::{none_found, sources::files};

const EMPTY_WORDS: [&str; 8] = ["manager", "managers", "helper", "helpers", "util", "utils", "impl", "impls"];
const ITEMS: [&str; 6] = ["struct ", "enum ", "trait ", "type ", "mod ", "union "];

/// The words of a name in camel or snake case, lower-cased.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if character == '_' || (character.is_uppercase() && words.last().is_some_and(|word| !word.is_empty())) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character != '_') {
            word.extend(character.to_lowercase());
        }
    }
    words
}

fn is_empty_name(name: &str) -> bool {
    words(name).iter().any(|word| EMPTY_WORDS.contains(&word.as_str()))
}

/// The item a line of code defines.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let rest = ITEMS.iter().find_map(|item| line.strip_prefix(item))?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[test]
fn names_say_what_things_are() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]) {
        let module = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if is_empty_name(module) {
            findings.push(format!("{}:1: name the module after what it holds", source.path));
        }
        for (line, text) in source.lines() {
            if let Some(name) = defined(text).filter(|name| is_empty_name(name)) {
                findings.push(format!("{}:{line}: {name} says nothing; name it after what it is", source.path));
            }
        }
    }
    none_found("No Manager, Helper, Util or Impl:", findings);
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not find itself.
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("#[ig", "nore")];
    let marks = [concat!("FIX", "ME")];
    // Only at the start of a comment: elsewhere it is a currency (ISO 4217) or a pattern of a file name.
    let comments = [concat!("// X", "XX"), concat!("# X", "XX")];
    let mut findings = Vec::new();
    for source in files(&[".rs", ".sh", ".py", ".js", ".css", ".html", ".toml", "ops/up", "ops/test"]) {
        for (line, text) in source.lines() {
            let mut whole = text.split(|c: char| !c.is_alphanumeric());
            let found = macros.iter().chain(&comments).find(|mark| text.contains(**mark)).copied();
            if let Some(mark) = found.or_else(|| whole.find(|word| marks.contains(word))) {
                findings.push(format!("{}:{line}: {mark}; finish it or open a ticket", source.path));
            }
        }
    }
    none_found("Nothing is left unfinished:", findings);
}

#[test]
fn names_are_split_into_words() {
    assert!(is_empty_name("KeyManager") && is_empty_name("http_utils") && is_empty_name("StoreImpl"));
    assert!(!is_empty_name("Implicit") && !is_empty_name("Utility") && !is_empty_name("management"));
    assert_eq!(defined("pub(crate) struct KeyStore<'a> {"), Some("KeyStore"));
}
