//! Field values and the normal forms in which they are compared.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::MAX_VALUE_BYTES;

/// Value of a document's field, and operand of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldValue {
    Str(String),
    Strs(Vec<String>),
    I64(i64),
    Bool(bool),
    /// Microseconds UTC since 1970.
    Time(i64),
}

/// One value in its comparable form. Kinds are ordered as here; sorting a field of mixed kinds follows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
}

/// The distinct comparable values of a field.
pub(crate) fn scalars<'a>(values: impl IntoIterator<Item = &'a FieldValue>) -> BTreeSet<Scalar> {
    let mut set = BTreeSet::new();
    for value in values {
        match value {
            FieldValue::Str(text) => drop(set.insert(Scalar::Text(normal(text).into_owned()))),
            FieldValue::Strs(texts) => set.extend(texts.iter().map(|text| Scalar::Text(normal(text).into_owned()))),
            FieldValue::I64(number) | FieldValue::Time(number) => drop(set.insert(Scalar::Number(*number))),
            FieldValue::Bool(truth) => drop(set.insert(Scalar::Bool(*truth))),
        }
    }
    set
}

/// The part of a text that is compared: its first [`MAX_VALUE_BYTES`] bytes, without NUL (the index separates the
/// parts of its terms with it).
pub(crate) fn normal(text: &str) -> Cow<'_, str> {
    let cut = &text[..text.floor_char_boundary(MAX_VALUE_BYTES)];
    if cut.contains('\0') { Cow::Owned(cut.replace('\0', "\u{1a}")) } else { Cow::Borrowed(cut) }
}

/// Lower-cased character by character. Unlike [`str::to_lowercase`] no character looks at its neighbours, so the lower
/// form of a prefix is a prefix of the lower form.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c.to_lowercase().eq([c])) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_nul_is_replaced() {
        let long = "ü".repeat(MAX_VALUE_BYTES);
        assert_eq!(normal(&long).len(), MAX_VALUE_BYTES);
        assert_eq!(normal(&format!("a{long}")).len(), MAX_VALUE_BYTES - 1);
        assert_eq!(normal("a\0b"), "a\u{1a}b");
    }

    #[test]
    fn lower_casing_keeps_prefixes() {
        assert_eq!(lower("ΑΣ"), "ασ");
        assert!(lower("ΑΣΑ").starts_with(&*lower("ΑΣ")));
        assert!(matches!(lower("already low"), Cow::Borrowed(_)));
    }

    #[test]
    fn time_and_number_are_one_kind_and_duplicates_count_once() {
        let values = [FieldValue::I64(5), FieldValue::Time(5), FieldValue::Strs(vec!["a".into(), "a".into()])];
        assert_eq!(scalars(&values).len(), 2);
    }
}
