//! What is put into the index.

use super::{FieldValue, MAX_FIELDS, MAX_ID_BYTES, MAX_NAME_BYTES, MAX_VALUES, SearchError};

/// One record as the index sees it. Nothing of it can be read back but its id; the row is fetched from the read store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    pub tenant: String,
    pub collection: String,
    /// Unique within tenant and collection; ties of every order are broken by it.
    pub id: String,
    /// What is found by its words.
    pub text: Vec<TextPart>,
    /// Name (snake case, dots allowed) and value. A name given twice has the values of both.
    pub fields: Vec<(String, FieldValue)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    pub weight: Weight,
    pub text: String,
}

/// How much a word found here counts; a heading counts three times a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Heading,
    Body,
}

/// A change to the index. Putting replaces; deleting what is not there does nothing: applying twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Doc),
    Delete { tenant: String, collection: String, id: String },
}

impl Change {
    /// Checks names and sizes. A projection must not produce such a change, so its lane pauses on the error.
    pub(crate) fn validate(&self) -> Result<(), SearchError> {
        match self {
            Self::Put(doc) => {
                check_key(&doc.tenant, &doc.collection, &doc.id)?;
                let bad = |reason: String| {
                    Err(SearchError::BadDocument { collection: doc.collection.clone(), id: doc.id.clone(), reason })
                };
                if doc.fields.len() > MAX_FIELDS {
                    return bad(format!("it has {} fields, at most {MAX_FIELDS} are allowed", doc.fields.len()));
                }
                for (name, value) in &doc.fields {
                    if let Err(reason) = field_name(name) {
                        return bad(format!("field name `{name}` {reason}"));
                    }
                    if matches!(value, FieldValue::Strs(list) if list.len() > MAX_VALUES) {
                        return bad(format!("field `{name}` has more than {MAX_VALUES} values"));
                    }
                }
                Ok(())
            }
            Self::Delete { tenant, collection, id } => check_key(tenant, collection, id),
        }
    }
}

fn check_key(tenant: &str, collection: &str, id: &str) -> Result<(), SearchError> {
    for (what, name, max) in
        [("tenant", tenant, MAX_NAME_BYTES), ("collection", collection, MAX_NAME_BYTES), ("id", id, MAX_ID_BYTES)]
    {
        if let Err(reason) = key_part(name, max) {
            return Err(SearchError::BadDocument {
                collection: collection.to_owned(),
                id: id.to_owned(),
                reason: format!("its {what} {reason}"),
            });
        }
    }
    Ok(())
}

/// Tenant, collection and id are parts of index terms: not empty, bounded, no control characters.
pub(crate) fn key_part(name: &str, max: usize) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("is empty")
    } else if name.len() > max {
        Err("is too long")
    } else if name.chars().any(char::is_control) {
        Err("has a control character")
    } else {
        Ok(())
    }
}

/// Field names are dot-separated words of `a-z`, `0-9` and `_`.
pub(crate) fn field_name(name: &str) -> Result<(), &'static str> {
    if name.len() > MAX_NAME_BYTES {
        return Err("is too long");
    }
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if name.split('.').all(word) { Ok(()) } else { Err("must be words of a-z, 0-9 and _ separated by dots") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "custom.birth_day", "x1.y2.z3"] {
            assert_eq!(field_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "a.", "A", "a b", "a..b", "ü", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert!(field_name(bad).is_err(), "{bad}");
        }
        assert!(key_part("a\0b", 10).is_err() && key_part("", 10).is_err() && key_part("Müller", 10).is_ok());
    }

    #[test]
    fn a_bad_change_names_the_document() {
        let change = Change::Delete { tenant: "t".into(), collection: "contacts".into(), id: "".into() };
        let error = change.validate().unwrap_err();
        assert_eq!(error.code(), "bad_document");
        assert!(error.to_string().contains("contacts/"), "{error}");
    }
}
