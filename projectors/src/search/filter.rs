//! The filter grammar's tree: what `filter[field][_op]=` parses into and what a saved segment holds.

use serde::{Deserialize, Serialize};

use super::doc::field_name;
use super::{Condition, FieldValue, MAX_CLAUSES, MAX_FILTER_DEPTH, SearchError, scalars};

/// Which documents are meant. The meaning of each comparison is in the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    #[default]
    All,
    /// Empty: everything.
    And(Vec<Filter>),
    /// Empty: nothing.
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Cmp {
        field: String,
        op: Op,
        /// None for `null`, `nnull` and `empty`; two for `between`; any number for `in` and `nin`; else one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<FieldValue>,
    },
}

/// Comparison, in the vocabulary of the API (there with a leading `_`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    Nin,
    Null,
    #[serde(rename = "nnull")]
    NotNull,
    Contains,
    #[serde(rename = "icontains")]
    IContains,
    StartsWith,
    Between,
    /// No value, or none but the empty text.
    Empty,
}

impl Op {
    pub const ALL: [Self; 15] = [
        Self::Eq,
        Self::Neq,
        Self::Lt,
        Self::Lte,
        Self::Gt,
        Self::Gte,
        Self::In,
        Self::Nin,
        Self::Null,
        Self::NotNull,
        Self::Contains,
        Self::IContains,
        Self::StartsWith,
        Self::Between,
        Self::Empty,
    ];

    /// The name in the API, without the leading `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::Nin => "nin",
            Self::Null => "null",
            Self::NotNull => "nnull",
            Self::Contains => "contains",
            Self::IContains => "icontains",
            Self::StartsWith => "starts_with",
            Self::Between => "between",
            Self::Empty => "empty",
        }
    }

    /// The operator of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }
}

impl Filter {
    /// Shorthand for one comparison.
    pub fn cmp(field: impl Into<String>, op: Op, values: impl IntoIterator<Item = FieldValue>) -> Self {
        Self::Cmp { field: field.into(), op, values: values.into_iter().collect() }
    }

    /// Checks depth, size, field names and operands. A filter from outside (a request, a stored segment) is
    /// checked once before use; a search checks it again.
    ///
    /// # Errors
    /// Client mistakes only: `filter_too_deep`, `too_many_clauses`, `bad_name`, `bad_condition`.
    pub fn validate(&self) -> Result<(), SearchError> {
        let mut clauses = 0;
        self.check(1, &mut clauses)
    }

    fn check(&self, depth: usize, clauses: &mut usize) -> Result<(), SearchError> {
        if depth > MAX_FILTER_DEPTH {
            return Err(SearchError::FilterTooDeep { max: MAX_FILTER_DEPTH });
        }
        *clauses += 1;
        if *clauses > MAX_CLAUSES {
            return Err(SearchError::TooManyClauses { what: "filter", count: *clauses, max: MAX_CLAUSES });
        }
        match self {
            Self::All => Ok(()),
            Self::And(parts) | Self::Or(parts) => parts.iter().try_for_each(|part| part.check(depth + 1, clauses)),
            Self::Not(inner) => inner.check(depth + 1, clauses),
            Self::Cmp { field, op, values } => {
                if let Err(reason) = field_name(field) {
                    return Err(SearchError::BadName { what: "field name", name: field.clone(), reason });
                }
                Condition::try_new(field, *op, values).map(drop)
            }
        }
    }

    /// The first of these fields that it looks at.
    pub fn first_of<'a>(&self, fields: &[&'a str]) -> Option<&'a str> {
        match self {
            Self::All => None,
            Self::And(parts) | Self::Or(parts) => parts.iter().find_map(|part| part.first_of(fields)),
            Self::Not(inner) => inner.first_of(fields),
            Self::Cmp { field, .. } => fields.iter().copied().find(|name| name == field),
        }
    }

    /// Evaluates in memory what the index would evaluate. A comparison that [`Filter::validate`] refuses is false.
    pub fn matches(&self, fields: &[(String, FieldValue)]) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(fields)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(fields)),
            Self::Not(inner) => !inner.matches(fields),
            Self::Cmp { field, op, values } => Condition::try_new(field, *op, values).is_ok_and(|condition| {
                condition.matches(&scalars(fields.iter().filter(|(name, _)| name == field).map(|(_, value)| value)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(text: &str) -> FieldValue {
        FieldValue::Str(text.into())
    }

    fn fields() -> Vec<(String, FieldValue)> {
        vec![
            ("name".into(), s("Ada Lovelace")),
            ("tags".into(), FieldValue::Strs(vec!["vip".into(), "Math".into()])),
            ("age".into(), FieldValue::I64(36)),
            ("blank".into(), s("")),
            ("none".into(), FieldValue::Strs(vec![])),
            ("active".into(), FieldValue::Bool(true)),
        ]
    }

    #[test]
    fn every_operator() {
        use FieldValue::{Bool, I64, Time};
        let yes = [
            ("name", Op::Eq, vec![s("Ada Lovelace")]),
            ("name", Op::Neq, vec![s("ada lovelace")]),
            ("missing", Op::Neq, vec![s("x")]),
            ("name", Op::Contains, vec![s("Love")]),
            ("name", Op::IContains, vec![s("LOVE")]),
            ("name", Op::StartsWith, vec![s("Ada")]),
            ("name", Op::Lt, vec![s("B")]),
            ("name", Op::Between, vec![s("AA"), s("b")]),
            ("tags", Op::Eq, vec![s("vip")]),
            ("tags", Op::In, vec![s("x"), s("Math")]),
            ("tags", Op::Nin, vec![s("x"), s("math")]),
            ("age", Op::Gte, vec![I64(36)]),
            ("age", Op::Lte, vec![Time(36)]),
            ("age", Op::Gt, vec![I64(35)]),
            ("active", Op::Eq, vec![Bool(true)]),
            ("missing", Op::Null, vec![]),
            ("none", Op::Null, vec![]),
            ("none", Op::Empty, vec![]),
            ("blank", Op::NotNull, vec![]),
            ("blank", Op::Empty, vec![]),
            ("missing", Op::Nin, vec![]),
        ];
        for (field, op, values) in yes {
            assert!(Filter::cmp(field, op, values.clone()).matches(&fields()), "{field} {op:?} {values:?}");
        }
        let no = [
            ("name", Op::Contains, vec![s("love")]),
            ("name", Op::StartsWith, vec![s("ada")]),
            ("name", Op::Gt, vec![I64(1)]),
            ("age", Op::Eq, vec![s("36")]),
            ("age", Op::Contains, vec![s("3")]),
            ("age", Op::Empty, vec![]),
            ("name", Op::In, vec![]),
        ];
        for (field, op, values) in no {
            assert!(!Filter::cmp(field, op, values.clone()).matches(&fields()), "{field} {op:?} {values:?}");
        }
        assert!(Filter::And(vec![]).matches(&[]) && !Filter::Or(vec![]).matches(&[]));
    }

    #[test]
    fn limits_and_operands_are_checked() {
        let code = |filter: Filter| filter.validate().unwrap_err().code();
        let deep = (0..20).fold(Filter::All, |inner, _| Filter::Not(Box::new(inner)));
        assert_eq!(code(deep), "filter_too_deep");
        assert_eq!(code(Filter::Or(vec![Filter::All; MAX_CLAUSES])), "too_many_clauses");
        assert_eq!(code(Filter::cmp("a", Op::In, vec![FieldValue::I64(1); 1001])), "too_many_clauses");
        assert_eq!(code(Filter::cmp("A", Op::Null, [])), "bad_name");
        for (op, values) in [
            (Op::Eq, vec![]),
            (Op::Eq, vec![FieldValue::Strs(vec!["a".into()])]),
            (Op::Null, vec![s("a")]),
            (Op::Between, vec![s("a")]),
            (Op::Between, vec![s("a"), FieldValue::I64(1)]),
            (Op::Contains, vec![FieldValue::I64(1)]),
        ] {
            assert_eq!(code(Filter::cmp("a", op, values.clone())), "bad_condition", "{op:?} {values:?}");
        }
    }

    #[test]
    fn stored_form_is_stable() {
        let filter = Filter::And(vec![
            Filter::cmp("status", Op::In, [s("paid")]),
            Filter::Not(Box::new(Filter::cmp("phone", Op::NotNull, []))),
            Filter::All,
        ]);
        let stored = r#"{"and":[{"cmp":{"field":"status","op":"in","values":[{"str":"paid"}]}},{"not":{"cmp":{"field":"phone","op":"nnull"}}},"all"]}"#;
        assert_eq!(serde_json::to_string(&filter).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Filter>(stored).unwrap(), filter);
        let packed = rmp_serde::to_vec_named(&filter).unwrap();
        assert_eq!(rmp_serde::from_slice::<Filter>(&packed).unwrap(), filter);
        for op in Op::ALL {
            assert_eq!(Op::from_name(op.as_str()), Some(op));
            assert_eq!(serde_json::to_value(op).unwrap(), op.as_str());
        }
    }
}
