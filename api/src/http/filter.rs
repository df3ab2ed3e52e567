//! Filters of lists: `filter[field][_op]=value` and the same as JSON, checked against what the collection declares.

use serde_json::{Map, Value as Json};

use super::codes::field;
use super::literal::{self, FieldType, Value, Variables, Written};
use super::problem::FieldError;

/// How deeply `_and` and `_or` may be nested.
pub const MAX_DEPTH: usize = 4;
/// The most comparisons in one filter.
pub const MAX_CLAUSES: usize = 50;
/// The most values of one `_in`.
pub const MAX_VALUES: usize = 100;
/// The most errors that are listed.
const MAX_ERRORS: usize = 20;

/// A checked filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FilterAst {
    /// Everything.
    #[default]
    All,
    And(Vec<FilterAst>),
    Or(Vec<FilterAst>),
    Not(Box<FilterAst>),
    /// One comparison. `values` has one entry, except: two for `Between` (both ends included), any number from one for
    /// `In` and `Nin`, none for `Null`, `Nnull` and `Empty`.
    Cmp {
        field: String,
        op: Op,
        values: Vec<Value>,
    },
}

macro_rules! ops {
    ($($name:ident = $text:literal,)+) => {
        /// A comparison.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Op { $($name,)+ }

        impl Op {
            pub const ALL: &'static [Op] = &[$(Op::$name,)+];

            /// As it stands in a query.
            pub const fn text(self) -> &'static str { match self { $(Op::$name => $text,)+ } }
        }
    };
}

ops! {
    Eq = "_eq", Neq = "_neq", Lt = "_lt", Lte = "_lte", Gt = "_gt", Gte = "_gte", In = "_in", Nin = "_nin",
    Null = "_null", Nnull = "_nnull", Contains = "_contains", IContains = "_icontains", StartsWith = "_starts_with",
    Between = "_between", Empty = "_empty",
}

impl Op {
    /// Whether the operator makes sense for the type.
    pub fn fits(self, kind: FieldType) -> bool {
        use FieldType::{Bool, Integer, Keyword, Text, Time};
        match self {
            Op::Eq | Op::Neq | Op::Null | Op::Nnull => true,
            Op::In | Op::Nin => kind != Bool,
            Op::Lt | Op::Lte | Op::Gt | Op::Gte | Op::Between => matches!(kind, Integer | Time),
            Op::Contains | Op::IContains => kind == Text,
            Op::StartsWith | Op::Empty => matches!(kind, Text | Keyword),
        }
    }
}

/// The fields a filter may name.
pub type Filterable = &'static [(&'static str, FieldType)];

/// Reads a filter. With `textual` all leaves are strings and lists are separated by commas (the bracket form);
/// otherwise JSON types must be right. Pointers in errors have the bracket form, `filter[status][_eq]`.
pub fn parse(
    tree: &Json,
    textual: bool,
    filterable: Filterable,
    variables: &Variables<'_>,
) -> Result<FilterAst, Vec<FieldError>> {
    let mut reader = Reader { textual, filterable, variables, clauses: 0, errors: Vec::new() };
    let ast = reader.conditions(tree, "filter", "", 0);
    if reader.clauses > MAX_CLAUSES {
        reader.fail("filter", field::TOO_MANY, format!("a filter may have at most {MAX_CLAUSES} comparisons"));
    }
    if reader.errors.is_empty() { Ok(ast) } else { Err(reader.errors) }
}

struct Reader<'a> {
    textual: bool,
    filterable: Filterable,
    variables: &'a Variables<'a>,
    clauses: usize,
    errors: Vec<FieldError>,
}

fn all_of(mut parts: Vec<FilterAst>) -> FilterAst {
    match parts.len() {
        0 => FilterAst::All,
        1 => parts.remove(0),
        _ => FilterAst::And(parts),
    }
}

impl Reader<'_> {
    fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn fail(&mut self, at: &str, code: &'static str, message: String) -> FilterAst {
        self.push(FieldError::new(at, code, message));
        FilterAst::All
    }

    /// An object of fields and groups, all of which must hold. `parent` is the dotted name so far.
    fn conditions(&mut self, tree: &Json, at: &str, parent: &str, depth: usize) -> FilterAst {
        let Json::Object(members) = tree else {
            return self.fail(at, field::MALFORMED, "must be an object of fields, _and and _or".to_owned());
        };
        let mut parts = Vec::with_capacity(members.len());
        for (name, value) in members {
            if self.clauses > MAX_CLAUSES || self.errors.len() >= MAX_ERRORS {
                break;
            }
            let here = format!("{at}[{name}]");
            parts.push(match name.as_str() {
                "_and" => all_of(self.group(value, &here, depth + 1)),
                "_or" => match self.group(value, &here, depth + 1) {
                    mut alternatives if alternatives.len() == 1 => alternatives.remove(0),
                    alternatives => FilterAst::Or(alternatives),
                },
                _ if parent.is_empty() => self.field(name, value, &here, depth),
                _ => self.field(&format!("{parent}.{name}"), value, &here, depth),
            });
        }
        parts.retain(|part| *part != FilterAst::All);
        all_of(parts)
    }

    /// The members of `_and` or `_or`: an array, or an object with the keys 0, 1, 2 ...
    fn group(&mut self, tree: &Json, at: &str, depth: usize) -> Vec<FilterAst> {
        if depth > MAX_DEPTH {
            self.fail(at, field::TOO_DEEP, format!("_and and _or may be nested at most {MAX_DEPTH} times"));
            return Vec::new();
        }
        let members: Vec<&Json> = match tree {
            Json::Array(items) => items.iter().collect(),
            Json::Object(items) if items.keys().all(|key| key.parse::<u8>().is_ok()) => items.values().collect(),
            _ => Vec::new(),
        };
        if members.is_empty() {
            self.fail(at, field::MALFORMED, format!("must be a list of conditions, as in {at}[0][field][_eq]"));
        }
        let mut parts = Vec::with_capacity(members.len());
        for (index, member) in members.into_iter().enumerate() {
            if self.clauses > MAX_CLAUSES || self.errors.len() >= MAX_ERRORS {
                break;
            }
            let here = format!("{at}[{index}]");
            if member.as_object().is_some_and(Map::is_empty) {
                // An empty member would make the whole _or true: surely not what was meant.
                self.fail(&here, field::MALFORMED, "must hold at least one condition".to_owned());
            }
            parts.push(self.conditions(member, &here, "", depth));
        }
        parts
    }

    /// One field: an object of operators, a bare value (equals), or an object of inner fields.
    fn field(&mut self, name: &str, value: &Json, at: &str, depth: usize) -> FilterAst {
        let declared = self.filterable.iter().find(|(known, _)| *known == name).copied();
        let inner = value.as_object().filter(|members| members.keys().all(|key| !key.starts_with('_')));
        match (declared, value) {
            (None, _) if inner.is_some_and(|members| !members.is_empty()) && at.len() < 512 => {
                self.conditions(value, at, name, depth)
            }
            (None, _) => {
                let known = self.filterable.iter().map(|(known, _)| *known);
                let message = format!("there is no field {name} to filter by");
                self.push(FieldError::new(at, field::UNKNOWN_FIELD, message).allowing(known));
                FilterAst::All
            }
            (Some((known, kind)), Json::Object(operators)) => {
                let mut parts = Vec::with_capacity(operators.len());
                for (operator, operand) in operators {
                    parts.push(self.comparison(known, kind, operator, operand, &format!("{at}[{operator}]")));
                }
                if parts.is_empty() {
                    self.fail(at, field::MALFORMED, "must hold an operator such as _eq".to_owned());
                }
                all_of(parts)
            }
            (Some((known, kind)), bare) => self.comparison(known, kind, Op::Eq.text(), bare, at),
        }
    }

    fn comparison(&mut self, name: &str, kind: FieldType, operator: &str, operand: &Json, at: &str) -> FilterAst {
        self.clauses += 1;
        let fitting = || Op::ALL.iter().filter(|op| op.fits(kind)).map(|op| op.text());
        let Some(op) = Op::ALL.iter().copied().find(|op| op.text() == operator) else {
            let message = format!("there is no operator {operator}");
            self.push(FieldError::new(at, field::UNKNOWN_OPERATOR, message).allowing(fitting()));
            return FilterAst::All;
        };
        if !op.fits(kind) {
            let message = format!("{operator} cannot be used with {name}, which is {}", kind.noun());
            self.push(FieldError::new(at, field::OPERATOR_NOT_ALLOWED, message).allowing(fitting()));
            return FilterAst::All;
        }
        let compare = |op, values| FilterAst::Cmp { field: name.to_owned(), op, values };
        match op {
            Op::Null | Op::Nnull | Op::Empty => match (self.switch(operand), op) {
                (None, _) => self.fail(at, field::INVALID_VALUE, format!("{operator} takes true or false")),
                (Some(true), op) => compare(op, Vec::new()),
                (Some(false), Op::Null) => compare(Op::Nnull, Vec::new()),
                (Some(false), Op::Nnull) => compare(Op::Null, Vec::new()),
                (Some(false), op) => FilterAst::Not(Box::new(compare(op, Vec::new()))),
            },
            Op::In | Op::Nin | Op::Between => {
                let Some(values) = self.values(kind, operand, at) else { return FilterAst::All };
                match (op, values.len()) {
                    (Op::Between, 2) => compare(op, values),
                    (Op::Between, _) => self.fail(at, field::INVALID_VALUE, "_between takes two values".to_owned()),
                    (_, 1..=MAX_VALUES) => compare(op, values),
                    _ => self.fail(at, field::TOO_MANY, format!("{operator} takes 1 to {MAX_VALUES} values")),
                }
            }
            _ => match self.value(kind, operand, at) {
                Some(value) => compare(op, vec![value]),
                None => FilterAst::All,
            },
        }
    }

    /// The operand of `_null` and its like: true, false, or nothing at all in a query string.
    fn switch(&self, operand: &Json) -> Option<bool> {
        match operand {
            Json::Bool(value) => Some(*value),
            Json::String(text) if self.textual && text.is_empty() => Some(true),
            Json::String(text) if self.textual => text.parse().ok(),
            _ => None,
        }
    }

    fn value(&mut self, kind: FieldType, operand: &Json, at: &str) -> Option<Value> {
        let written = match operand {
            Json::String(text) if self.textual => Written::Text(text),
            other => Written::Json(other),
        };
        self.read(kind, written, at)
    }

    fn values(&mut self, kind: FieldType, operand: &Json, at: &str) -> Option<Vec<Value>> {
        match operand {
            Json::String(list) if self.textual => {
                list.split(',').map(|text| self.read(kind, Written::Text(text), at)).collect()
            }
            Json::Array(items) if !self.textual => {
                items.iter().map(|item| self.read(kind, Written::Json(item), at)).collect()
            }
            _ => {
                self.fail(at, field::WRONG_TYPE, "must be a list".to_owned());
                None
            }
        }
    }

    fn read(&mut self, kind: FieldType, written: Written<'_>, at: &str) -> Option<Value> {
        let value = literal::read(written, kind, self.variables);
        if value.is_none() {
            let null = matches!(written, Written::Json(Json::Null));
            let hint = if null { "; to look for a missing value use _null" } else { "" };
            let error = FieldError::new(at, field::INVALID_VALUE, format!("must be {}{hint}", kind.noun()));
            self.push(match kind {
                FieldType::Choice(words) => error.allowing(words.iter().copied()),
                _ => error,
            });
        }
        value
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
