//! The part of YAML that the files of `ops/deploy` are written in: block and flow collections, plain and quoted scalars, literal
//! blocks, comments, anchors, merges, and several documents. Anything else is an error, not a guess.

use serde_json::{Map, Value};
use std::collections::HashMap;

type Parsed = Result<Value, String>;

struct Line {
    number: usize,
    indent: usize,
    /// Without comment; with it inside a literal.
    text: String,
    raw: String,
}

struct Reader {
    lines: Vec<Line>,
    at: usize,
    anchors: HashMap<String, Value>,
}

/// The documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut documents = Vec::new();
    let mut lines = Vec::new();
    for (number, raw) in text.lines().enumerate().chain([(usize::MAX, "---")]) {
        if raw == "---" {
            let mut reader = Reader { lines: std::mem::take(&mut lines), at: 0, anchors: HashMap::new() };
            if let Some(first) = reader.next_indent() {
                documents.push(reader.block(first)?);
                reader.skip_blank();
                if let Some(line) = reader.lines.get(reader.at) {
                    return Err(format!("line {}: {:?} is out of place", line.number, line.raw));
                }
            }
            continue;
        }
        if raw.contains('\t') {
            return Err(format!("line {}: a tab", number + 1));
        }
        let text = without_comment(raw).trim_end().to_owned();
        let indent = raw.len() - raw.trim_start().len();
        lines.push(Line { number: number + 1, indent, text: text.trim_start().to_owned(), raw: raw.to_owned() });
    }
    Ok(documents)
}

fn without_comment(line: &str) -> &str {
    let (mut quoted, mut before) = (false, ' ');
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '#' if !quoted && before == ' ' => return &line[..at],
            _ => {}
        }
        before = character;
    }
    line
}

impl Reader {
    fn skip_blank(&mut self) {
        while self.lines.get(self.at).is_some_and(|line| line.text.is_empty()) {
            self.at += 1;
        }
    }

    fn next_indent(&mut self) -> Option<usize> {
        self.skip_blank();
        self.lines.get(self.at).map(|line| line.indent)
    }

    fn fault(&self, why: &str) -> String {
        let line = self.lines.get(self.at.min(self.lines.len().saturating_sub(1)));
        format!("line {}: {why}", line.map_or(0, |line| line.number))
    }

    fn block(&mut self, indent: usize) -> Parsed {
        let is_item = |line: &Line| line.text == "-" || line.text.starts_with("- ");
        if self.lines.get(self.at).is_some_and(is_item) { self.sequence(indent) } else { self.mapping(indent) }
    }

    fn sequence(&mut self, indent: usize) -> Parsed {
        let mut items = Vec::new();
        while self.next_indent() == Some(indent) {
            let line = &mut self.lines[self.at];
            let Some(rest) = line.text.strip_prefix("- ") else { break };
            let rest = rest.trim_start().to_owned();
            let is_mapping = !rest.starts_with(['{', '[', '"']) && split_key(&rest).is_some();
            if is_mapping {
                (line.indent, line.text) = (indent + 2, rest);
                items.push(self.block(indent + 2)?);
            } else {
                self.at += 1;
                items.push(self.value(&rest, indent)?);
            }
        }
        Ok(Value::Array(items))
    }

    fn mapping(&mut self, indent: usize) -> Parsed {
        let (mut own, mut merged) = (Map::new(), Map::new());
        while self.next_indent() == Some(indent) {
            let text = self.lines[self.at].text.clone();
            let (key, rest) = split_key(&text).ok_or_else(|| self.fault("no `key: value`"))?;
            let key = key.trim_matches('"').to_owned();
            self.at += 1;
            let value = self.value(rest, indent)?;
            match (key.as_str(), value) {
                ("<<", Value::Object(base)) => merged.extend(base),
                ("<<", _) => return Err(self.fault("what is merged is no mapping")),
                _ if own.contains_key(&key) => return Err(self.fault(&format!("{key} stands twice"))),
                (_, value) => drop(own.insert(key.clone(), value)),
            }
        }
        merged.extend(own);
        Ok(Value::Object(merged))
    }

    /// What stands behind a key or a dash, on its line and below it.
    fn value(&mut self, text: &str, indent: usize) -> Parsed {
        if let Some(rest) = text.strip_prefix('&') {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let value = self.value(rest, indent)?;
            self.anchors.insert(name.to_owned(), value.clone());
            return Ok(value);
        }
        if let Some(name) = text.strip_prefix('*') {
            return self.anchors.get(name).cloned().ok_or_else(|| self.fault(&format!("no anchor {name}")));
        }
        if text == "|" {
            let start = self.at;
            while self.lines.get(self.at).is_some_and(|line| line.raw.trim().is_empty() || line.indent > indent) {
                self.at += 1;
            }
            let lines: Vec<&str> = self.lines[start..self.at].iter().map(|line| line.raw.as_str()).collect();
            return Ok(Value::String(lines.join("\n")));
        }
        if text.is_empty() {
            let is_item = |line: &Line| line.text.starts_with("- ");
            return match self.next_indent() {
                Some(deeper) if deeper > indent => self.block(deeper),
                Some(same) if same == indent && self.lines.get(self.at).is_some_and(is_item) => self.sequence(indent),
                _ => Ok(Value::Null),
            };
        }
        if text.starts_with(['{', '[']) {
            let mut whole = text.to_owned();
            while depth(&whole) > 0 {
                self.skip_blank();
                let line = self.lines.get(self.at).ok_or_else(|| self.fault("a bracket is not closed"))?;
                whole = format!("{whole} {}", line.text);
                self.at += 1;
            }
            let mut rest = whole.as_str();
            let value = flow(&mut rest).map_err(|why| self.fault(&why))?;
            return if rest.trim().is_empty() { Ok(value) } else { Err(self.fault("something behind a bracket")) };
        }
        scalar(text).map_err(|why| self.fault(&why))
    }
}

/// `key: rest` or `key:`.
fn split_key(text: &str) -> Option<(&str, &str)> {
    if let Some((key, rest)) = text.split_once(": ") {
        return Some((key, rest.trim()));
    }
    text.strip_suffix(':').map(|key| (key, ""))
}

fn depth(text: &str) -> i32 {
    let (mut quoted, mut depth) = (false, 0);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth
}

fn flow(rest: &mut &str) -> Parsed {
    *rest = rest.trim_start();
    match rest.chars().next() {
        Some('[') => {
            let mut items = Vec::new();
            *rest = &rest[1..];
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix(']') {
                    *rest = after;
                    return Ok(Value::Array(items));
                }
                items.push(flow(rest)?);
                comma(rest, ']')?;
            }
        }
        Some('{') => {
            let mut pairs = Map::new();
            *rest = &rest[1..];
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return Ok(Value::Object(pairs));
                }
                let (key, after) = rest.split_once(": ").ok_or("a key without value")?;
                *rest = after.trim_start();
                let value = if rest.starts_with([',', '}']) { Value::Null } else { flow(rest)? };
                pairs.insert(key.trim().trim_matches('"').to_owned(), value);
                comma(rest, '}')?;
            }
        }
        Some('"') => {
            let end = rest[1..].find('"').ok_or("a quote is not closed")?;
            let value = rest[1..=end].to_owned();
            *rest = &rest[end + 2..];
            Ok(Value::String(value))
        }
        _ => {
            let end = rest.find([',', ']', '}']).ok_or("a bracket is not closed")?;
            let value = scalar(rest[..end].trim())?;
            *rest = &rest[end..];
            Ok(value)
        }
    }
}

fn comma(rest: &mut &str, end: char) -> Result<(), String> {
    *rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix(',') {
        *rest = after;
        return Ok(());
    }
    if rest.starts_with(end) { Ok(()) } else { Err(format!("no comma before {rest:?}")) }
}

fn scalar(text: &str) -> Parsed {
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(Value::String(inner.to_owned()));
    }
    if text.starts_with(['\'', '>', '!', '%', '@', '`']) || text.contains(": ") {
        return Err(format!("{text:?} is not of the part of YAML that is used here"));
    }
    Ok(match text {
        "true" => true.into(),
        "false" => false.into(),
        "null" | "~" => Value::Null,
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    })
}

#[test]
fn the_part_that_is_used_is_read() {
    let text = "# a comment\nbase: &base\n  image: x:1 # why\n  on: [a, \"b, c\"]\nservices:\n  one:\n    <<: *base\n    \
                env: {A: 1, B: , C: \"2\"}\n    list:\n      - name: n\n        deep: {x: [{y: z}]}\n      - plain\n---\n\
                kind: K\ntext: |\n  a: b # kept\n\n  c\nlast: {a: b,\n  c: d}\n";
    let found = documents(text).unwrap();
    let expected = serde_json::json!({
        "base": {"image": "x:1", "on": ["a", "b, c"]},
        "services": {"one": {"image": "x:1", "on": ["a", "b, c"], "env": {"A": 1, "B": null, "C": "2"},
            "list": [{"name": "n", "deep": {"x": [{"y": "z"}]}}, "plain"]}},
    });
    assert_eq!(found[0], expected);
    assert_eq!(found[1]["text"], "  a: b # kept\n\n  c");
    assert_eq!(found[1]["last"]["c"], "d");
    for bad in ["a: b\n c: d", "a: 'b'", "a: [b", "a: *nobody", "a: 1\na: 2", "\ta: b", "word"] {
        assert!(documents(bad).is_err(), "{bad:?}");
    }
}
