//! The columns of one field in one segment, as one tenant sees them.

use tantivy::columnar::Column;
use tantivy::{DocId, SegmentReader, TantivyError};

use super::layout::column;
use super::strings::{Ordinals, Strings};
use crate::search::{Condition, Filter, Scalar, Test};

/// A field has up to one column per kind of value.
pub(super) struct Columns {
    pub(super) bools: Option<Column<bool>>,
    pub(super) numbers: Option<Column<i64>>,
    pub(super) strings: Option<Strings>,
}

impl Columns {
    pub(super) fn open(segment: &SegmentReader, field: &str, tenant: &str) -> tantivy::Result<Self> {
        let fast = segment.fast_fields();
        let name = column(field);
        Ok(Self {
            bools: fast.column_opt(&name)?,
            numbers: fast.column_opt(&name)?,
            strings: fast.str(&name)?.map(|column| Strings::new(column, tenant)).transpose()?.flatten(),
        })
    }
}

/// A filter bound to the columns of one segment: evaluated document by document.
pub(super) enum Matcher {
    Always(bool),
    All(Vec<Matcher>),
    Any(Vec<Matcher>),
    Not(Box<Matcher>),
    Values(Box<Values>),
}

/// "Any value of the field passes."
pub(super) struct Values {
    test: Test,
    bools: Option<Column<bool>>,
    numbers: Option<Column<i64>>,
    strings: Option<(Column<u64>, Ordinals)>,
}

impl Matcher {
    pub(super) fn bind(filter: &Filter, segment: &SegmentReader, tenant: &str) -> tantivy::Result<Self> {
        let bind = |part| Self::bind(part, segment, tenant);
        Ok(match filter {
            Filter::All => Self::Always(true),
            Filter::And(list) => Self::All(list.iter().map(bind).collect::<tantivy::Result<_>>()?),
            Filter::Or(list) => Self::Any(list.iter().map(bind).collect::<tantivy::Result<_>>()?),
            Filter::Not(inner) => Self::Not(Box::new(Self::bind(inner, segment, tenant)?)),
            Filter::Cmp { field, op, values } => {
                // The filter was checked before, so this does not fail on a client's mistake.
                let Condition { negated, test } = Condition::try_new(field, *op, values)
                    .map_err(|error| TantivyError::InvalidArgument(error.to_string()))?;
                let matcher = Self::values(test, Columns::open(segment, field, tenant)?)?;
                if negated { Self::Not(Box::new(matcher)) } else { matcher }
            }
        })
    }

    fn values(test: Test, columns: Columns) -> tantivy::Result<Self> {
        let strings = match columns.strings.filter(|_| test.takes(&Scalar::Text(String::new()))) {
            Some(strings) => Some((strings.ordinals().clone(), strings.passing(&test)?)),
            None => None,
        };
        let values = Values {
            bools: columns.bools.filter(|_| test.takes(&Scalar::Bool(false))),
            numbers: columns.numbers.filter(|_| test.takes(&Scalar::Number(0))),
            strings: strings.filter(|(_, ordinals)| !ordinals.is_empty()),
            test,
        };
        Ok(if values.bools.is_none() && values.numbers.is_none() && values.strings.is_none() {
            Self::Always(false)
        } else {
            Self::Values(Box::new(values))
        })
    }

    pub(super) fn matches(&self, doc: DocId) -> bool {
        match self {
            Self::Always(answer) => *answer,
            Self::All(parts) => parts.iter().all(|part| part.matches(doc)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(doc)),
            Self::Not(inner) => !inner.matches(doc),
            Self::Values(values) => values.pass(doc),
        }
    }
}

impl Values {
    fn pass(&self, doc: DocId) -> bool {
        let strings = self.strings.as_ref();
        strings.is_some_and(|(column, set)| column.values_for_doc(doc).any(|ordinal| set.contains(ordinal)))
            || self
                .numbers
                .as_ref()
                .is_some_and(|column| column.values_for_doc(doc).any(|number| self.test.plain(&Scalar::Number(number))))
            || self
                .bools
                .as_ref()
                .is_some_and(|column| column.values_for_doc(doc).any(|truth| self.test.plain(&Scalar::Bool(truth))))
    }
}
