//! The query string of a list, read against what the collection declares. Anything undeclared is refused: a typo in a
//! filter must not return everything.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::bracket::{self, Parameter};
use super::codes::field;
use super::filter::{self, Filterable};
use super::problem::{FieldError, Problem};
use super::projection::Projection;
use super::strict_json;
use super::token::MAX_WAIT;
use projectors::search::{Filter, literal::Variables};

pub const DEFAULT_LIMIT: usize = 50;
pub const MAX_LIMIT: usize = 200;
/// The most keys of one sort.
const MAX_SORT: usize = 5;
/// The longest cursor and the longest search text, in bytes.
const MAX_CURSOR: usize = 1024;
const MAX_SEARCH: usize = 256;

/// What a collection offers. Declare it as a `const` with `..ListSpec::NOTHING`.
#[derive(Debug, Clone, Copy)]
pub struct ListSpec {
    pub filterable: Filterable,
    pub sortable: &'static [&'static str],
    /// As it would stand in a query: `-created_at`.
    pub default_sort: &'static str,
    pub expandable: &'static [&'static str],
    pub facetable: &'static [&'static str],
    /// Top-level fields of an item; empty means `fields=` is not checked against names.
    pub fields: &'static [&'static str],
    /// Whether `q=` is offered.
    pub searchable: bool,
    /// Further parameters the endpoint reads itself; they come out in [`ListQuery::extra`].
    pub extra: &'static [&'static str],
}

impl ListSpec {
    /// A collection that can only be paged through.
    pub const NOTHING: ListSpec = ListSpec {
        filterable: &[],
        sortable: &[],
        default_sort: "",
        expandable: &[],
        facetable: &[],
        fields: &[],
        searchable: false,
        extra: &[],
    };

    fn parameters(&self) -> Vec<&'static str> {
        let mut names = vec!["limit", "after", "fields", "total", "wait_ms"];
        let offered = [
            (!self.filterable.is_empty(), "filter"),
            (!self.sortable.is_empty(), "sort"),
            (!self.expandable.is_empty(), "expand"),
            (!self.facetable.is_empty(), "facets"),
            (self.searchable, "q"),
        ];
        names.extend(offered.iter().filter(|(on, _)| *on).map(|(_, name)| *name));
        names.extend(self.extra);
        names
    }
}

/// One key of the order of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    pub field: String,
    pub descending: bool,
}

/// A list request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    pub filter: Filter,
    pub sort: Vec<SortKey>,
    pub fields: Projection,
    pub expand: Vec<String>,
    pub facets: Vec<String>,
    /// 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// The opaque cursor of the previous page.
    pub after: Option<String>,
    /// Whether the caller wants the total, which costs a count.
    pub total: bool,
    /// Words to search for.
    pub search: Option<String>,
    /// How long to wait for the position of the consistency token; `None`: the default.
    pub wait: Option<Duration>,
    /// Parameters of [`ListSpec::extra`], in the order given.
    pub extra: Vec<(String, String)>,
}

impl ListQuery {
    /// Reads a query string; all errors come at once, as one 400 problem.
    pub fn try_parse(query: Option<&str>, spec: &ListSpec, variables: &Variables<'_>) -> Result<Self, Problem> {
        let parameters = bracket::parse(query.unwrap_or_default())?;
        let mut errors = Vec::new();
        let mut list = ListQuery {
            filter: Filter::All,
            sort: Vec::new(),
            fields: Projection::default(),
            expand: Vec::new(),
            facets: Vec::new(),
            limit: DEFAULT_LIMIT,
            after: None,
            total: false,
            search: None,
            wait: None,
            extra: Vec::new(),
        };
        let mut brackets = Map::new();
        let mut sort = None;
        for (index, parameter) in parameters.iter().enumerate() {
            let repeated = parameters[..index].iter().any(|earlier| earlier.written == parameter.written);
            let outcome = if repeated {
                Err(FieldError::new(&parameter.written, field::DUPLICATE_PARAMETER, "this parameter stands twice"))
            } else if parameter.name == "filter" && !parameter.path.is_empty() && !spec.filterable.is_empty() {
                bracket::graft(&mut brackets, parameter)
            } else if parameter.name == "sort" && parameter.path.is_empty() && !spec.sortable.is_empty() {
                sort = Some(parameter.value.as_str());
                Ok(())
            } else {
                list.plain(parameter, spec, variables, &mut errors)
            };
            errors.extend(outcome.err());
        }
        // Words without an order asked for: the best match comes first.
        let unasked = if list.search.is_some() { "" } else { spec.default_sort };
        match sort_keys(sort.unwrap_or(unasked), spec) {
            Ok(keys) => list.sort = keys,
            Err(error) => errors.push(error),
        }
        if !brackets.is_empty() {
            match filter::parse(&Json::Object(brackets), true, spec.filterable, variables) {
                Ok(ast) if list.filter == Filter::All => list.filter = ast,
                Ok(ast) => list.filter = Filter::And(vec![std::mem::take(&mut list.filter), ast]),
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(Problem::parameters(errors)) }
    }

    /// A parameter without brackets.
    fn plain(
        &mut self,
        parameter: &Parameter,
        spec: &ListSpec,
        variables: &Variables<'_>,
        errors: &mut Vec<FieldError>,
    ) -> Result<(), FieldError> {
        let value = parameter.value.as_str();
        let allowed = spec.parameters();
        let fail = |code: &'static str, message: String| Err(FieldError::new(&parameter.written, code, message));
        if !allowed.contains(&parameter.written.as_str()) {
            let message = "there is no such parameter here".to_owned();
            return fail(field::UNKNOWN_PARAMETER, message).map_err(|error| error.allowing(allowed));
        }
        match parameter.written.as_str() {
            "filter" => match json_filter(value, spec.filterable, variables) {
                Ok(ast) => self.filter = ast,
                Err(found) => errors.extend(found),
            },
            "limit" => match value.parse() {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => self.limit = limit,
                _ => return fail(field::OUT_OF_RANGE, format!("must be a number from 1 to {MAX_LIMIT}")),
            },
            "after" => {
                let opaque = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
                if value.is_empty() || value.len() > MAX_CURSOR || !value.bytes().all(opaque) {
                    return fail(field::MALFORMED, "must be the cursor of an earlier page".to_owned());
                }
                self.after = Some(value.to_owned());
            }
            "total" => match value.parse() {
                Ok(total) => self.total = total,
                Err(_) => return fail(field::INVALID_VALUE, "must be true or false".to_owned()),
            },
            "wait_ms" => match value.parse().map(Duration::from_millis) {
                Ok(wait) if wait <= MAX_WAIT => self.wait = Some(wait),
                _ => return fail(field::OUT_OF_RANGE, format!("must be a number from 0 to {}", MAX_WAIT.as_millis())),
            },
            "q" => match value.trim() {
                "" => {}
                text if text.len() <= MAX_SEARCH => self.search = Some(text.to_owned()),
                _ => return fail(field::TOO_LONG, format!("may have at most {MAX_SEARCH} bytes")),
            },
            "fields" => self.fields = Projection::try_parse(value, spec.fields)?,
            "expand" => self.expand = names("expand", value, spec.expandable)?,
            "facets" => self.facets = names("facets", value, spec.facetable)?,
            other => self.extra.push((other.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

fn json_filter(text: &str, filterable: Filterable, variables: &Variables<'_>) -> Result<Filter, Vec<FieldError>> {
    let malformed = |message: String| vec![FieldError::new("filter", field::MALFORMED, message)];
    strict_json::check(text.as_bytes(), 16).map_err(|refusal| match refusal {
        strict_json::Refusal::Syntax(message) => malformed(format!("is not JSON: {message}")),
        strict_json::Refusal::Structure(found) => {
            malformed(found.into_iter().map(|e| format!("{}: {}", e.pointer, e.message)).collect::<Vec<_>>().join("; "))
        }
    })?;
    let tree: Json = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    filter::parse(&tree, false, filterable, variables)
}

/// A comma-separated list of declared names, without repetition.
fn names(parameter: &str, list: &str, known: &'static [&'static str]) -> Result<Vec<String>, FieldError> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if !known.contains(&name) {
            let message = format!("{name:?} is not allowed here");
            return Err(FieldError::new(parameter, field::INVALID_VALUE, message).allowing(known.iter().copied()));
        }
        if !names.iter().any(|earlier| earlier == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// `-created_at,name`: a minus sorts downwards.
fn sort_keys(list: &str, spec: &ListSpec) -> Result<Vec<SortKey>, FieldError> {
    let mut keys: Vec<SortKey> = Vec::new();
    for key in list.split(',').map(str::trim).filter(|_| !list.is_empty()) {
        let (descending, name) = key.strip_prefix('-').map_or((false, key), |name| (true, name));
        let refused = |code, message| FieldError::new("sort", code, message).allowing(spec.sortable.iter().copied());
        if !spec.sortable.contains(&name) {
            return Err(refused(field::UNKNOWN_FIELD, format!("there is no order by {name:?}")));
        }
        if keys.len() == MAX_SORT || keys.iter().any(|earlier| earlier.field == name) {
            return Err(refused(field::TOO_MANY, format!("at most {MAX_SORT} different keys are allowed")));
        }
        keys.push(SortKey { field: name.to_owned(), descending });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;
    use projectors::search::{FieldValue as Value, Op, literal::FieldType};

    const SPEC: ListSpec = ListSpec {
        filterable: &[("status", FieldType::Choice(&["open", "paid"])), ("total", FieldType::Integer)],
        sortable: &["created_at", "name"],
        default_sort: "-created_at",
        expandable: &["customer"],
        facetable: &["status"],
        fields: &["id", "name", "author"],
        searchable: true,
        extra: &["as_of"],
    };

    fn parse(query: &str) -> Result<ListQuery, Problem> {
        ListQuery::try_parse(Some(query), &SPEC, &Variables { now: 0, current_user: None })
    }

    #[test]
    fn everything_has_a_default() {
        let list = parse("").unwrap();
        assert_eq!((list.limit, list.total, &list.after, &list.filter), (50, false, &None, &Filter::All));
        assert_eq!(list.sort, [SortKey { field: "created_at".into(), descending: true }]);
        assert_eq!(parse("q=shoes").unwrap().sort, [], "the best match first");
    }

    #[test]
    fn a_full_query_is_read() {
        let list = parse(
            "filter[total][_gt]=5&filter={\"status\":\"open\"}&sort=name,-created_at&fields=id,author.name\
             &expand=customer&limit=200&after=abc-_1&total=true&q=+red+shoes+&facets=status&as_of=7&wait_ms=0",
        )
        .unwrap();
        let cmp = |field: &str, op, value| Filter::Cmp { field: field.to_owned(), op, values: vec![value] };
        let status = cmp("status", Op::Eq, Value::Str("open".into()));
        assert_eq!(list.filter, Filter::And(vec![status, cmp("total", Op::Gt, Value::I64(5))]));
        assert_eq!(list.sort.iter().map(|key| key.descending).collect::<Vec<_>>(), [false, true]);
        assert_eq!((list.limit, list.total, list.search.as_deref()), (200, true, Some("red shoes")));
        assert_eq!(list.extra, [("as_of".to_owned(), "7".to_owned())]);
        assert_eq!((list.expand, list.facets), (vec!["customer".to_owned()], vec!["status".to_owned()]));
        assert_eq!(list.wait, Some(Duration::ZERO));
    }

    #[test]
    fn refusals_name_the_parameter() {
        for (query, pointer, code) in [
            ("limt=5", "limt", field::UNKNOWN_PARAMETER),
            ("limit[a]=5", "limit[a]", field::UNKNOWN_PARAMETER),
            ("limit=0", "limit", field::OUT_OF_RANGE),
            ("limit=201", "limit", field::OUT_OF_RANGE),
            ("limit=5&limit=6", "limit", field::DUPLICATE_PARAMETER),
            ("after=a%20b", "after", field::MALFORMED),
            ("total=1", "total", field::INVALID_VALUE),
            ("sort=total", "sort", field::UNKNOWN_FIELD),
            ("sort=name,-name", "sort", field::TOO_MANY),
            ("sort=", "", ""),
            ("expand=owner", "expand", field::INVALID_VALUE),
            ("fields=secret", "fields", field::UNKNOWN_FIELD),
            ("filter={", "filter", field::MALFORMED),
            ("filter={\"total\":1,\"total\":2}", "filter", field::MALFORMED),
            ("filter[x]=1", "filter[x]", field::UNKNOWN_FIELD),
            ("wait_ms=10001", "wait_ms", field::OUT_OF_RANGE),
        ] {
            if code.is_empty() {
                parse(query).unwrap();
                continue;
            }
            let problem = parse(query).unwrap_err();
            assert_eq!(problem.code(), ProblemCode::InvalidParameter);
            assert_eq!((&*problem.errors()[0].pointer, &*problem.errors()[0].code), (pointer, code), "{query}");
        }
        assert_eq!(parse("limt=1&sort=x&filter[x]=1").unwrap_err().errors().len(), 3);
        assert!(parse(&format!("q={}", "x".repeat(257))).is_err());
    }

    #[test]
    fn a_bare_collection_offers_paging_only() {
        let variables = Variables { now: 0, current_user: None };
        let read = |query| ListQuery::try_parse(Some(query), &ListSpec::NOTHING, &variables);
        read("limit=5&after=x").unwrap();
        for query in ["filter[a]=1", "filter={}", "sort=a", "q=x", "expand=a"] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
