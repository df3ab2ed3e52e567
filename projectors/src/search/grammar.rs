//! The one grammar of filters: `filter[field][_op]=value` of lists and the same as JSON in saved segments, checked against
//! what the collection declares. What comes out is a [`Filter`], which search takes as it is.

use super::{
    FieldValue, Filter, Op,
    literal::{self, FieldType, Variables, Written},
};
use serde_json::{Map, Value as Json};

/// How deeply `_and` and `_or` may be nested.
pub const MAX_DEPTH: usize = 4;
/// The most comparisons in one filter.
pub const MAX_CLAUSES: usize = 50;
/// The most values of one `_in`.
pub const MAX_VALUES: usize = 100;
/// The most errors that are listed.
const MAX_ERRORS: usize = 20;

/// Whether an operator makes sense for a type.
fn fits(op: Op, kind: FieldType) -> bool {
    use FieldType::{Bool, Integer, Keyword, Text, Time};
    match op {
        Op::Eq | Op::Neq | Op::Null | Op::NotNull => true,
        Op::In | Op::Nin => kind != Bool,
        Op::Lt | Op::Lte | Op::Gt | Op::Gte | Op::Between => matches!(kind, Integer | Time),
        Op::Contains | Op::IContains => kind == Text,
        Op::StartsWith | Op::Empty => matches!(kind, Text | Keyword),
    }
}

/// An operator as it stands in a filter: `_eq`.
pub fn text(op: Op) -> String {
    format!("_{}", op.as_str())
}

/// At most so long ago. Only for times; what has none does not match.
const WITHIN: &str = "_within";
/// Longer ago than this, or never.
const NOT_WITHIN: &str = "_not_within";

/// The operators a filter may use on fields of a type.
pub fn operators(kind: FieldType) -> Vec<String> {
    let relative = [WITHIN, NOT_WITHIN].into_iter().filter(|_| kind == FieldType::Time).map(str::to_owned);
    Op::ALL.into_iter().filter(|op| fits(*op, kind)).map(text).chain(relative).collect()
}

/// What is wrong at one place of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In the bracket form: `filter[status][_eq]`.
    pub at: String,
    /// Stable, for programs.
    pub code: &'static str,
    pub message: String,
    /// What would have been accepted, where that is a short list.
    pub allowed: Vec<String>,
}

impl Fault {
    fn new(at: &str, code: &'static str, message: String) -> Self {
        Self { at: at.to_owned(), code, message, allowed: Vec::new() }
    }

    fn allowing<S: Into<String>>(mut self, allowed: impl IntoIterator<Item = S>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }
}

/// The codes of [`Fault`]s.
pub mod code {
    pub const INVALID_VALUE: &str = "invalid_value";
    pub const MALFORMED: &str = "malformed";
    pub const OPERATOR_NOT_ALLOWED: &str = "operator_not_allowed";
    pub const TOO_DEEP: &str = "too_deep";
    pub const TOO_MANY: &str = "too_many";
    pub const UNKNOWN_FIELD: &str = "unknown_field";
    pub const UNKNOWN_OPERATOR: &str = "unknown_operator";
    pub const WRONG_TYPE: &str = "wrong_type";
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
) -> Result<Filter, Vec<Fault>> {
    let mut reader = Reader { textual, filterable, variables, clauses: 0, errors: Vec::new() };
    let ast = reader.conditions(tree, "filter", "", 0);
    if reader.clauses > MAX_CLAUSES {
        reader.fail("filter", code::TOO_MANY, format!("a filter may have at most {MAX_CLAUSES} comparisons"));
    }
    if reader.errors.is_empty() { Ok(ast) } else { Err(reader.errors) }
}

struct Reader<'a> {
    textual: bool,
    filterable: Filterable,
    variables: &'a Variables<'a>,
    clauses: usize,
    errors: Vec<Fault>,
}

fn all_of(mut parts: Vec<Filter>) -> Filter {
    match parts.len() {
        0 => Filter::All,
        1 => parts.remove(0),
        _ => Filter::And(parts),
    }
}

impl Reader<'_> {
    fn push(&mut self, error: Fault) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn fail(&mut self, at: &str, code: &'static str, message: String) -> Filter {
        self.push(Fault::new(at, code, message));
        Filter::All
    }

    /// An object of fields and groups, all of which must hold. `parent` is the dotted name so far.
    fn conditions(&mut self, tree: &Json, at: &str, parent: &str, depth: usize) -> Filter {
        let Json::Object(members) = tree else {
            return self.fail(at, code::MALFORMED, "must be an object of fields, _and and _or".to_owned());
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
                    alternatives => Filter::Or(alternatives),
                },
                _ if parent.is_empty() => self.field(name, value, &here, depth),
                _ => self.field(&format!("{parent}.{name}"), value, &here, depth),
            });
        }
        parts.retain(|part| *part != Filter::All);
        all_of(parts)
    }

    /// The members of `_and` or `_or`: an array, or an object with the keys 0, 1, 2 ...
    fn group(&mut self, tree: &Json, at: &str, depth: usize) -> Vec<Filter> {
        if depth > MAX_DEPTH {
            self.fail(at, code::TOO_DEEP, format!("_and and _or may be nested at most {MAX_DEPTH} times"));
            return Vec::new();
        }
        let members: Vec<&Json> = match tree {
            Json::Array(items) => items.iter().collect(),
            Json::Object(items) if items.keys().all(|key| key.parse::<u8>().is_ok()) => items.values().collect(),
            _ => Vec::new(),
        };
        if members.is_empty() {
            self.fail(at, code::MALFORMED, format!("must be a list of conditions, as in {at}[0][field][_eq]"));
        }
        let mut parts = Vec::with_capacity(members.len());
        for (index, member) in members.into_iter().enumerate() {
            if self.clauses > MAX_CLAUSES || self.errors.len() >= MAX_ERRORS {
                break;
            }
            let here = format!("{at}[{index}]");
            if member.as_object().is_some_and(Map::is_empty) {
                // An empty member would make the whole _or true: surely not what was meant.
                self.fail(&here, code::MALFORMED, "must hold at least one condition".to_owned());
            }
            parts.push(self.conditions(member, &here, "", depth));
        }
        parts
    }

    /// One field: an object of operators, a bare value (equals), or an object of inner fields.
    fn field(&mut self, name: &str, value: &Json, at: &str, depth: usize) -> Filter {
        let declared = self.filterable.iter().find(|(known, _)| *known == name).copied();
        let inner = value.as_object().filter(|members| members.keys().all(|key| !key.starts_with('_')));
        match (declared, value) {
            (None, _) if inner.is_some_and(|members| !members.is_empty()) && at.len() < 512 => {
                self.conditions(value, at, name, depth)
            }
            (None, _) => {
                let known = self.filterable.iter().map(|(known, _)| *known);
                let message = format!("there is no field {name} to filter by");
                self.push(Fault::new(at, code::UNKNOWN_FIELD, message).allowing(known));
                Filter::All
            }
            (Some((known, kind)), Json::Object(operators)) => {
                let mut parts = Vec::with_capacity(operators.len());
                for (operator, operand) in operators {
                    parts.push(self.comparison(known, kind, operator, operand, &format!("{at}[{operator}]")));
                }
                if parts.is_empty() {
                    self.fail(at, code::MALFORMED, "must hold an operator such as _eq".to_owned());
                }
                all_of(parts)
            }
            (Some((known, kind)), bare) => self.comparison(known, kind, "_eq", bare, at),
        }
    }

    fn comparison(&mut self, name: &str, kind: FieldType, operator: &str, operand: &Json, at: &str) -> Filter {
        self.clauses += 1;
        let fitting = || operators(kind);
        if let WITHIN | NOT_WITHIN = operator {
            return self.relative(name, kind, operator, operand, at);
        }
        let Some(op) = operator.strip_prefix('_').and_then(Op::from_name) else {
            let message = format!("there is no operator {operator}");
            self.push(Fault::new(at, code::UNKNOWN_OPERATOR, message).allowing(fitting()));
            return Filter::All;
        };
        if !fits(op, kind) {
            let message = format!("{operator} cannot be used with {name}, which is {}", kind.noun());
            self.push(Fault::new(at, code::OPERATOR_NOT_ALLOWED, message).allowing(fitting()));
            return Filter::All;
        }
        let compare = |op, values| Filter::Cmp { field: name.to_owned(), op, values };
        match op {
            Op::Null | Op::NotNull | Op::Empty => match (self.switch(operand), op) {
                (None, _) => self.fail(at, code::INVALID_VALUE, format!("{operator} takes true or false")),
                (Some(true), op) => compare(op, Vec::new()),
                (Some(false), Op::Null) => compare(Op::NotNull, Vec::new()),
                (Some(false), Op::NotNull) => compare(Op::Null, Vec::new()),
                (Some(false), op) => Filter::Not(Box::new(compare(op, Vec::new()))),
            },
            Op::In | Op::Nin | Op::Between => {
                let Some(values) = self.values(kind, operand, at) else { return Filter::All };
                match (op, values.len()) {
                    (Op::Between, 2) => compare(op, values),
                    (Op::Between, _) => self.fail(at, code::INVALID_VALUE, "_between takes two values".to_owned()),
                    (_, 1..=MAX_VALUES) => compare(op, values),
                    _ => self.fail(at, code::TOO_MANY, format!("{operator} takes 1 to {MAX_VALUES} values")),
                }
            }
            _ => match self.value(kind, operand, at) {
                Some(value) => compare(op, vec![value]),
                None => Filter::All,
            },
        }
    }

    /// `_within` and `_not_within`: `30 days` back from now.
    fn relative(&mut self, name: &str, kind: FieldType, operator: &str, operand: &Json, at: &str) -> Filter {
        if kind != FieldType::Time {
            let message = format!("{operator} cannot be used with {name}, which is {}", kind.noun());
            self.push(Fault::new(at, code::OPERATOR_NOT_ALLOWED, message).allowing(operators(kind)));
            return Filter::All;
        }
        let Some(since) = operand.as_str().and_then(|span| literal::ago(span, self.variables.now)) else {
            let message = "must be a length of time such as \"30 days\": a whole number of seconds, minutes, hours, days, \
                           weeks, months or years";
            return self.fail(at, code::INVALID_VALUE, message.to_owned());
        };
        let recent = Filter::Cmp { field: name.to_owned(), op: Op::Gte, values: vec![FieldValue::Time(since)] };
        if operator == WITHIN { recent } else { Filter::Not(Box::new(recent)) }
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

    fn value(&mut self, kind: FieldType, operand: &Json, at: &str) -> Option<FieldValue> {
        let written = match operand {
            Json::String(text) if self.textual => Written::Text(text),
            other => Written::Json(other),
        };
        self.read(kind, written, at)
    }

    fn values(&mut self, kind: FieldType, operand: &Json, at: &str) -> Option<Vec<FieldValue>> {
        match operand {
            Json::String(list) if self.textual => {
                list.split(',').map(|text| self.read(kind, Written::Text(text), at)).collect()
            }
            Json::Array(items) if !self.textual => {
                items.iter().map(|item| self.read(kind, Written::Json(item), at)).collect()
            }
            _ => {
                self.fail(at, code::WRONG_TYPE, "must be a list".to_owned());
                None
            }
        }
    }

    fn read(&mut self, kind: FieldType, written: Written<'_>, at: &str) -> Option<FieldValue> {
        let value = literal::read(written, kind, self.variables);
        if value.is_none() {
            let null = matches!(written, Written::Json(Json::Null));
            let hint = if null { "; to look for a missing value use _null" } else { "" };
            let error = Fault::new(at, code::INVALID_VALUE, format!("must be {}{hint}", kind.noun()));
            self.push(match kind {
                FieldType::Choice(words) => error.allowing(words.iter().copied()),
                _ => error,
            });
        }
        value
    }
}

/// A saved segment's filter, the JSON form, as a question to search. It has no caller, so `$CURRENT_USER` is refused; `now`
/// (microseconds since 1970, UTC) is what `$NOW` stands for.
pub fn segment(filter: &Json, filterable: Filterable, now: i64) -> Result<Filter, Vec<Fault>> {
    let filter = parse(filter, false, filterable, &Variables { now, current_user: None })?;
    filter.validate().map_err(|error| vec![Fault::new("filter", code::TOO_MANY, error.to_string())])?;
    Ok(filter)
}
