//! A pass over a JSON text that refuses what serde lets through: duplicate keys and excessive nesting.
//!
//! Two parsers that keep different ones of two equal keys are a known way around checks, so equal keys are an error
//! here. The pass allocates nothing for texts without escapes in their keys except one list of keys per object.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::codes::field;
use super::problem::FieldError;

/// How deeply objects and arrays may be nested in a body.
pub const MAX_DEPTH: usize = 32;

/// Why a text is refused.
#[derive(Debug)]
pub enum Refusal {
    /// Not JSON; the message names line and column.
    Syntax(String),
    /// JSON, but with duplicate keys or nested too deeply.
    Structure(Vec<FieldError>),
}

/// Checks syntax, nesting and keys of a whole JSON text.
pub fn check(text: &[u8], max_depth: usize) -> Result<(), Refusal> {
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let outcome =
        Node { found: &mut found, depth: max_depth }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match outcome {
        _ if !found.is_empty() => Err(Refusal::Structure(found)),
        Ok(()) => Ok(()),
        Err(error) => Err(Refusal::Syntax(error.to_string())),
    }
}

/// Appends one segment of a JSON Pointer, escaped after RFC 6901.
pub fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for character in segment.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// One value; `depth` is how many more levels may be opened.
struct Node<'a> {
    found: &'a mut Vec<FieldError>,
    depth: usize,
}

impl Node<'_> {
    /// Opens a level, or notes that there are none left.
    fn enter<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        match self.depth.checked_sub(1) {
            Some(rest) => Ok(rest),
            None => {
                self.found.push(FieldError::new("", field::TOO_DEEP, "objects and arrays are nested too deeply"));
                Err(E::custom("nested too deeply"))
            }
        }
    }
}

/// Puts the segment before the pointers that a child has noted since `from`.
fn prefix(found: &mut [FieldError], segment: &str) {
    for error in found {
        let mut pointer = String::with_capacity(error.pointer.len() + segment.len() + 1);
        push_segment(&mut pointer, segment);
        pointer.push_str(&error.pointer);
        error.pointer = pointer;
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        for index in 0usize.. {
            let before = self.found.len();
            let item = items.next_element_seed(Node { found: self.found, depth });
            if self.found.len() > before {
                prefix(&mut self.found[before..], &index.to_string());
            }
            if item?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        let mut keys: Vec<Cow<'de, str>> = Vec::new();
        while let Some(key) = members.next_key_seed(Key)? {
            let before = self.found.len();
            let value = members.next_value_seed(Node { found: self.found, depth });
            if self.found.len() > before {
                prefix(&mut self.found[before..], &key);
            }
            value?;
            keys.push(key);
        }
        keys.sort_unstable();
        for pair in keys.windows(2).filter(|pair| pair[0] == pair[1]) {
            let mut pointer = String::new();
            push_segment(&mut pointer, &pair[0]);
            self.found.push(FieldError::new(pointer, field::DUPLICATE_FIELD, "this field stands twice"));
            if self.found.len() >= 100 {
                return Err(A::Error::custom("too many duplicate keys"));
            }
        }
        Ok(())
    }
}

/// A key, borrowed from the text where it holds no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str, depth: usize) -> Vec<(String, String)> {
        match check(text.as_bytes(), depth) {
            Err(Refusal::Structure(found)) => found.into_iter().map(|e| (e.pointer, e.code.into_owned())).collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn plain_texts_pass() {
        for text in ["null", "[]", r#"{"a":[1,-2,3.5,true,"x",{"a":null}],"b":{}}"#] {
            check(text.as_bytes(), 4).unwrap();
        }
    }

    #[test]
    fn duplicate_keys_are_found_wherever_they_are() {
        let at = |pointer: &str| vec![(pointer.to_owned(), "duplicate_field".to_owned())];
        assert_eq!(pointers(r#"{"a":1,"b":2,"a":3}"#, 9), at("/a"));
        assert_eq!(pointers(r#"{"x/y":[{},{"k":1,"\u006b":2}]}"#, 9), at("/x~1y/1/k"));
    }

    #[test]
    fn nesting_is_bounded_and_named() {
        check(b"[[1]]", 2).unwrap();
        assert_eq!(pointers("[0,[[1]]]", 2), vec![("/1/0".to_owned(), "too_deep".to_owned())]);
        let bomb = "[".repeat(100_000);
        assert_eq!(pointers(&bomb, MAX_DEPTH)[0].1, "too_deep");
    }

    #[test]
    fn broken_texts_are_syntax_errors() {
        for text in ["", "{", "{\"a\":1,}", "[1] 2", "nul", "\u{feff}{}", "\"\\ud800\""] {
            assert!(matches!(check(text.as_bytes(), 9), Err(Refusal::Syntax(_))), "{text}");
        }
    }
}
