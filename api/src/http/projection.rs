//! `fields=id,name,author.name`: an answer reduced to what the caller asked for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codes::field;
use super::problem::FieldError;

/// The most names in one list.
const MAX_NAMES: usize = 100;
/// The most dots in one name.
const MAX_DOTS: usize = 4;

/// A tree of names; a node without children keeps its whole value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection(BTreeMap<String, Projection>);

impl Projection {
    /// Reads a comma-separated list. With a non-empty `known`, other top-level names are refused.
    pub fn try_parse(list: &str, known: &[&str]) -> Result<Self, FieldError> {
        let refused =
            |code, message: String| Err(FieldError::new("fields", code, message).allowing(known.iter().copied()));
        if list.split(',').count() > MAX_NAMES {
            return refused(field::TOO_MANY, format!("at most {MAX_NAMES} names are allowed"));
        }
        let mut root = Projection::default();
        for name in list.split(',').map(str::trim) {
            let letters = name.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            });
            if !letters || name.matches('.').count() > MAX_DOTS {
                return refused(field::MALFORMED, format!("{name:?} is not the name of a field"));
            }
            let top = name.split('.').next().unwrap_or(name);
            if !known.is_empty() && !known.contains(&top) {
                return refused(field::UNKNOWN_FIELD, format!("there is no field {top}"));
            }
            root.insert(name);
        }
        Ok(root)
    }

    fn insert(&mut self, name: &str) {
        let mut node = self;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            match node.0.get(part) {
                // `author` was asked for as a whole before: `author.name` adds nothing.
                Some(whole) if whole.0.is_empty() => return,
                _ if last => {
                    node.0.insert(part.to_owned(), Projection::default());
                    return;
                }
                _ => node = node.0.entry(part.to_owned()).or_default(),
            }
        }
    }

    /// Whether a top-level field will be kept, so that dear ones need not be computed.
    pub fn keeps(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains_key(name)
    }

    /// Removes everything that was not asked for; arrays are reduced item by item.
    pub fn apply(&self, value: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::Object(members) => members.retain(|name, member| match self.0.get(name) {
                Some(inner) => {
                    inner.apply(member);
                    true
                }
                None => false,
            }),
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reduced(list: &str) -> Value {
        let mut value = json!({
            "id": 1, "name": "n", "author": {"id": 2, "name": "a"},
            "lines": [{"sku": "x", "price": {"amount": 5, "currency": "EUR"}}, {"sku": "y"}],
        });
        Projection::try_parse(list, &[]).unwrap().apply(&mut value);
        value
    }

    #[test]
    fn only_what_was_asked_for_remains() {
        assert_eq!(reduced("id, name"), json!({"id": 1, "name": "n"}));
        assert_eq!(reduced("author.name,missing"), json!({"author": {"name": "a"}}));
        assert_eq!(
            reduced("lines.price.amount,lines.sku"),
            json!({"lines": [{"sku": "x", "price": {"amount": 5}}, {"sku": "y"}]})
        );
        for whole in ["author,author.name", "author.name,author"] {
            assert_eq!(reduced(whole), json!({"author": {"id": 2, "name": "a"}}));
        }
        assert!(Projection::default().keeps("x") && !Projection::try_parse("id", &[]).unwrap().keeps("x"));
    }

    #[test]
    fn bad_lists_are_refused() {
        for list in ["", "a,", "a..b", "A", "a.b.c.d.e.f", "a b", &"a,".repeat(200)] {
            assert!(Projection::try_parse(list, &[]).is_err(), "{list}");
        }
        let error = Projection::try_parse("id,secret", &["id", "name"]).unwrap_err();
        assert_eq!((&*error.code, error.allowed), ("unknown_field", vec!["id".to_owned(), "name".to_owned()]));
        Projection::try_parse("name.first", &["id", "name"]).unwrap();
    }
}
