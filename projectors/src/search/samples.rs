//! Random documents and filters for property tests: few distinct values, so that conditions often hold, and awkward
//! ones (case, accents, empty, control characters, extremes) among them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{FieldValue, Filter, Op};

pub(crate) type Fields = Vec<(String, FieldValue)>;

fn field() -> impl Strategy<Value = String> {
    select(vec!["name", "tags", "age", "custom.deep_1"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["", "a", "A", "ab", "Ab", "AB", "b", "ba", "Ä", "ä", "z", "ΑΣ", "ας", "a\u{1}", "a b", "İ", "\u{10ffff}"])
            .prop_map(str::to_owned),
        1 => "[abAB\u{0}\u{1}äÄ]{0,4}",
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![select(vec![i64::MIN, -1, 0, 1, 2, i64::MAX]), -3_i64..3]
}

fn scalar() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        4 => text().prop_map(FieldValue::Str),
        1 => number().prop_map(FieldValue::I64),
        1 => number().prop_map(FieldValue::Time),
        1 => any::<bool>().prop_map(FieldValue::Bool),
    ]
}

fn value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![3 => scalar(), 1 => vec(text(), 0..4).prop_map(FieldValue::Strs)]
}

pub(crate) fn fields() -> impl Strategy<Value = Fields> {
    vec((field(), value()), 0..5)
}

fn condition() -> impl Strategy<Value = Filter> {
    (field(), select(Op::ALL.to_vec()), vec(scalar(), 0..3), text()).prop_map(|(field, op, mut values, text)| {
        // Mostly what the operator takes, so that most filters are valid.
        match op {
            Op::Null | Op::NotNull | Op::Empty => values.clear(),
            Op::In | Op::Nin => {}
            Op::Contains | Op::IContains | Op::StartsWith => values = vec![FieldValue::Str(text)],
            Op::Between => values = vec![FieldValue::Str("A".into()), FieldValue::Str(text)],
            _ => values = vec![values.pop().unwrap_or(FieldValue::Str(text))],
        }
        Filter::Cmp { field, op, values }
    })
}

/// Valid filters only.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![1 => Just(Filter::All), 8 => condition()].prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::And),
            vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

pub(crate) fn sort_field() -> impl Strategy<Value = String> {
    field()
}
