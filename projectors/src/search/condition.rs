//! A condition in the one form that memory and index both evaluate: "any value passes the test", or its opposite.

use std::ops::Bound;

use super::{FieldValue, MAX_OPERANDS, Op, Scalar, SearchError, lower, scalars};

/// Test of one field.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) negated: bool,
    pub(crate) test: Test,
}

/// Test of one value.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// Every value passes: the field is there.
    Any,
    /// Every value but the empty text.
    NotBlank,
    /// Sorted and without duplicates.
    OneOf(Vec<Scalar>),
    /// Both bounds have one kind; texts in lower case.
    Range(Bound<Scalar>, Bound<Scalar>),
    Contains(String),
    /// In lower case.
    ContainsLower(String),
    StartsWith(String),
}

impl Condition {
    /// # Errors
    /// [`SearchError::BadCondition`] when the operator does not take these operands, [`SearchError::TooManyClauses`]
    /// when a list is too long.
    pub(crate) fn try_new(field: &str, op: Op, operands: &[FieldValue]) -> Result<Self, SearchError> {
        let bad = |reason: &str| SearchError::BadCondition {
            field: field.to_owned(),
            reason: format!("`{}` {reason}", op.as_str()),
        };
        let count = operands.iter().map(|v| if let FieldValue::Strs(list) = v { list.len() } else { 1 }).sum();
        if count > MAX_OPERANDS {
            return Err(SearchError::TooManyClauses { what: "list of values", count, max: MAX_OPERANDS });
        }
        let one = || match operands {
            [FieldValue::Strs(_)] => Err(bad("takes one value, not a list")),
            [value] => scalars([value]).pop_first().ok_or_else(|| bad("takes one value")),
            _ => Err(bad("takes one value")),
        };
        let text = || match one()? {
            Scalar::Text(text) => Ok(text),
            _ => Err(bad("takes a text")),
        };
        let none = |test| if operands.is_empty() { Ok(test) } else { Err(bad("takes no value")) };
        let test = match op {
            Op::Eq | Op::Neq => Test::OneOf(vec![one()?]),
            Op::In | Op::Nin => Test::OneOf(scalars(operands).into_iter().collect()),
            Op::Null | Op::NotNull => none(Test::Any)?,
            Op::Empty => none(Test::NotBlank)?,
            Op::Lt => Test::Range(Bound::Unbounded, Bound::Excluded(low(one()?))),
            Op::Lte => Test::Range(Bound::Unbounded, Bound::Included(low(one()?))),
            Op::Gt => Test::Range(Bound::Excluded(low(one()?)), Bound::Unbounded),
            Op::Gte => Test::Range(Bound::Included(low(one()?)), Bound::Unbounded),
            Op::Between => match operands {
                [FieldValue::Strs(_), _] | [_, FieldValue::Strs(_)] => return Err(bad("takes two single values")),
                [from, to] => {
                    let (Some(from), Some(to)) = (scalars([from]).pop_first(), scalars([to]).pop_first()) else {
                        return Err(bad("takes two values"));
                    };
                    if std::mem::discriminant(&from) != std::mem::discriminant(&to) {
                        return Err(bad("takes two values of the same kind"));
                    }
                    Test::Range(Bound::Included(low(from)), Bound::Included(low(to)))
                }
                _ => return Err(bad("takes two values")),
            },
            Op::Contains => Test::Contains(text()?),
            Op::IContains => Test::ContainsLower(lower(&text()?).into_owned()),
            Op::StartsWith => Test::StartsWith(text()?),
        };
        Ok(Self { negated: matches!(op, Op::Neq | Op::Nin | Op::Null | Op::Empty), test })
    }

    /// Evaluated over all values of the field.
    pub(crate) fn matches<'a>(&self, values: impl IntoIterator<Item = &'a Scalar>) -> bool {
        let any = values.into_iter().any(|value| match value {
            Scalar::Text(raw) => self.test.text(raw, &lower(raw)),
            other => self.test.plain(other),
        });
        any != self.negated
    }
}

impl Test {
    /// Passes a truth value or number? (Texts go to [`Test::text`].)
    pub(crate) fn plain(&self, value: &Scalar) -> bool {
        match self {
            Self::Any | Self::NotBlank => true,
            Self::OneOf(list) => list.binary_search(value).is_ok(),
            Self::Range(from, to) => within(value, from, to),
            Self::Contains(_) | Self::ContainsLower(_) | Self::StartsWith(_) => false,
        }
    }

    /// Passes a text, given as it is and in lower case?
    pub(crate) fn text(&self, raw: &str, lower: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NotBlank => !raw.is_empty(),
            Self::OneOf(list) => list.binary_search(&Scalar::Text(raw.to_owned())).is_ok(),
            Self::Range(from, to) => within(&Scalar::Text(lower.to_owned()), from, to),
            Self::Contains(part) => raw.contains(part),
            Self::ContainsLower(part) => lower.contains(part),
            Self::StartsWith(start) => raw.starts_with(start),
        }
    }

    /// Can a value of this kind pass at all? Saves opening a column.
    pub(crate) fn takes(&self, kind: &Scalar) -> bool {
        let same = |other: &Scalar| std::mem::discriminant(other) == std::mem::discriminant(kind);
        match self {
            Self::Any | Self::NotBlank => true,
            Self::OneOf(list) => list.iter().any(same),
            Self::Range(Bound::Included(bound) | Bound::Excluded(bound), _)
            | Self::Range(_, Bound::Included(bound) | Bound::Excluded(bound)) => same(bound),
            Self::Range(..) => true,
            Self::Contains(_) | Self::ContainsLower(_) | Self::StartsWith(_) => matches!(kind, Scalar::Text(_)),
        }
    }
}

fn low(value: Scalar) -> Scalar {
    match value {
        Scalar::Text(text) => Scalar::Text(lower(&text).into_owned()),
        other => other,
    }
}

/// Within the bounds and of their kind.
fn within(value: &Scalar, from: &Bound<Scalar>, to: &Bound<Scalar>) -> bool {
    let same = |bound: &Scalar| std::mem::discriminant(bound) == std::mem::discriminant(value);
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(bound) => same(bound) && value >= bound,
        Bound::Excluded(bound) => same(bound) && value > bound,
    };
    let below = match to {
        Bound::Unbounded => true,
        Bound::Included(bound) => same(bound) && value <= bound,
        Bound::Excluded(bound) => same(bound) && value < bound,
    };
    above && below
}
