//! Query strings with brackets: `filter[status][_eq]=open` names the path filter, status, _eq.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::codes::field;
use super::problem::{FieldError, Problem};

/// The longest query string, in bytes.
pub const MAX_QUERY: usize = 8 * 1024;
/// The most parameters in one query string.
pub const MAX_PARAMETERS: usize = 128;
/// The most brackets after one name.
const MAX_BRACKETS: usize = 16;

/// One parameter, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name as the caller wrote it, decoded, for messages.
    pub written: String,
    /// The part before the first bracket.
    pub name: String,
    /// What stands in the brackets.
    pub path: Vec<String>,
    pub value: String,
}

/// Splits and decodes a query string; `+` is a space.
pub fn parse(query: &str) -> Result<Vec<Parameter>, Problem> {
    if query.len() > MAX_QUERY {
        let message = format!("the query string has {} bytes, at most {MAX_QUERY} are allowed", query.len());
        return Err(Problem::parameters(vec![FieldError::new("", field::TOO_LONG, message)]));
    }
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if parameters.len() == MAX_PARAMETERS {
            let message = format!("at most {MAX_PARAMETERS} parameters are allowed");
            return Err(Problem::parameters(vec![FieldError::new("", field::TOO_MANY, message)]));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push(one(decode(name)?, decode(value)?)?);
    }
    Ok(parameters)
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(malformed(spaced, "is not UTF-8 after percent-decoding")),
    }
}

fn malformed(written: String, message: &str) -> Problem {
    Problem::parameters(vec![FieldError::new(written, field::MALFORMED, message)])
}

fn one(written: String, value: String) -> Result<Parameter, Problem> {
    const MESSAGE: &str = "brackets must be closed and follow each other, as in filter[status][_eq]";
    let (name, mut rest) = written.split_at(written.find('[').unwrap_or(written.len()));
    let name = name.to_owned();
    let mut path = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        match inner {
            Some((segment, tail)) if !segment.contains('[') && path.len() < MAX_BRACKETS => {
                path.push(segment.to_owned());
                rest = tail;
            }
            _ => return Err(malformed(written, MESSAGE)),
        }
    }
    Ok(Parameter { written, name, path, value })
}

/// Hangs a parameter into a tree of JSON objects whose leaves are strings.
pub fn graft(tree: &mut Map<String, Value>, parameter: &Parameter) -> Result<(), FieldError> {
    let clash =
        || FieldError::new(&parameter.written, field::DUPLICATE_PARAMETER, "this parameter contradicts another");
    let Some((leaf, branches)) = parameter.path.split_last() else { return Err(clash()) };
    let mut node = tree;
    for branch in branches {
        node = match node.entry(branch.clone()).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => inner,
            _ => return Err(clash()),
        };
    }
    match node.contains_key(leaf) {
        true => Err(clash()),
        false => {
            node.insert(leaf.clone(), Value::String(parameter.value.clone()));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_values_are_decoded() {
        let parameters = parse("sort=-a%2Cb&filter%5Bname%5D[_eq]=a+b%3D&flag&&x=1=2").unwrap();
        let seen: Vec<_> = parameters.iter().map(|p| (p.name.as_str(), p.path.join("/"), p.value.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("sort", String::new(), "-a,b"),
                ("filter", "name/_eq".into(), "a b="),
                ("flag", String::new(), ""),
                ("x", String::new(), "1=2")
            ]
        );
    }

    #[test]
    fn malformed_names_and_long_queries_are_refused() {
        for query in ["a[b=1", "a[b]c=1", "a]b[=1", "a[b[c]]=1", "a=%ff"] {
            assert_eq!(parse(query).unwrap_err().errors()[0].code, field::MALFORMED, "{query}");
        }
        assert!(parse(&"a".repeat(MAX_QUERY + 1)).is_err());
        assert!(parse(&"a=1&".repeat(MAX_PARAMETERS + 1)).is_err());
        assert!(parse(&format!("a{}=1", "[b]".repeat(MAX_BRACKETS + 1))).is_err());
    }

    #[test]
    fn parameters_grow_into_a_tree() {
        let mut tree = Map::new();
        for parameter in parse("f[_or][0][a][_eq]=1&f[_or][1][b]=2&f[c][_gt]=3").unwrap() {
            graft(&mut tree, &parameter).unwrap();
        }
        let expected = json!({"_or": {"0": {"a": {"_eq": "1"}}, "1": {"b": "2"}}, "c": {"_gt": "3"}});
        assert_eq!(Value::Object(tree.clone()), expected);
        for clash in ["f[c][_gt]=4", "f[c]=4", "f[_or][1][b][_eq]=2", "f=1"] {
            assert!(graft(&mut tree, &parse(clash).unwrap()[0]).is_err(), "{clash}");
        }
    }
}
